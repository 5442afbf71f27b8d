"""Tests whether models became slower from one measurement to another; 1 if they did.

python -m android_bench compare before/ after/ --bound=5
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from android_bench.results import SCHEMA_VERSION
from benchmark import statistics
from mnv3_tf import cli, tables
from mnv3_tf.errors import Failure, UserError

BARE = "results"
DEVICE_FIELDS = ("model", "soc", "build", "mask")
CONDITION_FIELDS = ("delegate", "num_runs", "fixed_performance")
COLUMNS = ("model", "threads", "before", "after", "change", "95 % interval", "verdict")

Results = dict[str, Any]
Key = tuple[str, str, int]


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_list("results", [], "Two folders or results.json; bare.", flag_values=values)
    flags.DEFINE_float(
        "bound", 5.0, "Percent by which a model may become slower.", 0.0, flag_values=values
    )
    flags.DEFINE_bool(
        "force", False, "Compare other phones, cores or binaries too.", flag_values=values
    )
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    if len(args.results) != 2:
        raise UserError(
            f"{len(args.results)} results given; give two: python -m android_bench compare A B"
        )
    before, after = (read(path) for path in args.results)
    differences = find_differences(before, after)
    if differences and not args.force:
        raise UserError(
            f"These cannot be compared: {'; '.join(differences)}. Measure again under the same "
            "conditions, or give --force."
        )
    for text in differences:
        print(f"Warning: {text}")
    changes = [
        compare(key, old, summaries(after).get(key), args.bound, before, after)
        for key, old in summaries(before).items()
    ]
    tables.show("Before and after, in ms", COLUMNS, [_row(change) for change in changes])
    if args.json:
        print(json.dumps({"bound": args.bound, "changes": [asdict(change) for change in changes]}))
    worse = [change for change in changes if change.regression]
    if worse:
        told = ", ".join(f"{change.model} ({change.verdict})" for change in worse)
        raise Failure(f"Worse by more than {args.bound:g} %: {told}.")


def read(path: str) -> Results:
    """Raises UserError for what is no results.json of this version."""
    file = Path(path) / "results.json" if Path(path).is_dir() else Path(path)
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {file}: {error}; give what `run` wrote.") from None
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != SCHEMA_VERSION or "summary" not in found:
        raise UserError(
            f"{file} has schema version {version}, not {SCHEMA_VERSION}; measure again."
        )
    return found


def find_differences(before: Results, after: Results) -> list[str]:
    """What makes the numbers incomparable, each with both values."""
    told = [
        (name, before["conditions"][name], after["conditions"][name]) for name in CONDITION_FIELDS
    ]
    for old, new in zip(before["devices"], after["devices"], strict=False):
        told += [(name, old[name], new[name]) for name in DEVICE_FIELDS]
        told += [("binary", old["binary"]["sha256"], new["binary"]["sha256"])]
    told += [("number of phones", len(before["devices"]), len(after["devices"]))]
    return [f"{name} is {old} and {new}" for name, old, new in told if old != new]


def summaries(found: Results) -> dict[Key, dict[str, Any]]:
    """By phone, model and threads; a phone is known by its place, since serials may change."""
    places = {device["serial"]: str(place) for place, device in enumerate(found["devices"])}
    return {
        (places[line["serial"]], line["model"], line["threads"]): line for line in found["summary"]
    }


@dataclass(frozen=True)
class Change:
    """Times in microseconds; `ratio` is after by before, `low` and `high` its 95 % interval."""

    model: str
    threads: int
    before_us: float | None
    after_us: float | None
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    regression: bool


def compare(
    key: Key,
    old: dict[str, Any],
    new: dict[str, Any] | None,
    bound: float,
    before: Results,
    after: Results,
) -> Change:
    _, model, threads = key
    old_us, new_us = old["median_us"], new["median_us"] if new else None
    if old_us is None or new is None or new_us is None:
        verdict = "failed before" if old_us is None else "fails now" if new else "is missing"
        return Change(model, threads, old_us, new_us, None, None, None, verdict, old_us is not None)
    ratio = statistics.unpaired_ratio(times(after, new), times(before, old))
    if min(old["rounds"], new["rounds"]) < statistics.FEWEST_ROUNDS:
        verdict, regression = "too few rounds", ratio.value > 1 + bound / 100
    elif ratio.low > 1:
        verdict, regression = "slower", ratio.value > 1 + bound / 100
    else:
        verdict, regression = ("faster" if ratio.high < 1 else "no difference"), False
    return Change(
        model, threads, old_us, new_us, ratio.value, ratio.low, ratio.high, verdict, regression
    )


def times(found: Results, line: dict[str, Any]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Of the runs that count, (rounds, 1)."""
    good = {
        row["round"]: row["inference_us"]
        for row in found["rows"]
        if (row["serial"], row["sha256"], row["threads"])
        == (line["serial"], line["sha256"], line["threads"])
        and row["status"] == "ok"
        and not row["rejected"]
    }
    return np.array(list(good.values()), dtype=np.float64)[:, None]


def _row(change: Change) -> tuple[str, ...]:
    def ms(value: float | None) -> str:
        return "-" if value is None else f"{value / 1e3:.2f}"

    def percent(ratio: float | None) -> str:
        return "-" if ratio is None else f"{100 * (ratio - 1):+.1f} %"

    interval = "-" if change.low is None else f"{percent(change.low)} to {percent(change.high)}"
    return (
        change.model,
        str(change.threads),
        ms(change.before_us),
        ms(change.after_us),
        percent(change.ratio),
        interval,
        change.verdict,
    )
