"""Slower or not: what `benchmark compare` and `android_bench compare` share.

They differ in the results.json that they read, which a `Form` describes. A model became slower
where the 95 % interval of the ratio of its medians, after by before, lies above 1. That fails
where the ratio itself is above the bound. Nothing pairs the rounds of two measurements, so each
is resampled for itself.
"""

import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

from absl import flags

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.ui import cli, tables

BARE = "results"
COLUMNS = ("model", "threads", "before", "after", "change", "95 % interval", "verdict")

R = TypeVar("R")


@dataclass(frozen=True)
class Quantity:
    """What is compared: shown in `unit`, of which one is `scale`, and in JSON under `key`.

    `bound` is in percent. What differs by less than the part `jitter` is no difference.
    """

    unit: str
    scale: float
    key: str
    bound: float
    jitter: float


TIMES = Quantity("ms", 1e3, "us", 5.0, 0.0)
COUNTS = Quantity("million instructions", 1e6, "instructions", 0.5, 1e-4)


@dataclass(frozen=True)
class Timing:
    """One model in one measurement; `median_us` is None where it failed.

    Counts take the place of microseconds where a measurement is of COUNTS.

    Raises ValueError for what is no time: a ratio with it would pass for no difference.
    """

    model: str
    threads: int
    median_us: float | None
    rounds_us: Sequence[float]

    def __post_init__(self) -> None:
        if self.median_us is None:
            return
        if not self.rounds_us:
            raise ValueError(f"{self.model} has no rounds")
        for us in (self.median_us, *self.rounds_us):
            if not 0 < us < math.inf:
                raise ValueError(f"{self.model} has a time of {us}")


@dataclass(frozen=True)
class Measurement:
    """What a results.json says: names and values that must be alike, and times to pair by key."""

    conditions: Sequence[tuple[str, object]]
    timings: Mapping[Hashable, Timing]
    quantity: Quantity = TIMES


@dataclass(frozen=True)
class Form(Generic[R]):
    """A kind of results.json: the package and its command that write it, and how it is read."""

    package: str
    writer: str
    schema_version: int
    parse: Callable[[R], Measurement]


@dataclass(frozen=True)
class Change:
    """Times in microseconds, or counts; `ratio` is after by before, `low` and `high` its 95 %
    interval.
    """

    model: str
    threads: int
    before_us: float | None
    after_us: float | None
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    regression: bool


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_list("results", [], "Two folders or results.json; bare.", flag_values=values)
    flags.DEFINE_float(
        "bound",
        None,
        f"Percent by which a model may become slower; {TIMES.bound:g}, of counts {COUNTS.bound:g}.",
        0.0,
        flag_values=values,
    )
    flags.DEFINE_bool(
        "force", False, "Compare what was measured under other conditions too.", flag_values=values
    )
    cli.define_json_flag(values)


def compare(form: Form[R], args: flags.FlagValues) -> None:
    """The whole command. Raises Failure where a model became worse, UserError for bad input."""
    if len(args.results) != 2:
        raise UserError(
            f"{len(args.results)} results given; give two: python -m {form.package} compare A B"
        )
    before, after = (read(form, path) for path in args.results)
    if not before.timings:
        raise UserError(f"{args.results[0]} holds no model to guard; measure again.")
    if before.quantity != after.quantity:
        raise UserError(
            f"{args.results[0]} is in {before.quantity.unit}, {args.results[1]} in "
            f"{after.quantity.unit}; give two of one kind."
        )
    quantity = before.quantity
    bound = quantity.bound if args.bound is None else args.bound
    differences = find_differences(before, after)
    if differences and not args.force:
        raise UserError(
            f"These cannot be compared: {'; '.join(differences)}; measure again under the same "
            "conditions, or give --force."
        )
    for text in differences:
        print(f"Warning: {text}")
    changes = [
        change_between(old, after.timings.get(key), bound, quantity.jitter)
        for key, old in before.timings.items()
    ]
    rows = [_row(change, quantity.scale) for change in changes]
    tables.show(f"Before and after, in {quantity.unit}", COLUMNS, rows)
    if args.json:
        told = [_told(change, quantity.key) for change in changes]
        print(json.dumps({"bound": bound, "changes": told}))
    worse = [change for change in changes if change.regression]
    if worse:
        names = ", ".join(f"{change.model} ({change.verdict})" for change in worse)
        raise Failure(f"Worse by more than {bound:g} %: {names}.")


def read(form: Form[R], path: str) -> Measurement:
    """Raises UserError for what is no results.json of this form."""
    file = Path(path) / "results.json" if Path(path).is_dir() else Path(path)
    wanted = f"`python -m {form.package} {form.writer}`"
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"Cannot read {file}: {reason}; give what {wanted} wrote.") from None
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != form.schema_version:
        raise UserError(
            f"{file} has schema version {version}, not {form.schema_version}; measure again."
        )
    try:
        return form.parse(found)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        fault = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{file} is damaged or not of {wanted}: {fault}; measure again.") from None


def find_differences(before: Measurement, after: Measurement) -> list[str]:
    """What makes the numbers incomparable, each with both values."""
    pairs = zip(before.conditions, after.conditions, strict=False)
    return [f"{name} is {old} and {new}" for (name, old), (_, new) in pairs if old != new]


def change_between(old: Timing, new: Timing | None, bound: float, jitter: float = 0.0) -> Change:
    """Whether a model became slower; one that does no longer work is a regression too."""
    import numpy as np

    from mnv3_tf.measuring import statistics

    old_us, new_us = old.median_us, new.median_us if new else None
    if old_us is None or new is None or new_us is None:
        verdict = "failed before" if old_us is None else "fails now" if new else "is missing"
        return Change(
            old.model, old.threads, old_us, new_us, None, None, None, verdict, old_us is not None
        )
    after, before = (np.array(timing.rounds_us)[:, None] for timing in (new, old))
    ratio = statistics.unpaired_ratio(after, before)
    beyond = ratio.value > 1 + bound / 100
    if min(len(after), len(before)) < statistics.FEWEST_ROUNDS:
        verdict, regression = "too few rounds", beyond
    elif ratio.low > 1 + jitter:
        verdict, regression = "slower", beyond
    else:
        verdict, regression = ("faster" if ratio.high < 1 - jitter else "no difference"), False
    return Change(
        old.model,
        old.threads,
        old_us,
        new_us,
        ratio.value,
        ratio.low,
        ratio.high,
        verdict,
        regression,
    )


def _told(change: Change, key: str) -> dict[str, object]:
    """With the quantity's name in the keys."""
    return {name.replace("_us", f"_{key}"): value for name, value in asdict(change).items()}


def _row(change: Change, scale: float) -> tuple[str, ...]:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value / scale:.3f}"

    def percent(*ratios: float | None) -> str:
        known = [f"{100 * (ratio - 1):+.1f}" for ratio in ratios if ratio is not None]
        return f"{' to '.join(known)} %" if known else "-"

    return (
        change.model,
        str(change.threads),
        shown(change.before_us),
        shown(change.after_us),
        percent(change.ratio),
        percent(change.low, change.high),
        change.verdict,
    )
