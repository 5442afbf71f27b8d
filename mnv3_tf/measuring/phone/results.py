"""From the journal's runs to the rows and summaries that people and programs read."""

import csv
import io
import statistics as stats
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypedDict, cast

import numpy as np

from mnv3_tf.measuring import statistics
from mnv3_tf.measuring.phone import models, op_tables, plan
from mnv3_tf.measuring.phone.log import LogReport
from mnv3_tf.measuring.phone.log_delegate import Delegate
from mnv3_tf.measuring.phone.op_tables import OpRow
from mnv3_tf.measuring.phone.phone import PhoneFacts
from mnv3_tf.measuring.phone.session import JournalRun, RunFacts, Session, inference_us
from mnv3_tf.measuring.phone.state import PhoneState

SCHEMA_VERSION = 1


class PhoneRow(RunFacts):
    """A run; `inference_us` is its median where the binary gives one, else its mean."""

    inference_us: float | None
    inference_avg_us: float | None
    init_us: float | None
    first_us: float | None
    warmup_avg_us: float | None
    p95_us: float | None
    std_us: float | None
    count: int | None
    celsius_before: float | None
    celsius_after: float | None
    thermal_status: int | None
    current_khz: int | None
    battery_percent: int | None
    free_mb: int | None


class PhoneSummary(TypedDict):
    """A model on a phone, in microseconds and MB; None is what nobody knows.

    `ratio` is to the first model, paired by round; intervals are of 95 %. `outside` counts the
    operators that the delegate left, by type.
    """

    serial: str
    model: str
    path: str
    sha256: str
    bytes: int
    quantize: str | None
    top1: float | None
    images: int | None
    threads: int
    rounds: int
    set_aside: int
    error_kind: str | None
    median_us: float | None
    ci_us: list[float] | None
    ratio: float | None
    ratio_ci: list[float] | None
    p95_us: float | None
    first_us: float | None
    init_us: float | None
    drift_percent: float | None
    delegate: Delegate | None
    outside: dict[str, int] | None
    peak_mb: float | None
    memory_mb: float | None
    ops: list[OpRow] | None


class ProgramFacts(TypedDict):
    """benchmark_model, and which of its two kinds it is."""

    sha256: str
    source: str
    flavour: str


class DeviceFacts(PhoneFacts):
    """`identity` stays when the phone is plugged in elsewhere; `mask` None is all cores."""

    identity: str
    mask: str | None
    binary: ProgramFacts


class PhoneConditions(TypedDict):
    """`cooldown` is "auto", or seconds."""

    cores: str
    delegate: str
    threads: list[int]
    rounds: int
    num_runs: int
    cooldown: str | float
    fixed_performance: bool
    adb: str


class PhoneResults(TypedDict):
    """results.json.

    "devices" has every phone, and "device" is the first; "rows" are the timed runs, those set
    aside among them; "summary" has one entry for each phone, model and number of threads.
    """

    schema_version: int
    date: str
    command: str
    device: DeviceFacts | None
    devices: list[DeviceFacts]
    conditions: PhoneConditions
    rows: list[PhoneRow]
    summary: list[PhoneSummary]
    warnings: list[str]


def collect(
    sessions: Sequence[Session], settings: plan.PhoneSettings, command: str, adb_version: str
) -> PhoneResults:
    ready = [session for session in sessions if session.prepared]
    devices = [_device(session) for session in ready]
    timed = {session.adb.serial: _entries(session, plan.TIMING) for session in ready}
    summary = [line for session in ready for line in _summaries(session)]
    foreseen = models.warnings(sessions[0].models, settings.delegate)
    return {
        "schema_version": SCHEMA_VERSION,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "device": devices[0] if devices else None,
        "devices": devices,
        "conditions": {
            "cores": settings.cores,
            "delegate": settings.delegate,
            "threads": list(settings.threads),
            "rounds": settings.rounds,
            "num_runs": settings.num_runs,
            "cooldown": "auto" if settings.cooldown_s is None else settings.cooldown_s,
            "fixed_performance": settings.fixed_performance,
            "adb": adb_version,
        },
        "rows": [_row(entry) for entries in timed.values() for entry in entries],
        "summary": summary,
        "warnings": foreseen + find_warnings(summary),
    }


def _device(session: Session) -> DeviceFacts:
    ready = session.ready
    return {
        **ready.phone.describe(),
        "identity": ready.phone.identity,
        "mask": ready.mask,
        "binary": {
            "sha256": ready.binary.sha256,
            "source": ready.binary.source,
            "flavour": ready.flavour,
        },
    }


def _entries(session: Session, purpose: str) -> list[JournalRun]:
    """The runs of what was asked for now, in the order of time."""
    keys = {
        run.configuration.key for run in session.ready.runs if run.configuration.purpose == purpose
    }
    return [entry for entry in session.journal.entries() if entry["key"] in keys]


def _row(entry: JournalRun) -> PhoneRow:
    known, result = dict(entry), entry["result"]
    inference = result["inference"]
    before, after = PhoneState(**entry["before"]), PhoneState(**entry["after"])
    return {
        **cast(RunFacts, {key: known[key] for key in RunFacts.__annotations__}),
        "inference_us": inference_us(result) if entry["status"] == "ok" else None,
        "inference_avg_us": result["inference_avg_us"],
        "init_us": result["init_us"],
        "first_us": result["first_us"],
        "warmup_avg_us": result["warmup_avg_us"],
        "p95_us": inference["p95"],
        "std_us": inference["std"],
        "count": inference["count"],
        "celsius_before": before.celsius,
        "celsius_after": after.celsius,
        "thermal_status": after.thermal_status,
        "current_khz": after.current_khz,
        "battery_percent": after.battery_percent,
        "free_mb": before.free_mb,
    }


def _summaries(session: Session) -> list[PhoneSummary]:
    configurations = {
        (run.model.name, run.configuration.threads): run
        for run in session.ready.runs
        if run.configuration.purpose == plan.TIMING
    }
    firsts = {
        threads: next(run for (_, other), run in configurations.items() if other == threads)
        for threads in session.settings.threads
    }
    return [
        _summary(session, run, firsts[run.configuration.threads]) for run in configurations.values()
    ]


def _summary(session: Session, run: plan.PlannedRun, first: plan.PlannedRun) -> PhoneSummary:
    ran = session.journal.where(key=run.configuration.key)
    good = _good(session, run)
    results = [entry["result"] for entry in good]
    times = [inference_us(result) for result in results]
    failures = [entry for entry in ran if entry["status"] != "ok"]
    median_us, ci_us = _estimate(times)
    ratio, ratio_ci = _ratio(good, _good(session, first))
    profile, memory = (_asked(session, run, what) for what in (plan.PROFILE, plan.MEMORY))
    ops = profile["ops"] if profile else None
    return {
        "serial": session.adb.serial,
        "model": run.model.name,
        "path": str(run.model.path),
        "sha256": run.model.sha256,
        "bytes": run.model.bytes,
        "quantize": run.model.quantize,
        "top1": run.model.accuracy,
        "images": run.model.evaluated_on,
        "threads": run.configuration.threads,
        "rounds": len(good),
        "set_aside": sum(entry["rejected"] is not None for entry in ran),
        "error_kind": failures[-1]["error_kind"] if failures and not good else None,
        "median_us": median_us,
        "ci_us": ci_us,
        "ratio": ratio,
        "ratio_ci": ratio_ci,
        "p95_us": _median([result["inference"]["p95"] for result in results]),
        "first_us": _median([result["first_us"] for result in results]),
        "init_us": _median([result["init_us"] for result in results]),
        "drift_percent": drift_percent(times),
        "delegate": results[-1]["delegate"] if results else None,
        "outside": op_tables.outside(ops) if ops else _foreseen_outside(session, run.model),
        "peak_mb": memory["memory"]["peak_mb"] if memory else None,
        "memory_mb": memory["memory"]["overall_mb"] if memory else None,
        "ops": ops,
    }


def _foreseen_outside(session: Session, model: models.Model) -> dict[str, int] | None:
    """By the file, where the phone was not asked which operators ran outside the delegate."""
    if session.settings.delegate != "xnnpack" or model.xnnpack is None:
        return None
    return model.xnnpack["outside"]


def _good(session: Session, run: plan.PlannedRun) -> list[JournalRun]:
    """One run for each round: the last that was not set aside."""
    by_round = {
        entry["round"]: entry
        for entry in session.journal.where(key=run.configuration.key)
        if entry["status"] == "ok" and not entry["rejected"]
    }
    asked = {
        other.round for other in session.ready.runs if other.configuration == run.configuration
    }
    return [by_round[number] for number in sorted(by_round) if number in asked]


Figure = tuple[float | None, list[float] | None]
"""With its interval, which needs a handful of rounds."""


def _estimate(times: Sequence[float]) -> Figure:
    """The median over rounds."""
    if not times:
        return None, None
    return _figure(statistics.headline(np.array(times)[:, None]), len(times))


def _ratio(good: Sequence[JournalRun], first: Sequence[JournalRun]) -> Figure:
    """Against the first model, in the rounds that both have."""
    ours = {entry["round"]: inference_us(entry["result"]) for entry in good}
    theirs = {entry["round"]: inference_us(entry["result"]) for entry in first}
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return None, None
    times, base = (np.array([of[n] for n in both])[:, None] for of in (ours, theirs))
    return _figure(statistics.headline_ratio(times, base), len(both))


def _figure(found: statistics.Estimate, rounds: int) -> Figure:
    enough = rounds >= statistics.FEWEST_ROUNDS
    return found.value, [found.low, found.high] if enough else None


def drift_percent(times: Sequence[float]) -> float | None:
    """How much slower the last third of the rounds is than the first third."""
    third = len(times) // 3
    if not third:
        return None
    return 100 * (stats.median(times[-third:]) / stats.median(times[:third]) - 1)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return stats.median(known) if known else None


def _asked(session: Session, run: plan.PlannedRun, purpose: str) -> LogReport | None:
    """What the separate run of this purpose printed; None without one."""
    ran = session.journal.where(key=run.configuration.asking(purpose).key)
    return next((one["result"] for one in reversed(ran) if one["status"] == "ok"), None)


DRIFT_PERCENT = 5.0


def failures(summary: Sequence[PhoneSummary]) -> list[str]:
    """A sentence for each model that has no result because its runs failed."""
    failed = [line for line in summary if line["error_kind"]]
    return [f"{line['model']} on {line['serial']} failed: {line['error_kind']}." for line in failed]


def find_warnings(summary: Sequence[PhoneSummary]) -> list[str]:
    """Reasons to trust the figures less."""
    warnings = failures(summary)
    for line in summary:
        name = f"{line['model']} on {line['serial']}"
        if not line["rounds"] and not line["error_kind"]:
            warnings.append(f"{name} has no run that the phone did not spoil.")
        if abs(line["drift_percent"] or 0) > DRIFT_PERCENT:
            warnings.append(
                f"{name} drifted by {line['drift_percent']:+.0f} % from the first rounds to the "
                "last; let the phone cool, or give --fixed_performance."
            )
        if line["set_aside"]:
            s = " was" if line["set_aside"] == 1 else "s were"
            warnings.append(f"{name}: {line['set_aside']} run{s} set aside.")
    evaluated = {line["images"]: line["model"] for line in summary if line["top1"] is not None}
    if len(evaluated) > 1:
        listed = ", ".join(f"{name} on {images}" for images, name in evaluated.items())
        warnings.append(f"Accuracies are not of the same pictures ({listed}).")
    return warnings


def as_csv(results: PhoneResults) -> str:
    """A line for each row."""
    text = io.StringIO()
    if results["rows"]:
        writer = csv.DictWriter(text, list(results["rows"][0]))
        writer.writeheader()
        writer.writerows(results["rows"])
    return text.getvalue()
