"""Fills the latency table on which a search stands, and measures how wrong its predictions are.

The operators that the networks of a space can have are timed one by one on grids of channels, in
float and int8. Then networks drawn from the space are timed whole: half of them fit the
correction of the sums, the other half tell its error.

    python -m benchmark latency_table --out=host.json
    python -m benchmark latency_table --seeds=small --resolution=128 --out=small.json
    python -m benchmark latency_table --device=SERIAL --out=phone.json    (through android_bench)

The same command goes on where it stopped: what was timed is kept beside --out, in
host.timings.jsonl. --out and its plot host.png are written at the end.
"""

import itertools
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from absl import flags

from mnv3_tf import cli, tables
from mnv3_tf.errors import UserError
from mnv3_tf.export import skeleton
from mnv3_tf.files import atomic_write
from mnv3_tf.networks import resolve
from mnv3_tf.search import latency_model
from mnv3_tf.search.latency_model import Grid, Key, LatencyTable
from mnv3_tf.search.space import Space
from mnv3_tf.spec import NetworkSpec

if TYPE_CHECKING:
    from mnv3_tf.cost import Operator

PRECISIONS: tuple[skeleton.Precision, ...] = ("none", "int8")
CHUNK = 60  # files timed side by side
OPERATOR_BURST_MS, NETWORK_BURST_MS = 4.0, 60.0
COLUMNS = ("kind", "networks", "median error", "95 % below", "Spearman", "sum of parts")


def define_flags(values: flags.FlagValues) -> None:
    def count(name: str, default: int, meaning: str, least: int = 1) -> None:
        flags.DEFINE_integer(name, default, meaning, least, flag_values=values)

    flags.DEFINE_list(
        "seeds", ["large", "small"], "Networks whose spaces are spanned.", flag_values=values
    )
    count("resolution", 224, "Side of the networks' input, in pixels.")
    count("networks", 40, "Random networks to judge by, and as many again to fit.", 2)
    count("plane", 4, "Channel counts on each axis of a convolution's grid.")
    count("line", 5, "Channel counts of the other operators.")
    count("rounds", 20, "How often each file gets a turn.")
    count("threads", 1, "Threads of the runtime.")
    flags.DEFINE_integer("seed", 0, "Of the random networks.", flag_values=values)
    flags.DEFINE_string("device", None, "Serial of a phone, instead of here.", flag_values=values)
    flags.DEFINE_string("adb", None, "The adb client.", flag_values=values)
    flags.DEFINE_string("benchmark_binary", None, "benchmark_model.", flag_values=values)
    flags.DEFINE_string("out", None, "The table, a JSON file.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    from benchmark.latency_table_plot import plot_errors

    out = Path(args.out or "")
    if out.suffix != ".json" or out.is_dir():
        raise UserError(f"--out={args.out or ''} is no JSON file; give --out=FILE.json.")
    spaces = [Space(resolve(name, resolution=args.resolution)) for name in args.seeds]
    timer = open_timer(args)
    timings = Timings(out.with_suffix(".timings.jsonl"), timer)
    table = LatencyTable(timer.conditions)
    spanning = (spec for space in spaces for spec in (space.seed, *space.corners()))
    plans = latency_model.plan_grids(spanning, args.plane, args.line)
    for quantize in PRECISIONS:
        table.grids[quantize] = measure_grids(plans, quantize, timings)
    judged: dict[str, Any] = {}
    networks = draw(spaces, 2 * args.networks, args.seed)
    for quantize in PRECISIONS:
        judged[quantize] = judge(table, networks, quantize, timings)
        table.errors[quantize] = judged[quantize]["errors"]
    with atomic_write(out) as temporary:
        temporary.write_text(table.to_json())
    plot_errors(judged, table.conditions, out.with_suffix(".png"))
    tables.show(
        f"Predicted and measured, {table.conditions['device']}",
        COLUMNS,
        [line(quantize, errors) for quantize, errors in table.errors.items()],
    )
    print(f"Written: {out} and {out.with_suffix('.png')}")
    if args.json:
        print(json.dumps({"out": str(out), "errors": table.errors}))


def draw(spaces: Sequence[Space], count: int, seed: int) -> list[NetworkSpec]:
    """Networks of all spaces in turn."""
    rng = np.random.default_rng(seed)
    return [spaces[number % len(spaces)].sample(rng) for number in range(count)]


def measure_grids(
    plans: Mapping[Key, tuple["Operator", tuple[tuple[int, ...], ...]]],
    quantize: skeleton.Precision,
    timings: "Timings",
) -> dict[Key, Grid]:
    jobs = {
        (key, channels): Job(
            f"{quantize} {key} {channels}",
            latency_model.with_channels(op, channels),
            quantize,
            OPERATOR_BURST_MS,
        )
        for key, (op, knots) in plans.items()
        for channels in itertools.product(*knots)
    }
    us = dict(zip(jobs, timings.of(list(jobs.values()), f"Operators, {quantize}"), strict=True))
    grids = {}
    for key, (_, knots) in plans.items():
        values = np.array([us[key, channels] for channels in itertools.product(*knots)])
        grids[key] = Grid(knots, values.reshape([len(axis) for axis in knots]))
    return grids


def judge(
    table: LatencyTable,
    networks: Sequence[NetworkSpec],
    quantize: skeleton.Precision,
    timings: "Timings",
) -> dict[str, Any]:
    """Fits the correction to the first half of the networks, and tells the errors of the others."""
    jobs = [Job(f"{quantize} {spec.hash}", spec, quantize, NETWORK_BURST_MS) for spec in networks]
    measured = np.array(timings.of(jobs, f"Networks, {quantize}"))
    features = np.array([table.features(spec, quantize) for spec in networks])
    half = len(networks) // 2
    table.weights[quantize] = latency_model.fit(features[:half], measured[:half])
    predicted, held_out = features[half:] @ table.weights[quantize], measured[half:]
    plain = features[half:] @ latency_model.PRIOR
    return {
        "measured_us": held_out.tolist(),
        "predicted_us": predicted.tolist(),
        "sum_us": plain.tolist(),
        "errors": describe_errors(predicted, held_out)
        | {"sum_of_parts": describe_errors(plain, held_out)},
    }


def describe_errors(predicted: np.ndarray, measured: np.ndarray) -> dict[str, Any]:
    """Of relative size; "p95" is below which 95 % of them are."""
    errors = np.abs(predicted / measured - 1)
    return {
        "networks": len(measured),
        "median": float(np.median(errors)),
        "p95": float(np.quantile(errors, 0.95, method="higher")),
        "spearman": spearman(predicted, measured),
    }


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    first, second = (np.argsort(np.argsort(values)) for values in (one, other))
    return float(np.cov(first, second)[0, 1] / (first.std(ddof=1) * second.std(ddof=1)))


def line(quantize: str, errors: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        "float" if quantize == "none" else quantize,
        str(errors["networks"]),
        f"{errors['median']:.1%}",
        f"{errors['p95']:.1%}",
        f"{errors['spearman']:.3f}",
        f"{errors['sum_of_parts']['median']:.1%}",
    )


# -- timing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """An operator or a network to be timed; `name` tells it from all others."""

    name: str
    what: "Operator | NetworkSpec"
    quantize: skeleton.Precision
    burst_ms: float

    def content(self) -> bytes:
        if isinstance(self.what, NetworkSpec):
            return skeleton.network(self.what, self.quantize)
        return skeleton.single(self.what, self.quantize)


class Timer(Protocol):
    """Where files are timed. `conditions` say what the numbers are of."""

    conditions: dict[str, Any]

    def time(self, paths: Sequence[Path], burst_ms: float) -> list[float]:
        """Microseconds of each file."""
        ...


class HostTimer:
    """This computer, in interleaved rounds."""

    def __init__(self, threads: int, rounds: int) -> None:
        from benchmark.latency import describe_machine

        machine = describe_machine(os.getloadavg())
        self.conditions = {
            "device": machine["cpu"],
            "threads": threads,
            "delegate": "xnnpack",
            "runtime": f"ai-edge-litert {machine['versions']['ai-edge-litert']}",
            "rounds": rounds,
        }
        self._threads, self._rounds = threads, rounds

    def time(self, paths: Sequence[Path], burst_ms: float) -> list[float]:
        from benchmark import latency, statistics
        from mnv3_tf.export.runtime import TFLiteModel, sample

        models = [TFLiteModel(path, self._threads) for path in paths]
        counts = []
        for model in models:
            sample(model.invoke, latency.UNTIMED_INVOKES)
            expected = float(np.median(sample(model.invoke, latency.FEWEST_INVOKES)))
            counts.append(latency.invokes_per_burst(expected, burst_ms))
        timings = latency.take_turns(models, counts, self._rounds, with_bar=False)
        return [float(np.quantile(rounds, statistics.FULL_PACE)) for rounds in timings]


def open_timer(args: flags.FlagValues) -> Timer:
    if args.device:
        from benchmark.phone_timer import PhoneTimer

        return PhoneTimer(args.device, args.adb, args.benchmark_binary, args.threads, args.rounds)
    return HostTimer(args.threads, args.rounds)


class Timings:
    """What was timed, a line of `path` for each file; damaged last lines are dropped.

    Raises UserError where the file is of other conditions.
    """

    def __init__(self, path: Path, timer: Timer) -> None:
        self._path, self._timer = path, timer
        self._known: dict[str, float] = {}
        text, told = path.read_text() if path.is_file() else "", False
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("conditions", timer.conditions) != timer.conditions:
                raise UserError(
                    f"{path} was measured under {entry['conditions']}, not {timer.conditions}; "
                    "remove it, or give another --out."
                )
            told |= "conditions" in entry
            if "name" in entry:
                self._known[entry["name"]] = entry["us"]
        # What follows must not be glued to a line that was cut.
        cut = "" if text.endswith("\n") or not text else "\n"
        self._append([] if told else [{"conditions": timer.conditions}], cut)

    def of(self, jobs: Sequence[Job], doing: str) -> list[float]:
        """Microseconds of each job; what is not known yet is timed, and kept."""
        from rich.console import Console
        from rich.progress import track

        missing = [job for job in jobs if job.name not in self._known]
        # Mixed, so that a slow minute of the machine does not hit one kind of operator alone.
        order = np.random.default_rng(0).permutation(len(missing))
        chunks = [
            [missing[number] for number in order[start : start + CHUNK]]
            for start in range(0, len(missing), CHUNK)
        ]
        for chunk in track(chunks, doing, console=Console(stderr=True), transient=True):
            with tempfile.TemporaryDirectory() as folder:
                paths = [Path(folder) / f"{number}.tflite" for number in range(len(chunk))]
                for path, job in zip(paths, chunk, strict=True):
                    path.write_bytes(job.content())
                times = self._timer.time(paths, chunk[0].burst_ms)
            entries = [{"name": job.name, "us": us} for job, us in zip(chunk, times, strict=True)]
            self._append(entries)
            self._known |= {entry["name"]: entry["us"] for entry in entries}
        return [self._known[job.name] for job in jobs]

    def _append(self, entries: Sequence[Mapping[str, Any]], before: str = "") -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(before + "".join(json.dumps(entry) + "\n" for entry in entries))
            file.flush()
            os.fsync(file.fileno())
