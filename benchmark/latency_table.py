"""Fills the latency table on which a search stands, and measures how wrong its predictions are.

The operators that the networks of a space can have are timed one by one on grids of channels, in
float and int8. Then networks drawn from the space are timed whole: half of them fit the
correction of the sums, the other half measure its error.

    python -m benchmark latency_table --out=host.json
    python -m benchmark latency_table --seeds=small --resolution=128 --out=small.json
    python -m benchmark latency_table --device=SERIAL --out=phone.json    (through android_bench)
    python -m benchmark latency_table --device=arm:cortex-a76 --out=a76.json    (counted)

The same command goes on where it stopped: what was timed is kept beside --out, in
host.timings.jsonl. --out and its plot host.png are written at the end.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.measuring.arm.cores import DEVICE
from mnv3_tf.measuring.timers import open_timer
from mnv3_tf.measuring.timings import TimingJob, Timings
from mnv3_tf.networks.blocks import InvertedResidual
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import latency_model
from mnv3_tf.search.latency_model import Errors, Grid, Key, LatencyTable, TableErrors
from mnv3_tf.search.proposals import shrunk
from mnv3_tf.search.space import Space
from mnv3_tf.tflite import skeleton
from mnv3_tf.ui import cli, tables
from mnv3_tf.ui.settings import Checked, define, read, setting

if TYPE_CHECKING:
    from mnv3_tf.networks.graph import Operator

PRECISIONS: tuple[skeleton.Precision, ...] = ("none", "int8")
OPERATOR_BURST_MS, NETWORK_BURST_MS = 4.0, 60.0
WIDTHS = (0.5, 1.25)
CLASSES = (2, 1000)
"""How many there may be, whatever the seeds have."""
COLUMNS = ("kind", "networks", "median error", "95 % below", "Spearman", "sum of parts")


@dataclass(frozen=True, kw_only=True)
class TableSettings(Checked):
    """What a table spans, and where it is timed. Raises UserError for values out of range."""

    seeds: tuple[str, ...] = setting(("large", "small"), "Networks whose spaces are spanned.")
    resolution: int = setting(224, "Side of the networks' input, in pixels.", least=1)
    smallest: float | None = setting(
        None, "Also span the networks down to this part of the seeds' channels, for NetAdapt."
    )
    networks: int = setting(
        40, "Random networks to measure the error by, and as many again to fit.", least=2
    )
    plane: int = setting(4, "Channel counts on each axis of a convolution's grid.", least=1)
    line: int = setting(5, "Channel counts of the other operators.", least=1)
    rounds: int = setting(20, "How often each file gets a turn.", least=1)
    threads: int = setting(1, "Threads of the runtime.", least=1)
    seed: int = setting(0, "Of the random networks.")
    device: str | None = setting(None, f"{DEVICE} None is host.")
    adb: str | None = setting(None, "The adb client.")
    benchmark_binary: str | None = setting(None, "benchmark_model.")
    out: str = setting(MISSING, "The table, a JSON file.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.out or "").suffix != ".json" or Path(self.out).is_dir():
            raise UserError(f"--out={self.out or ''} is no JSON file; give --out=FILE.json.")


def define_flags(values: flags.FlagValues) -> None:
    define(values, TableSettings)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    from benchmark.latency_table_plot import plot_errors

    asked = read(args, TableSettings)
    out = Path(asked.out)
    spaces = [space_around(resolve(name, resolution=asked.resolution)) for name in asked.seeds]
    plans = latency_model.plan_grids(spanning(spaces, asked.smallest), asked.plane, asked.line)
    timer = open_timer(asked.device, asked.adb, asked.benchmark_binary, asked.threads, asked.rounds)
    timings = Timings(out.with_suffix(".timings.jsonl"), timer)
    table = LatencyTable(timer.conditions)
    for quantize in PRECISIONS:
        table.grids[quantize] = measure_grids(plans, quantize, timings)
    predictions: dict[str, Predictions] = {}
    networks = draw(spaces, 2 * asked.networks, asked.seed)
    for quantize in PRECISIONS:
        predictions[quantize] = evaluate(table, networks, quantize, timings)
        table.errors[quantize] = predictions[quantize].errors
    with atomic_write(out) as temporary:
        temporary.write_text(table.to_json())
    plot_errors(predictions, table.conditions, out.with_suffix(".png"))
    tables.show(
        f"Predicted and measured, {table.conditions['device']}",
        COLUMNS,
        [line(quantize, errors) for quantize, errors in table.errors.items()],
    )
    print(f"Written: {out} and {out.with_suffix('.png')}")
    if args.json:
        print(json.dumps({"out": str(out), "errors": table.errors}))


@dataclass(frozen=True)
class Widths:
    """In the place of a space for a network that has none: itself at WIDTHS times its channels."""

    start: NetworkSpec

    def corners(self, smallest: float | None = None) -> Iterator[NetworkSpec]:
        yield from (self.start.with_width(width) for width in WIDTHS)
        if smallest is not None:
            yield shrunk(self.start, smallest)

    def sample_freely(self, rng: np.random.Generator) -> NetworkSpec:
        return self.start.with_width(float(rng.uniform(*WIDTHS)))


def space_around(seed: NetworkSpec) -> Space | Widths:
    """Its space of inverted residuals, or else its widths."""
    residuals = all(isinstance(block, InvertedResidual) for block in seed.blocks)
    return Space(seed) if residuals else Widths(seed)


def spanning(spaces: Iterable[Space | Widths], smallest: float | None) -> Iterator[NetworkSpec]:
    """Networks between which the grids are laid."""
    for space in spaces:
        yield space.start
        yield from (space.start.replace(num_classes=classes) for classes in CLASSES)
        yield from space.corners(smallest)
        if smallest is not None:
            # What NetAdapt leaves alone, the width multiplier that stands beside it shrinks.
            yield space.start.with_width(smallest)


def draw(spaces: Sequence[Space | Widths], count: int, seed: int) -> list[NetworkSpec]:
    """Networks of all spaces in turn."""
    rng = np.random.default_rng(seed)
    return [spaces[number % len(spaces)].sample_freely(rng) for number in range(count)]


def measure_grids(
    plans: Mapping[Key, tuple["Operator", tuple[tuple[int, ...], ...]]],
    quantize: skeleton.Precision,
    timings: Timings,
) -> dict[Key, Grid]:
    jobs = {
        (key, channels): TimingJob(
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


@dataclass(frozen=True)
class Predictions:
    """Of networks that the table was not fitted to, in microseconds; `sum_us` are plain sums."""

    measured_us: np.ndarray
    predicted_us: np.ndarray
    sum_us: np.ndarray

    @property
    def errors(self) -> TableErrors:
        plain = describe_errors(self.sum_us, self.measured_us)
        return {**describe_errors(self.predicted_us, self.measured_us), "sum_of_parts": plain}


def evaluate(
    table: LatencyTable,
    networks: Sequence[NetworkSpec],
    quantize: skeleton.Precision,
    timings: Timings,
) -> Predictions:
    """Fits the correction to the first half of the networks, and evaluates it on the others."""
    jobs = [
        TimingJob(f"{quantize} {spec.hash}", spec, quantize, NETWORK_BURST_MS) for spec in networks
    ]
    measured = np.array(timings.of(jobs, f"Networks, {quantize}"))
    features = np.array([table.features(spec, quantize) for spec in networks])
    half = len(networks) // 2
    table.weights[quantize] = latency_model.fit(features[:half], measured[:half])
    held_out = features[half:]
    predicted, plain = held_out @ table.weights[quantize], held_out @ latency_model.PRIOR
    return Predictions(measured[half:], predicted, plain)


def describe_errors(predicted: np.ndarray, measured: np.ndarray) -> Errors:
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


def line(quantize: str, errors: TableErrors) -> tuple[str, ...]:
    return (
        "float" if quantize == "none" else quantize,
        str(errors["networks"]),
        f"{errors['median']:.1%}",
        f"{errors['p95']:.1%}",
        f"{errors['spearman']:.3f}",
        f"{errors['sum_of_parts']['median']:.1%}",
    )
