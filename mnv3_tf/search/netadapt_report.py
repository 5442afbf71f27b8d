"""What NetAdapt found: a table, plots and a page."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.files import write_json
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import plots
from mnv3_tf.search.candidates import Judged
from mnv3_tf.search.latency import Latency, Timer, shown
from mnv3_tf.search.lines import COLUMNS, compare, rows
from mnv3_tf.search.netadapt import Step
from mnv3_tf.search.report import write_report
from mnv3_tf.tflite import skeleton
from mnv3_tf.ui import tables

WIDTHS = [round(0.3 + 0.01 * number, 2) for number in range(70)]


def write(
    out: Path,
    seed: Judged,
    steps: Sequence[Step],
    found: Judged,
    target: float,
    latency: Latency,
    timer: Timer | None,
    quantize: skeleton.Precision,
) -> dict[str, Any]:
    """Writes summary.json, report.html and its plots, prints the table; returns the summary.

    Beside the seed and the network found stands the seed with the width multiplier that has the
    latency of the latter. They are measured together, where there is a `timer`.
    """
    beside = width_of_latency(seed.spec, found.latency, latency)
    networks: list[tuple[NetworkSpec, float | None]] = [
        (seed.spec, seed.accuracy),
        (found.spec, found.accuracy),
    ]
    if beside:
        networks.append((beside, None))
    lines = compare(networks, latency, timer, quantize)
    summary = {
        "search": "netadapt",
        "unit": latency.unit,
        "quantize": quantize,
        "target": target,
        "conditions": dict(latency.conditions),
        "steps": len(steps),
        "proposals": sum(len(step.proposals) for step in steps),
        "networks": lines,
    }
    write_json(out / "summary.json", summary)
    cells = rows(lines, latency.unit)
    title = f"NetAdapt: {seed.spec.name} to {shown(target, latency.unit)}"
    tables.show(title, COLUMNS, cells)
    chosen = [seed, *(step.chosen for step in steps)]
    path, channels = out / "path.png", out / "channels.png"
    plots.draw_path([s.proposals for s in steps], chosen, target, latency.unit, path)
    plots.draw_channels(seed.spec, found.spec, channels)
    plots.draw_network(found.spec, out / "network.png")
    page = write_report(
        out,
        title,
        [
            ("target", shown(target, latency.unit)),
            ("latency", ", ".join(f"{k} {v}" for k, v in latency.conditions.items())),
            ("steps", f"{len(steps)}, with {summary['proposals']} proposals"),
        ],
        (COLUMNS, cells),
        [
            (path, "Accuracy on held-out training pictures against latency; grey: not taken."),
            (channels, "Channels of each block, before and after."),
            (out / "network.png", "The network found."),
        ],
        ["python -m mnv3_tf.search " + shlex.join(sys.argv[1:])],
    )
    print(f"Written: {out / 'spec.json'} and {page}", flush=True)
    return summary


def width_of_latency(seed: NetworkSpec, latency: float, source: Latency) -> NetworkSpec | None:
    """The seed with the width multiplier whose latency is nearest; None where none is known."""
    known = []
    for width in WIDTHS:
        spec = seed.with_width(width)
        try:
            known.append((abs(source.of([spec])[0] - latency), spec))
        except UserError:  # outside the latency table
            continue
    return min(known, key=lambda pair: pair[0])[1] if known else None
