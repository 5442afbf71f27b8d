"""Latency of .tflite files on this host, compared fairly.

Every model is loaded once and warmed up. Then come rounds: in each, every model runs one burst
of inferences, in an order shuffled anew, so that a slow moment of the machine hits all of them.
Reported are the headline, which is the tenth percentile of all inferences ("full pace", which
others' work on the machine hardly touches), and the median, with confidence intervals over the
rounds and ratios to the first model. Times are of warm caches, without filling in the input.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NotRequired, TypedDict, cast

from mnv3_tf.errors import UserError
from mnv3_tf.files import write_json
from mnv3_tf.measuring import machine, statistics
from mnv3_tf.measuring.machine import Made
from mnv3_tf.measuring.plots import Bar, plot_latency
from mnv3_tf.measuring.statistics import FEWEST_ROUNDS, HeadlineRow, RoundFigures, Rounds
from mnv3_tf.measuring.turns import invokes_per_burst, take_turns
from mnv3_tf.tflite import inspection, loading, runtime
from mnv3_tf.tflite.reading import Reading, shape_setting
from mnv3_tf.tflite.reports import FileReport
from mnv3_tf.tflite.runtime import TFLiteModel
from mnv3_tf.ui.settings import Checked, command, setting

SCHEMA_VERSION = 1
BUSY_PART = 0.3
WIDE_SPREAD = 0.10


class RecordedSettings(TypedDict):
    """`HostSettings` as results have them, where `delegate` is true for XNNPACK."""

    threads: int
    rounds: int
    burst_ms: int
    seed: int
    delegate: bool
    input_shape: NotRequired[tuple[int, ...]]


class Spread(TypedDict):
    name: str
    spread: float


class LatencyRow(HeadlineRow, RoundFigures):
    """A file's latency in microseconds, with ratios to the first file's, paired by round.

    `delegated` and `partitions` are None without XNNPACK. `peak_mb` is the memory that loading and
    running the file once adds.
    """

    name: str
    path: str
    sha256: str
    bytes: int
    quantize: str
    nodes: int
    delegated: int | None
    partitions: int | None
    min_us: float
    samples: int
    full_pace_ratio: float
    full_pace_ratio_ci: list[float]
    ratio: float
    ratio_ci: list[float]
    peak_mb: float | None


class LatencyResults(Made):
    """The results.json of `benchmark latency`."""

    schema_version: int
    settings: RecordedSettings
    models: list[LatencyRow]
    warnings: list[str]


@dataclass(frozen=True)
class HostSettings(Checked):
    """How files are timed. Raises UserError for values out of range."""

    threads: int = setting(1, "Threads of the runtime.", least=1)
    rounds: int = setting(30, "How often every model gets a turn.", least=FEWEST_ROUNDS)
    burst_ms: int = setting(50, "Length of a turn, in milliseconds.", least=1)
    seed: int = setting(0, "Of the order within rounds.")
    delegate: Literal["xnnpack", "none"] = setting(
        "xnnpack", "Who runs the operators; none is TFLite's built-in kernels."
    )
    input_shape: tuple[int, ...] | None = shape_setting()

    @property
    def with_xnnpack(self) -> bool:
        return self.delegate == "xnnpack"

    @property
    def recorded(self) -> RecordedSettings:
        """No shape is no key."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return cast(RecordedSettings, given | {"delegate": self.with_xnnpack})


def benchmark_latency(paths: Sequence[str], settings: HostSettings) -> LatencyResults:
    """Measures every file; the result is what `--json` prints.

    Raises UserError for a file that is absent, damaged, does not load, or takes an input of any
    size where the settings do not say which.
    """
    if not paths:
        raise UserError("No model to measure; give --models=a.tflite,b.tflite.")
    # All of them first: a typing mistake in the last should not cost a measurement.
    with_xnnpack, shape = settings.with_xnnpack, settings.input_shape
    peaks = [loading.check_loads(path, with_xnnpack, shape) for path in paths]
    reports = [inspection.inspect(path, Reading(input_shape=shape)) for path in paths]
    load_before, busy = os.getloadavg(), machine.cores_in_use()
    models = [runtime.TFLiteModel(path, settings.threads, with_xnnpack, shape) for path in paths]
    timings = measure(models, settings)
    names = unique_names(paths)
    rows = [
        _row(name, path, report, rounds, timings[0], with_xnnpack, peak)
        for name, path, report, rounds, peak in zip(
            names, paths, reports, timings, peaks, strict=True
        )
    ]
    again = command("benchmark latency", settings, more=[f"--models={','.join(paths)}"])
    return {
        "schema_version": SCHEMA_VERSION,
        **machine.made_by(again, load_before),
        "settings": settings.recorded,
        "models": rows,
        "warnings": find_warnings(rows, busy, os.cpu_count() or 1),
    }


def measure(models: Sequence[TFLiteModel], settings: HostSettings) -> list[Rounds]:
    """Times in microseconds, (rounds, invocations) for each model."""
    expected = [runtime.warm_up(model.invoke) for model in models]
    counts = [invokes_per_burst(us, settings.burst_ms) for us in expected]
    return take_turns(models, counts, settings.rounds, settings.seed)


def unique_names(paths: Sequence[str]) -> list[str]:
    """File names without .tflite, with their folders where files share a name."""
    paths_of: dict[str, set[str]] = {}
    for path in paths:
        paths_of.setdefault(Path(path).stem, set()).add(path)
    names = [
        Path(path).stem if len(paths_of[Path(path).stem]) == 1 else str(Path(path).with_suffix(""))
        for path in paths
    ]
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            names[i] = f"{name} ({seen[name]})"
    return names


def find_warnings(rows: Sequence[Spread], busy: float, cores: int) -> list[str]:
    """Reasons to trust the figures less. `busy` is the cores in use before the measurement."""
    warnings = []
    if busy > BUSY_PART * cores:
        warnings.append(
            f"the machine was busy before the measurement ({busy:.1f} of {cores} cores in use)."
        )
    wide = [row for row in rows if row["spread"] > WIDE_SPREAD]
    if wide:
        worst = max(wide, key=lambda row: row["spread"])
        warnings.append(
            f"rounds of {worst['name']} differ by {worst['spread']:.0%}; something else was "
            "running, or the clock frequency changed. Measure again with more rounds."
        )
    return warnings


def write_results(results: LatencyResults, out: str | Path) -> None:
    """results.json and latency.png in the folder `out`."""

    out = Path(out)
    write_json(out / "results.json", results)
    plot_latency(bars(results["models"]), title(results), out / "latency.png")


def bars(rows: Sequence[LatencyRow]) -> list[Bar]:
    return [
        Bar(
            row["name"],
            row["quantize"],
            statistics.headline_of(row),
            row["p95_us"],
            row["full_pace_ratio"],
        )
        for row in rows
    ]


def title(results: LatencyResults) -> str:
    threads = results["settings"]["threads"]
    delegate = "XNNPACK" if results["settings"]["delegate"] else "built-in kernels"
    s = "" if threads == 1 else "s"
    return f"{results['machine']['cpu']}, {threads} thread{s}, {delegate}"


def _row(
    name: str,
    path: str,
    report: FileReport,
    rounds: Rounds,
    first: Rounds,
    delegate: bool,
    peak_mb: float | None,
) -> LatencyRow:
    middle, relative = statistics.median(rounds), statistics.ratio(rounds, first)
    pace, pace_ratio = statistics.headline(rounds), statistics.headline_ratio(rounds, first)
    share = report["xnnpack"]
    return {
        "name": name,
        "path": path,
        "sha256": report["sha256"],
        "bytes": report["bytes"],
        "quantize": report["quantize"],
        "nodes": share["nodes"],
        "delegated": share["delegated"] if delegate else None,
        "partitions": share["partitions"] if delegate else None,
        "median_us": middle.value,
        "ci_us": [middle.low, middle.high],
        "min_us": float(rounds.min()),
        "samples": rounds.size,
        "full_pace_us": pace.value,
        "full_pace_ci_us": [pace.low, pace.high],
        "full_pace_ratio": pace_ratio.value,
        "full_pace_ratio_ci": [pace_ratio.low, pace_ratio.high],
        "ratio": relative.value,
        "ratio_ci": [relative.low, relative.high],
        **statistics.figures_of(rounds),
        "peak_mb": peak_mb,
    }
