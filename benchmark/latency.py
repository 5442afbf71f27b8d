"""Latency of .tflite files on this host, compared fairly.

Every model is loaded once and warmed up. Then come rounds: in each, every model runs one burst
of inferences, in an order shuffled anew, so that a slow moment of the machine hits all of them.
Reported are the median of all inferences, its confidence interval over the rounds, and the ratio
to the first model, paired by round. Times are of warm caches, without filling in the input.

    python -m benchmark latency --models=float.tflite,int8.tflite --threads=1 --out=DIR
"""

import json
import os
import platform
import random
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf import cli, tables
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write

if TYPE_CHECKING:
    from benchmark.statistics import Rounds
    from mnv3_tf.export.runtime import TFLiteModel

SCHEMA_VERSION = 1
FEWEST_INVOKES, MOST_INVOKES = 5, 500
UNTIMED_INVOKES = 2
BUSY_PART = 0.3
WIDE_SPREAD = 0.10


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_list("models", [], "The .tflite files; the first is 1x.", flag_values=values)
    flags.DEFINE_integer("threads", 1, "Threads of the runtime.", flag_values=values)
    flags.DEFINE_integer("rounds", 30, "How often every model gets a turn.", flag_values=values)
    flags.DEFINE_integer("burst_ms", 50, "Length of a turn, in milliseconds.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of the order within rounds.", flag_values=values)
    flags.DEFINE_enum(
        "delegate",
        "xnnpack",
        ["xnnpack", "none"],
        "Who runs the operators; none is TFLite's built-in kernels.",
        flag_values=values,
    )
    flags.DEFINE_string("out", None, "Folder for results.json and latency.png.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    settings = Settings(
        args.threads, args.rounds, args.burst_ms, args.seed, args.delegate == "xnnpack"
    )
    results = benchmark_latency(args.models, settings)
    tables.show(_title(results), COLUMNS, [_row(model) for model in results["models"]])
    for warning in results["warnings"]:
        print(f"Warning: {warning}")
    if args.out:
        write_results(results, args.out)
    if args.json:
        print(json.dumps(results))


@dataclass(frozen=True)
class Settings:
    """Raises UserError for values out of range."""

    threads: int = 1
    rounds: int = 30
    burst_ms: int = 50
    seed: int = 0
    delegate: bool = True

    def __post_init__(self) -> None:
        from benchmark.statistics import FEWEST_ROUNDS

        least = {"threads": 1, "rounds": FEWEST_ROUNDS, "burst_ms": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value < smallest:
                raise UserError(f"--{name}={value} is too small; give at least {smallest}.")

    @property
    def flags(self) -> str:
        """Those that every timing has, as they are given."""
        return f"--threads={self.threads} --rounds={self.rounds} --burst_ms={self.burst_ms}"

    def command(self, paths: Sequence[str]) -> str:
        words = [f"--models={','.join(paths)}", *self.flags.split(), f"--seed={self.seed}"]
        words += [f"--delegate={'xnnpack' if self.delegate else 'none'}"]
        return shlex.join(["python", "-m", "benchmark", "latency", *words])


def benchmark_latency(paths: Sequence[str], settings: Settings) -> dict[str, Any]:
    """Measures every file; the result is what `--json` prints.

    Raises UserError for a file that is absent, damaged, or does not load.
    """
    from mnv3_tf.export import inspection, runtime

    if not paths:
        raise UserError("No model to measure; give --models=a.tflite,b.tflite.")
    # All of them first: a typing mistake in the last should not cost a measurement.
    peaks = [runtime.check_loads(path, settings.delegate) for path in paths]
    reports = [inspection.inspect(path) for path in paths]
    load_before, busy = os.getloadavg(), cores_in_use()
    models = [runtime.TFLiteModel(path, settings.threads, settings.delegate) for path in paths]
    timings = measure(models, settings)
    names = unique_names(paths)
    rows = [
        _summary(name, path, report, rounds, timings[0], settings.delegate) | {"peak_mb": peak}
        for name, path, report, rounds, peak in zip(
            names, paths, reports, timings, peaks, strict=True
        )
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "command": settings.command(paths),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(load_before),
        "settings": vars(settings),
        "models": rows,
        "warnings": find_warnings(rows, busy, os.cpu_count() or 1),
    }


def measure(models: Sequence["TFLiteModel"], settings: Settings) -> list["Rounds"]:
    """Times in microseconds, (rounds, invocations) for each model."""
    from mnv3_tf.export.runtime import warm_up

    expected = [warm_up(model.invoke) for model in models]
    counts = [invokes_per_burst(us, settings.burst_ms) for us in expected]
    return take_turns(models, counts, settings.rounds, settings.seed)


def take_turns(
    models: Sequence["TFLiteModel"],
    counts: Sequence[int],
    rounds: int,
    seed: int = 0,
    with_bar: bool = True,
) -> list["Rounds"]:
    """Each model runs its count of inferences in every round."""
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    from mnv3_tf.export.runtime import sample

    timings = [np.empty((rounds, count)) for count in counts]
    order = plan(len(models), rounds, seed)
    console = Console(stderr=True)
    shown = track(order, "Measuring", console=console, transient=True, disable=not with_bar)
    for number, turns in enumerate(shown):
        for turn in turns:
            invoke = models[turn].invoke
            # The models before this one have taken the caches.
            sample(invoke, UNTIMED_INVOKES)
            timings[turn][number] = sample(invoke, counts[turn])
    return timings


def plan(models: int, rounds: int, seed: int) -> list[list[int]]:
    """For each round, the order in which the models take their turns."""
    shuffle = random.Random(seed)
    return [shuffle.sample(range(models), models) for _ in range(rounds)]


def invokes_per_burst(expected_us: float, burst_ms: float) -> int:
    return max(FEWEST_INVOKES, min(MOST_INVOKES, round(burst_ms * 1e3 / expected_us)))


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


def cores_in_use(seconds: float = 0.5) -> float:
    """How many cores' worth of work others are doing, watched for a moment.

    The load average would still count what this process itself did a minute ago. Where the
    system does not tell, the load average it is.
    """
    before = _idle_seconds()
    time.sleep(seconds)
    after = _idle_seconds()
    if before is None or after is None:
        return os.getloadavg()[0]
    return max(0.0, (os.cpu_count() or 1) - (after - before) / seconds)


def _idle_seconds() -> float | None:
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def find_warnings(rows: Sequence[dict[str, Any]], busy: float, cores: int) -> list[str]:
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


def describe_machine(load_before: Sequence[float]) -> dict[str, Any]:
    packages = ("ai-edge-litert", "numpy")
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load_before": list(load_before),
        "load_after": list(os.getloadavg()),
        "clock_mhz": _clock_mhz(),
        "platform": platform.platform(),
        "versions": {"python": platform.python_version()}
        | {package: metadata.version(package) for package in packages},
    }


def write_results(results: dict[str, Any], out: str | Path) -> None:
    """results.json and latency.png in the folder `out`."""
    from benchmark.plots import plot_latency

    out = Path(out)
    with atomic_write(out / "results.json") as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n")
    plot_latency(results["models"], _title(results), out / "latency.png")


def _summary(
    name: str,
    path: str,
    report: dict[str, Any],
    rounds: "Rounds",
    first: "Rounds",
    delegate: bool,
) -> dict[str, Any]:
    import numpy as np

    from benchmark import statistics

    middle, relative = statistics.median(rounds), statistics.ratio(rounds, first)
    share = report["xnnpack"] if delegate else dict.fromkeys(report["xnnpack"])
    return {
        "name": name,
        "path": path,
        "sha256": report["sha256"],
        "bytes": report["bytes"],
        "quantize": report["quantize"],
        "nodes": report["xnnpack"]["nodes"],
        "delegated": share["delegated"],
        "partitions": share["partitions"],
        "median_us": middle.value,
        "ci_us": [middle.low, middle.high],
        "p95_us": float(np.percentile(rounds, 95)),
        "min_us": float(rounds.min()),
        "samples": rounds.size,
        "ratio": relative.value,
        "ratio_ci": [relative.low, relative.high],
        "spread": statistics.spread(rounds),
        "rounds_us": np.median(rounds, axis=1).round(3).tolist(),
    }


COLUMNS = ("model", "ms", "± %", "p95", "ratio", "± %", "MB", "peak", "parts")
"""± is half the width of the 95 % interval, in percent, to fit; the JSON has the bounds. peak: MB
of memory that loading and running the file once adds."""


def _row(model: dict[str, Any]) -> tuple[object, ...]:
    return (
        model["name"],
        f"{model['median_us'] / 1e3:.3f}",
        _half_width(model["median_us"], model["ci_us"]),
        f"{model['p95_us'] / 1e3:.3f}",
        f"{model['ratio']:.3f}",
        _half_width(model["ratio"], model["ratio_ci"]),
        f"{model['bytes'] / 1e6:.2f}",
        "-" if model["peak_mb"] is None else f"{model['peak_mb']:.0f}",
        "-" if model["partitions"] is None else model["partitions"],
    )


def _half_width(value: float, interval: Sequence[float]) -> str:
    return f"{50 * (interval[1] - interval[0]) / value:.1f}"


def _title(results: dict[str, Any]) -> str:
    threads = results["settings"]["threads"]
    delegate = "XNNPACK" if results["settings"]["delegate"] else "built-in kernels"
    s = "" if threads == 1 else "s"
    return f"{results['machine']['cpu']}, {threads} thread{s}, {delegate}"


def _cpu_name() -> str:
    names = _cpu_facts("model name")
    return names[0] if names else platform.processor() or platform.machine()


def _clock_mhz() -> float | None:
    """The fastest core's clock right after the measurement; a virtual machine may not know it."""
    return max(map(float, _cpu_facts("cpu MHz")), default=None)


def _cpu_facts(name: str) -> list[str]:
    """Of each core, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return [line.split(":", 1)[1].strip() for line in lines if line.startswith(name)]
