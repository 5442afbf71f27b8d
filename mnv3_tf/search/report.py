"""What a search leaves in --out: summary.json, plots and report.html, and a table on the screen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write, write_json
from mnv3_tf.measuring.timers import Timer, measure
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import network_figure, plots
from mnv3_tf.search.candidates import Candidate, pareto
from mnv3_tf.search.latency_sources import LatencySource, shown
from mnv3_tf.search.nas import Sample
from mnv3_tf.search.netadapt import Step
from mnv3_tf.search.settings import SearchSettings
from mnv3_tf.search.space import Space
from mnv3_tf.tflite import skeleton
from mnv3_tf.ui import figures, page, tables
from mnv3_tf.ui.settings import command

COLUMNS = ("network", "predicted", "measured, part", "M MAdds", "M params", "held-out")
"""*part* is of the starting point's measured latency, *held-out* the top-1 on held-out pictures."""
MEASUREMENTS = 3
"""Of all networks together; a machine's pace drifts less within one than from one to the next."""
WIDTHS = [round(0.3 + 0.01 * number, 2) for number in range(70)]
FIFTH = 5
"""The first and the last part of a search whose mean rewards are compared."""
DPI = 150


Scored = tuple[NetworkSpec, float | None]
"""A network with its top-1 on held-out pictures, where that is known."""


class NetworkLine(TypedDict):
    """A network of summary.json; `predicted` is in the search's unit, parts are of the first's."""

    network: str
    spec_hash: str
    predicted: float
    predicted_part: float
    measured_us: float | None
    measured_part: float | None
    madds: int
    params: int
    held_out_top1: float | None


class SearchSummary(TypedDict):
    """What summary.json says of either search."""

    search: str
    unit: str
    quantize: str
    target: float
    conditions: dict[str, Any]
    networks: list[NetworkLine]


class NetAdaptSummary(SearchSummary):
    steps: int
    proposals: int


class NasSummary(SearchSummary):
    """`mean_reward` is of the first_fifth, of the last_fifth and of all."""

    strategy: str
    space_size: int
    samples: int
    trained: int
    stopped: int
    mean_reward: dict[str, float]
    best_reward: float


@dataclass(frozen=True)
class Search:
    """`target` is in the unit of `latency`; files are measured where there is a `timer`."""

    settings: SearchSettings
    target: float
    latency: LatencySource
    timer: Timer | None

    def summary(self, name: str, networks: Sequence[Scored]) -> SearchSummary:
        quantize = self.settings.quantize
        return SearchSummary(
            search=name,
            unit=self.latency.unit,
            quantize=quantize,
            target=self.target,
            conditions=dict(self.latency.conditions),
            networks=compare(networks, self.latency, self.timer, quantize),
        )


@dataclass(frozen=True)
class NasResult:
    """`beside` are the rewards of other searches, by name."""

    strategy: str
    space: Space
    samples: Sequence[Sample]
    best: Candidate
    beside: Mapping[str, Sequence[float]]


def write_netadapt(
    search: Search, start: Candidate, steps: Sequence[Step], best: Candidate
) -> NetAdaptSummary:
    """Writes all files and prints the table; returns the summary. `best` is of the last step.

    Beside the starting point and the final network stands the starting point with the width
    multiplier that has the latency of the latter.
    """
    networks: list[Scored] = [(start.spec, start.accuracy), (best.spec, best.accuracy)]
    if beside := width_of_latency(start.spec, best.latency, search.latency):
        networks.append((beside, None))
    summary: NetAdaptSummary = {
        **search.summary("netadapt", networks),
        "steps": len(steps),
        "proposals": sum(len(step.proposals) for step in steps),
    }
    path = plots.path_figure(
        [step.proposals for step in steps],
        [start, *(step.chosen for step in steps)],
        search.target,
        search.latency.unit,
    )
    channels = plots.channels_figure(start.spec, best.spec)
    _write(
        search,
        summary,
        f"NetAdapt: {start.spec.name} to {shown(search.target, search.latency.unit)}",
        [("steps", f"{len(steps)}, with {summary['proposals']} proposals")],
        [
            ("path", path, "Accuracy on held-out pictures against latency; grey: not taken."),
            ("channels", channels, "Channels of each block, before and after."),
        ],
        best,
    )
    return summary


def write_nas(search: Search, result: NasResult) -> NasSummary:
    """Writes all files and prints the table; returns the summary."""
    space, best = result.space, result.best
    rewards = [sample.reward for sample in result.samples]
    part = max(1, len(rewards) // FIFTH)
    trained = list({s.candidate.spec.hash: s.candidate for s in result.samples}.values())
    start = next((one for one in trained if one.spec.hash == space.start.hash), None)
    networks = [(space.start, start.accuracy if start else None), (best.spec, best.accuracy)]
    means = {
        "first_fifth": sum(rewards[:part]) / part,
        "last_fifth": sum(rewards[-part:]) / part,
        "all": sum(rewards) / len(rewards),
    }
    summary: NasSummary = {
        **search.summary("nas", networks),
        "strategy": result.strategy,
        "space_size": space.size,
        "samples": len(rewards),
        "trained": len(trained),
        "stopped": sum(one.stopped for one in trained),
        "mean_reward": means,
        "best_reward": max(rewards),
    }
    frontier = plots.frontier_figure(
        trained, best, search.target, search.latency.unit, {"start": start} if start else {}
    )
    over_time = plots.rewards_figure({result.strategy: rewards, **result.beside})
    _write(
        search,
        summary,
        f"Search around {space.start.name}, target {shown(search.target, search.latency.unit)}",
        [
            ("strategy", result.strategy),
            ("space", f"{space.size:.3g} architectures"),
            (
                "samples",
                f"{len(rewards)}, {len(trained)} different networks, of which "
                f"{summary['stopped']} were stopped early",
            ),
            (
                "mean reward",
                f"{means['first_fifth']:.4f} in the first fifth, {means['last_fifth']:.4f} in "
                "the last",
            ),
            ("frontier", f"{len(pareto(one for one in trained if not one.stopped))} networks"),
        ],
        [
            ("frontier", frontier, "Accuracy on held-out training pictures against latency."),
            ("rewards", over_time, "Reward of each sample, and its moving mean."),
        ],
        best,
    )
    return summary


def _write(
    search: Search,
    summary: NetAdaptSummary | NasSummary,
    title: str,
    facts: Sequence[tuple[str, str]],
    pictures: Sequence[tuple[str, Any, str]],
    best: Candidate,
) -> None:
    """`pictures` are the names of PNG files, without their ending, with figure and caption."""
    out, unit = Path(search.settings.out), search.latency.unit
    write_json(out / "summary.json", summary)
    cells = rows(summary["networks"], unit)
    tables.show(title, COLUMNS, cells)
    network = network_figure.figure(best.spec, plots.WIDTH)
    images = []
    for name, figure, caption in (*pictures, ("network", network, "The final network.")):
        images.append((out / f"{name}.png", caption))
        figures.save(figure, images[-1][0], DPI)
    conditions = ", ".join(f"{k} {v}" for k, v in search.latency.conditions.items())
    written = write_report(
        out,
        title,
        [("target", shown(search.target, unit)), ("latency", conditions), *facts],
        (COLUMNS, cells),
        images,
        [command(f"mnv3_tf.search {summary['search']}", search.settings)],
    )
    print(f"Written: {out / 'spec.json'} and {written}", flush=True)


# -- networks side by side -------------------------------------------------------------------


def compare(
    networks: Sequence[Scored],
    latency: LatencySource,
    timer: Timer | None,
    quantize: skeleton.Precision,
) -> list[NetworkLine]:
    """A line for each network.

    The first is the starting point, of whose latency the others have a part. They are measured
    together, where there is a `timer`; both latency and part are medians of the measurements.
    """
    specs = [spec for spec, _ in networks]
    predicted = latency.of(specs)
    measured: list[tuple[float | None, float | None]] = [(None, None)] * len(specs)
    if timer:
        contents = [skeleton.network(spec, quantize) for spec in specs]
        times = np.array([measure(timer, contents) for _ in range(MEASUREMENTS)])
        medians, parts = np.median(times, 0), np.median(times / times[:, :1], 0)
        measured = list(zip(medians.tolist(), parts.tolist(), strict=True))
    return [
        NetworkLine(
            network=spec.name,
            spec_hash=spec.hash,
            predicted=now,
            predicted_part=now / predicted[0],
            measured_us=microseconds,
            measured_part=part,
            madds=cost(spec).madds,
            params=cost(spec).params,
            held_out_top1=accuracy,
        )
        for (spec, accuracy), now, (microseconds, part) in zip(
            networks, predicted, measured, strict=True
        )
    ]


def rows(lines: Sequence[NetworkLine], unit: str) -> list[tuple[str, ...]]:
    """The cells of COLUMNS; predicted latencies are in `unit`."""
    return [
        (
            line["network"],
            shown(line["predicted"], unit),
            "-"
            if line["measured_us"] is None
            else f"{shown(line['measured_us'], 'µs')}  {line['measured_part']:.3f}",
            f"{line['madds'] / 1e6:.1f}",
            f"{line['params'] / 1e6:.2f}",
            "-" if line["held_out_top1"] is None else f"{line['held_out_top1']:.4f}",
        )
        for line in lines
    ]


def width_of_latency(
    start: NetworkSpec, latency: float, source: LatencySource
) -> NetworkSpec | None:
    """The network with the width multiplier whose latency is nearest; None where none is known."""
    known = []
    for width in WIDTHS:
        spec = start.with_width(width)
        try:
            known.append((abs(source.of([spec])[0] - latency), spec))
        except UserError:  # outside the latency table
            continue
    return min(known, key=lambda pair: pair[0])[1] if known else None


# -- the page --------------------------------------------------------------------------------


def write_report(
    folder: Path,
    title: str,
    facts: Iterable[tuple[str, str]],
    table: tuple[Sequence[str], Sequence[Sequence[object]]],
    images: Iterable[tuple[Path, str]],
    commands: Sequence[str],
) -> Path:
    """report.html, a page that needs nothing but itself; returns its path.

    `facts` are names and what they are; `table` has its columns' names and its rows, and is left
    out without rows; `images` are PNG files with their captions; `commands` make it all again.
    """
    columns, cells = table
    parts = [
        page.facts(facts),
        *(page.image(path, caption) for path, caption in images),
        *([page.table(columns, cells, wrap=False)] if cells else []),
        page.heading("Again"),
        page.preformatted("\n".join(commands)),
    ]
    path = folder / "report.html"
    with atomic_write(path) as temporary:
        temporary.write_text(page.document(title, parts), encoding="utf-8")
    return path
