"""What `benchmark int8` makes of its files: times side by side, results.json, tables, plots."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, TypedDict, cast

import numpy as np

from mnv3_tf.files import write_json
from mnv3_tf.measuring import latency, plots, statistics
from mnv3_tf.measuring.latency import HostSettings, LatencyRow, RecordedSettings
from mnv3_tf.measuring.machine import Made
from mnv3_tf.measuring.plots import Bar
from mnv3_tf.measuring.statistics import Headline, HeadlineRow, half_width, headline_of
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.ui import figures, tables

SCHEMA_VERSION = 1
BASES = {"float": ("float",), "stock": ("stock", "stock_random"), "relu6": ("relu6",)}
"""What times are compared with: the first of these files that loads."""
TIMES = (
    *("median_us", "ci_us", "full_pace_us", "full_pace_ci_us"),
    *("p95_us", "samples", "spread", "rounds_us"),
)
"""Of `latency.LatencyRow`."""


class MadeFile(TypedDict):
    """A file beside the network that it was made of; `error` is why XNNPACK refuses it.

    `top1`, `agreement` and `divergence` are None where nothing was evaluated; `top1_loss` is in
    points below the float network's.
    """

    file: str
    path: str
    network: str
    method: str | None
    lowering: str
    input: str | None
    sha256: str
    bytes: int
    nodes: int
    delegated: int | None
    partitions: int | None
    error: str | None
    images: int
    kernels: Literal["built-in", "xnnpack"]
    top1: float | None
    top1_loss: float | None
    agreement: float | None
    divergence: float | None


class Interval(TypedDict):
    value: float
    low: float
    high: float


class TimedFile(MadeFile):
    """With TIMES, which are None for a file that does not load, and its size by the float file's.

    `ratio` is of medians to those of each of BASES, paired by round, `full_pace_ratio` of the
    headlines; None where either file does not load.
    """

    size_ratio: float
    median_us: float | None
    ci_us: list[float] | None
    full_pace_us: float | None
    full_pace_ci_us: list[float] | None
    p95_us: float | None
    samples: int | None
    spread: float | None
    rounds_us: list[float] | None
    ratio: dict[str, Interval | None]
    full_pace_ratio: dict[str, float | None]


class Int8Results(Made):
    """results.json."""

    schema_version: int
    settings: RecordedSettings
    rows: list[TimedFile]
    warnings: list[str]


def time_files(rows: Sequence[MadeFile], settings: HostSettings, command: str) -> Int8Results:
    """Times the files that load, interleaved; `command` makes and times them again."""
    loading = [row for row in rows if not row["error"]]
    found = latency.benchmark_latency([row["path"] for row in loading], settings)
    timed = {row["file"]: model for row, model in zip(loading, found["models"], strict=True)}
    bases = {
        base: next((timed[file] for file in files if file in timed), None)
        for base, files in BASES.items()
    }
    refusals = [
        f"{row['file']} does not load under XNNPACK: {row['error']}" for row in rows if row["error"]
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "date": found["date"],
        "machine": found["machine"],
        "settings": found["settings"],
        "rows": [_timed(row, timed.get(row["file"]), bases, rows[0]["bytes"]) for row in rows],
        "warnings": refusals + found["warnings"],
    }


def _timed(
    row: MadeFile, own: LatencyRow | None, bases: Mapping[str, LatencyRow | None], float_bytes: int
) -> TimedFile:
    times = dict(own) if own else {}
    pairs = {name: (own, base) if own and base else None for name, base in bases.items()}
    tree = {
        **row,
        "size_ratio": row["bytes"] / float_bytes,
        **{key: times.get(key) for key in TIMES},
        "ratio": {name: pair and asdict(_ratio(*pair)) for name, pair in pairs.items()},
        "full_pace_ratio": {
            name: pair and headline_of(pair[0]).us / headline_of(pair[1]).us
            for name, pair in pairs.items()
        },
    }
    return cast(TimedFile, tree)


def _ratio(one: LatencyRow, base: LatencyRow) -> statistics.Estimate:
    rounds, others = (np.array(row["rounds_us"])[:, None] for row in (one, base))
    return statistics.ratio(rounds, others)


# -- tables and plots ------------------------------------------------------------------------

SPEED_COLUMNS = ("file", "MB", "size", "parts", "ms", "± %", *BASES)
ACCURACY_COLUMNS = ("file", "method", "h-swish", "kernels", "top-1", "loss", "same", "KL")
EXPLANATION = (
    "size: to float's. parts: pieces that XNNPACK computes. ms: one inference at full pace, the "
    "tenth percentile of all (fails: the file does not load), ± half of its 95 % interval. float, "
    "stock, relu6: the time by theirs. loss: top-1 below the float network's, in points. same: "
    "part of the pictures to which both give the same class. KL: divergence from its "
    "probabilities, in nats."
)


def write(results: Int8Results, spec: NetworkSpec, out: Path) -> None:
    """results.json, latency.png and, where there were pictures to evaluate on, accuracy.png."""
    write_json(out / "results.json", results)
    bars = [_bar(row) for row in results["rows"]]
    plots.plot_latency(bars, _title(results, spec), out / "latency.png")
    if evaluated := _evaluated(results["rows"]):
        images = evaluated[0]["images"]
        title = f"{_network(spec)}: top-1 on {images} pictures (one is {100 / images:.2g} points)"
        plot_accuracy(evaluated, title, out / "accuracy.png")


def plot_accuracy(rows: Sequence[TimedFile], title: str, path: Path) -> None:
    """A bar of top-1 (0 to 1) per quantised file, and the float network's as a line.

    `rows` are those that were evaluated, the float file's among them.
    """
    is_float = np.array([row["method"] is None for row in rows])
    scores = np.array([row["top1"] for row in rows], float)
    reference, top1 = scores[is_float][0], scores[~is_float]
    bars = [row for row in rows if row["method"] is not None]
    losses = np.array([row["top1_loss"] for row in bars], float)
    highest = np.maximum(top1, reference)
    figure = figures.new(8, 1.4 + 0.5 * len(bars))
    axes = figure.subplots()
    for y, row in enumerate(bars):
        axes.barh(y, top1[y], 0.6, color=plots.COLOURS.get(row["method"] or "", "#777777"))
        text = f"{top1[y]:.3f}  ({-losses[y]:+.1f} points)"
        plots.write_beside(axes, text, highest[y], y)
    colour = plots.COLOURS["none"]
    axes.axvline(reference, color=colour, linestyle="--", label=f"float {reference:.3f}")
    kernels = {"xnnpack": "XNNPACK", "built-in": "built-in kernels"}
    names = [f"{row['file']}\n{row['method']}, {kernels[row['kernels']]}" for row in bars]
    axes.set_yticks(range(len(bars)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlim(0, 1.35 * max(highest))
    axes.set_xlabel("top-1")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", frameon=False, fontsize=8)
    figures.save(figure, path, dpi=150)


def show(results: Int8Results, spec: NetworkSpec) -> None:
    rows = results["rows"]
    tables.show(_title(results, spec), SPEED_COLUMNS, [_speed(row) for row in rows])
    if evaluated := _evaluated(rows):
        title = f"Accuracy on {evaluated[0]['images']} pictures"
        tables.show(title, ACCURACY_COLUMNS, [_accuracy(row) for row in evaluated])
    print(EXPLANATION)
    if names := [row["file"] for row in rows if row["network"] != "trained"]:
        print(f"With random weights and settled BatchNorm: {', '.join(names)}.")
    for warning in results["warnings"]:
        print(f"Warning: {warning}")


def _evaluated(rows: Sequence[TimedFile]) -> list[TimedFile]:
    return [row for row in rows if row["top1"] is not None]


def _network(spec: NetworkSpec) -> str:
    return f"{spec.name}, {spec.resolution}x{spec.resolution}"


def _title(results: Int8Results, spec: NetworkSpec) -> str:
    threads = results["settings"]["threads"]
    s = "" if threads == 1 else "s"
    return f"{_network(spec)}, {results['machine']['cpu']}, {threads} thread{s}"


def _headline(row: TimedFile) -> Headline | None:
    """None for a file that does not load; others have their times."""
    return None if row["error"] else headline_of(cast(HeadlineRow, row))


def _bar(row: TimedFile) -> Bar:
    kind = {"float": "none", "relu6": "bound"}.get(row["file"], row["method"] or "none")
    headline = _headline(row)
    if headline is None:
        return Bar(row["file"], kind, text="does not load under XNNPACK")
    ratios = [f"{ratio:.2f}x {base}" for base, ratio in row["full_pace_ratio"].items() if ratio]
    text = f"{headline.us / 1e3:.2f} ms  {', '.join(ratios[:2])}"
    return Bar(row["file"], kind, headline, row["p95_us"], text=text)


def _speed(row: TimedFile) -> tuple[object, ...]:
    start = (row["file"], f"{row['bytes'] / 1e6:.2f}", f"{row['size_ratio']:.2f}")
    headline = _headline(row)
    if headline is None:
        return (*start, "-", "fails", "-", *("-" for _ in BASES))
    return (
        *start,
        row["partitions"],
        f"{headline.us / 1e3:.3f}",
        f"{half_width(headline.us, headline.interval):.1f}",
        *(f"{ratio:.2f}" if ratio else "-" for ratio in row["full_pace_ratio"].values()),
    )


def _accuracy(row: TimedFile) -> tuple[object, ...]:
    return (
        row["file"],
        row["method"] or "-",
        row["lowering"],
        row["kernels"],
        f"{row['top1']:.3f}",
        f"{row['top1_loss']:.1f}",
        f"{row['agreement']:.3f}",
        "-" if row["divergence"] is None else f"{row['divergence']:.3f}",
    )
