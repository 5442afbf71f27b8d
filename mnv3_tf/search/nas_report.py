"""What a platform-aware search found: a table, plots and a page."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnv3_tf.files import write_json
from mnv3_tf.search import plots
from mnv3_tf.search.candidates import Judged, pareto
from mnv3_tf.search.latency import Latency, Timer, shown
from mnv3_tf.search.lines import COLUMNS, compare, rows
from mnv3_tf.search.nas import Sample
from mnv3_tf.search.report import write_report
from mnv3_tf.search.space import Space
from mnv3_tf.tflite import skeleton
from mnv3_tf.ui import tables

FIFTH = 5
"""The first and the last part of a search whose mean rewards are compared."""


def write(
    out: Path,
    strategy: str,
    space: Space,
    samples: Sequence[Sample],
    found: Judged,
    target: float,
    latency: Latency,
    timer: Timer | None,
    quantize: skeleton.Precision,
    beside: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """Writes summary.json, report.html and its plots, prints the table; returns the summary.

    `beside` are the rewards of other searches, by name.
    """
    rewards = [sample.reward for sample in samples]
    part = max(1, len(rewards) // FIFTH)
    trained = list({s.judged.spec.hash: s.judged for s in samples}.values())
    seed = next((one for one in trained if one.spec.hash == space.seed.hash), None)
    networks = [(space.seed, seed.accuracy if seed else None), (found.spec, found.accuracy)]
    lines = compare(networks, latency, timer, quantize)
    means = {
        "first_fifth": sum(rewards[:part]) / part,
        "last_fifth": sum(rewards[-part:]) / part,
        "all": sum(rewards) / len(rewards),
    }
    summary = {
        "search": "nas",
        "strategy": strategy,
        "unit": latency.unit,
        "quantize": quantize,
        "target": target,
        "conditions": dict(latency.conditions),
        "space_size": space.size,
        "samples": len(samples),
        "trained": len(trained),
        "stopped": sum(one.stopped for one in trained),
        "mean_reward": means,
        "best_reward": max(rewards),
        "networks": lines,
    }
    write_json(out / "summary.json", summary)
    cells = rows(lines, latency.unit)
    title = f"Search around {space.seed.name}, target {shown(target, latency.unit)}"
    tables.show(title, COLUMNS, cells)
    frontier, over_time, network = (out / f"{n}.png" for n in ("frontier", "rewards", "network"))
    others = {"seed": seed} if seed else {}
    plots.draw_frontier(trained, found, target, latency.unit, frontier, others)
    plots.draw_rewards({strategy: rewards, **beside}, over_time)
    plots.draw_network(found.spec, network)
    page = write_report(
        out,
        title,
        [
            ("strategy", strategy),
            ("target", shown(target, latency.unit)),
            ("latency", ", ".join(f"{k} {v}" for k, v in latency.conditions.items())),
            ("space", f"{space.size:.3g} architectures"),
            (
                "samples",
                f"{len(samples)}, {len(trained)} different networks, of which "
                f"{summary['stopped']} were stopped early",
            ),
            (
                "mean reward",
                f"{means['first_fifth']:.4f} in the first fifth, {means['last_fifth']:.4f} in "
                "the last",
            ),
            ("frontier", f"{len(pareto([o for o in trained if not o.stopped]))} networks"),
        ],
        (COLUMNS, cells),
        [
            (frontier, "Accuracy on held-out training pictures against latency."),
            (over_time, "Reward of each sample, and its moving mean."),
            (network, "The network found."),
        ],
        ["python -m mnv3_tf.search " + shlex.join(sys.argv[1:])],
    )
    print(f"Written: {out / 'spec.json'} and {page}", flush=True)
    return summary
