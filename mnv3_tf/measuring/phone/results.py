"""From the journal's runs to the rows and summaries that people and programs read."""

import csv
import io
import statistics as stats
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mnv3_tf.measuring import statistics
from mnv3_tf.measuring.phone import models, op_tables, plan
from mnv3_tf.measuring.phone.session import Session, inference_us

SCHEMA_VERSION = 1

ROW_KEYS = (
    "serial",
    "model",
    "sha256",
    "threads",
    "delegate",
    "purpose",
    "round",
    "at",
    "waited_s",
    "status",
    "error_kind",
    "error_line",
    "rejected",
    "mean_khz",
    "command",
    "log",
)
RESULT_KEYS = ("inference_avg_us", "init_us", "first_us", "warmup_avg_us")


def collect(
    sessions: Sequence[Session], settings: plan.PhoneSettings, command: str, adb_version: str
) -> dict[str, Any]:
    """What results.json holds.

    "devices" has every phone, and "device" is the first; "rows" are the timed runs, those set
    aside among them; "summary" has one entry for each phone, model and number of threads.
    """
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


def _device(session: Session) -> dict[str, Any]:
    ready = session.ready
    return ready.phone.describe() | {
        "identity": ready.phone.identity,
        "mask": ready.mask,
        "binary": {
            "sha256": ready.binary.sha256,
            "source": ready.binary.source,
            "flavour": ready.flavour,
        },
    }


def _entries(session: Session, purpose: str) -> list[dict[str, Any]]:
    """The runs of what was asked for now, in the order of time."""
    keys = {
        run.configuration.key for run in session.ready.runs if run.configuration.purpose == purpose
    }
    return [entry for entry in session.journal.entries() if entry["key"] in keys]


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    """One run; `inference_us` is its median where the binary gives one, else its mean."""
    ok = entry["status"] == "ok"
    result = entry["result"]
    inference = result["inference"]
    return {
        **{key: entry[key] for key in ROW_KEYS},
        "inference_us": inference_us(entry) if ok else None,
        **{key: result[key] for key in RESULT_KEYS},
        "p95_us": inference["p95"],
        "std_us": inference["std"],
        "count": inference["count"],
        "celsius_before": entry["before"]["celsius"],
        "celsius_after": entry["after"]["celsius"],
        "thermal_status": entry["after"]["thermal_status"],
        "current_khz": entry["after"]["current_khz"],
        "battery_percent": entry["after"]["battery_percent"],
        "free_mb": entry["before"]["free_mb"],
    }


def _summaries(session: Session) -> list[dict[str, Any]]:
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


def _summary(session: Session, run: plan.PlannedRun, first: plan.PlannedRun) -> dict[str, Any]:
    ran = session.journal.where(key=run.configuration.key)
    good = _good(session, run)
    times = [inference_us(entry) for entry in good]
    failures = [entry for entry in ran if entry["status"] != "ok"]
    last = good[-1]["result"] if good else None
    ops = _from_own_run(session, run, plan.PROFILE, "ops")
    return {
        "serial": session.adb.serial,
        "model": run.model.name,
        "path": str(run.model.path),
        "sha256": run.model.sha256,
        "bytes": run.model.bytes,
        "quantize": run.model.quantize,
        "top1": run.model.accuracy,
        "images": run.model.judged_on,
        "threads": run.configuration.threads,
        "rounds": len(good),
        "set_aside": sum(entry["rejected"] is not None for entry in ran),
        "error_kind": failures[-1]["error_kind"] if failures and not good else None,
        **_estimate(times),
        **_ratio(good, _good(session, first)),
        "p95_us": _middle(good, "p95"),
        "first_us": _median([entry["result"]["first_us"] for entry in good]),
        "init_us": _median([entry["result"]["init_us"] for entry in good]),
        "drift_percent": drift_percent(times),
        "delegate": last["delegate"] if last else None,
        "outside": op_tables.outside(ops) if ops else _foreseen_outside(session, run.model),
        "peak_mb": _from_own_run(session, run, plan.MEMORY, "memory", "peak_mb"),
        "memory_mb": _from_own_run(session, run, plan.MEMORY, "memory", "overall_mb"),
        "ops": ops,
    }


def _foreseen_outside(session: Session, model: models.Model) -> dict[str, int] | None:
    """By the file, where the phone was not asked which operators ran outside the delegate."""
    if session.settings.delegate != "xnnpack" or model.xnnpack is None:
        return None
    return model.xnnpack["outside"]


def _good(session: Session, run: plan.PlannedRun) -> list[dict[str, Any]]:
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


def _estimate(times: Sequence[float]) -> dict[str, Any]:
    """The median over rounds; an interval needs a handful of them."""
    if not times:
        return {"median_us": None, "ci_us": None}
    if len(times) < statistics.FEWEST_ROUNDS:
        return {"median_us": stats.median(times), "ci_us": None}
    found = statistics.headline(np.array(times)[:, None])
    return {"median_us": found.value, "ci_us": [found.low, found.high]}


def _ratio(good: Sequence[dict[str, Any]], first: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Against the first model, in the rounds that both have."""
    ours = {entry["round"]: inference_us(entry) for entry in good}
    theirs = {entry["round"]: inference_us(entry) for entry in first}
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return {"ratio": None, "ratio_ci": None}
    times, base = (np.array([of[n] for n in both])[:, None] for of in (ours, theirs))
    if len(both) < statistics.FEWEST_ROUNDS:
        return {"ratio": float(np.median(times / base)), "ratio_ci": None}
    found = statistics.headline_ratio(times, base)
    return {"ratio": found.value, "ratio_ci": [found.low, found.high]}


def drift_percent(times: Sequence[float]) -> float | None:
    """How much slower the last third of the rounds is than the first third."""
    third = len(times) // 3
    if not third:
        return None
    return 100 * (stats.median(times[-third:]) / stats.median(times[:third]) - 1)


def _middle(good: Sequence[dict[str, Any]], name: str) -> float | None:
    return _median([entry["result"]["inference"][name] for entry in good])


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return stats.median(known) if known else None


def _from_own_run(session: Session, run: plan.PlannedRun, purpose: str, *path: str) -> Any:
    """What the separate run of this purpose told; None without one."""
    ran = session.journal.where(key=run.configuration.asking(purpose).key)
    value = next((one["result"] for one in reversed(ran) if one["status"] == "ok"), None)
    for name in path:
        value = (value or {}).get(name)
    return value


DRIFT_PERCENT = 5.0


def failures(summary: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each model that has no result because its runs failed."""
    failed = [line for line in summary if line["error_kind"]]
    return [f"{line['model']} on {line['serial']} failed: {line['error_kind']}." for line in failed]


def find_warnings(summary: Sequence[dict[str, Any]]) -> list[str]:
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
    judged = {line["images"]: line["model"] for line in summary if line["top1"] is not None}
    if len(judged) > 1:
        told = ", ".join(f"{name} on {images}" for images, name in judged.items())
        warnings.append(f"Accuracies are not of the same pictures ({told}).")
    return warnings


def as_csv(results: dict[str, Any]) -> str:
    """A line for each row."""
    text = io.StringIO()
    if results["rows"]:
        writer = csv.DictWriter(text, list(results["rows"][0]))
        writer.writeheader()
        writer.writerows(results["rows"])
    return text.getvalue()
