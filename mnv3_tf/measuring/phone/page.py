"""The results as one page that needs nothing but itself."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from mnv3_tf.measuring.phone import plots, report
from mnv3_tf.measuring.phone.results import PhoneResults, PhoneSummary
from mnv3_tf.measuring.plots import Bar, plot_latency
from mnv3_tf.measuring.statistics import headline_of
from mnv3_tf.ui import page


def html(found: PhoneResults) -> str:
    return page.document(report.title(found), _parts(found))


def _parts(found: PhoneResults) -> Iterator[str]:
    yield page.table(report.columns(found), report.summary_rows(found))
    yield page.paragraph(report.EXPLANATION)
    for text in found["warnings"]:
        yield page.paragraph(f"Warning: {text}")
    for device in found["devices"]:
        yield page.heading(report.device_name(device))
        yield page.facts(report.device_rows(device))
        yield from _pictures(found, device["serial"])
    yield page.heading("Conditions")
    yield page.facts(report.condition_rows(found))
    yield from _failures(found)
    yield page.heading("Again")
    yield page.preformatted(found["command"])
    yield page.paragraph("A run of each model, as it was sent:")
    yield page.preformatted("\n".join(_commands(found)))


def _pictures(found: PhoneResults, serial: str) -> Iterator[str]:
    summary = [line for line in found["summary"] if line["serial"] == serial]
    rows = [row for row in found["rows"] if row["serial"] == serial]
    timed = [_bar(line, us) for line in summary if (us := line["median_us"]) is not None]
    if not timed:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plot.png"
        plot_latency(timed, report.title(found), path)
        yield page.image(path, "Latency of each model, with its 95 % interval and p95")
        if plots.with_accuracy(summary):
            plots.plot_accuracy(summary, path)
            yield page.image(path, "Accuracy, by the exports' reports, against latency")
        plots.plot_rounds(rows, path)
        yield page.image(path, "Each run in its time, and the phone's heat and clock")
        if any(line["ops"] for line in summary):
            plots.plot_operators(summary, path)
            yield page.image(path, "Where the time goes, by type of operator")
    if delegates := report.delegate_rows(summary):
        yield page.table(report.DELEGATE_COLUMNS, delegates)


def _bar(line: PhoneSummary, median: float) -> Bar:
    """Without five rounds there is no interval."""
    headline = headline_of({"median_us": median, "ci_us": line["ci_us"] or [median, median]})
    name = line["model"] + f", {line['threads']} threads" * (line["threads"] > 1)
    kind, ratio = line["quantize"] or "other", line["ratio"] or 1.0
    return Bar(name, kind, headline, line["p95_us"], ratio)


def _failures(found: PhoneResults) -> Iterator[str]:
    failed = [
        (row["model"], row["serial"], row["error_kind"], row["error_line"] or "", row["log"])
        for row in found["rows"]
        if row["status"] != "ok"
    ]
    if failed:
        yield page.heading("Runs that failed")
        yield page.table(("model", "phone", "kind", "said", "log"), failed)
    aside = [
        (row["model"], row["serial"], str(row["round"]), row["rejected"])
        for row in found["rows"]
        if row["rejected"]
    ]
    if aside:
        yield page.heading("Runs that were set aside")
        yield page.table(("model", "phone", "round", "because"), aside)


def _commands(found: PhoneResults) -> list[str]:
    return list(dict.fromkeys(row["command"] for row in found["rows"]))
