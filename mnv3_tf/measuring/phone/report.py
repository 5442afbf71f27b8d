"""The results as a table for the terminal and as Markdown."""

from collections.abc import Iterable, Sequence

from mnv3_tf.measuring import statistics
from mnv3_tf.measuring.phone.phone import PhoneFacts
from mnv3_tf.measuring.phone.results import DeviceFacts, PhoneResults, PhoneSummary

COLUMNS = (
    "model",
    "ms",
    "± %",
    "p95",
    "first",
    "init",
    "ratio",
    "MB",
    "peak",
    "parts",
    "drift",
    "rounds",
)
PAGE_ONLY = ("first", "init", "peak")
EXPLANATION = (
    "ms: the median over rounds, each a process of its own. ±: half of its 95 % interval over "
    "rounds, in percent; it needs five of them. p95: the median over rounds of what the binary "
    "prints; it prints no single inferences, so there is no distribution here. first, init: the "
    "first inference and the start, in ms. ratio: to the first model, paired by round. MB: of the "
    "file. peak: the process's memory, in MB; it and operators come from runs of their own. parts: "
    "of the graph, the delegate's and those between. drift: of the last third of the rounds from "
    "the first, in percent. rounds: those that count, and in brackets the runs that were set aside."
)


def terminal_table(found: PhoneResults) -> tuple[str, Sequence[str], list[list[str]]]:
    """What `tables.show` takes: title, columns and rows, without those that only a page has."""
    names = columns(found)
    shown = [index for index, name in enumerate(names) if name not in PAGE_ONLY]
    rows = [[row[index] for index in shown] for row in summary_rows(found)]
    return title(found), [names[index] for index in shown], rows


def title(found: PhoneResults) -> str:
    conditions = found["conditions"]
    phones = ", ".join(dict.fromkeys(device_name(device) for device in found["devices"]))
    return f"{phones or 'No phone'}, {conditions['cores']} cores, {conditions['delegate']}"


def device_name(device: PhoneFacts) -> str:
    return " ".join(filter(None, (device["manufacturer"], device["model"]))) or device["serial"]


def columns(found: PhoneResults) -> Sequence[str]:
    """Phones and numbers of threads are named where there are several."""
    return [
        COLUMNS[0],
        *["phone"] * (len(found["devices"]) > 1),
        *["threads"] * (len(found["conditions"]["threads"]) > 1),
        *COLUMNS[1:],
    ]


def summary_rows(found: PhoneResults) -> list[list[str]]:
    several_phones = len(found["devices"]) > 1
    several_threads = len(found["conditions"]["threads"]) > 1
    return [
        [
            line["model"],
            *[line["serial"]] * several_phones,
            *[str(line["threads"])] * several_threads,
            line["error_kind"] or milliseconds(line["median_us"]),
            half_width(line["median_us"], line["ci_us"]),
            milliseconds(line["p95_us"]),
            milliseconds(line["first_us"]),
            milliseconds(line["init_us"]),
            _rounded(line["ratio"], ".3f"),
            f"{line['bytes'] / 1e6:.2f}",
            _rounded(line["peak_mb"], ".0f"),
            _rounded(line["delegate"] and line["delegate"]["partitions"], "d"),
            _rounded(line["drift_percent"], "+.1f"),
            f"{line['rounds']}" + f" ({line['set_aside']})" * bool(line["set_aside"]),
        ]
        for line in found["summary"]
    ]


DELEGATE_COLUMNS = ("model", "delegate", "took", "of", "parts", "left outside")


def delegate_rows(summary: Sequence[PhoneSummary]) -> list[list[str]]:
    """What the delegate took of each model and what it left, as far as it is known."""
    return [
        [
            line["model"],
            *("not told" if value is None else str(value) for value in delegate.values()),
            "not told" if line["outside"] is None else _counted(line["outside"]),
        ]
        for line in summary
        if (delegate := line["delegate"]) and delegate["name"]
    ]


def _counted(operators: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in operators.items()) or "nothing"


def _rounded(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def milliseconds(microseconds: float | None) -> str:
    return _rounded(None if microseconds is None else microseconds / 1e3, ".2f")


def half_width(median_us: float | None, interval: Sequence[float] | None) -> str:
    """Of the interval, in percent of the median."""
    if median_us is None or interval is None:
        return "-"
    return f"{statistics.half_width(median_us, interval):.1f}"


def device_rows(device: DeviceFacts) -> list[tuple[str, str]]:
    """What is known of a phone, with "not readable" for what it denied."""
    clusters = ", ".join(
        f"{cluster['mask']} ({len(cluster['cpus'])} at "
        + (f"{cluster['max_khz'] / 1e3:.0f} MHz)" if cluster["max_khz"] else "unknown clock)")
        for cluster in device["clusters"]
    )
    known = {
        "phone": device_name(device),
        "serial": device["serial"],
        "SoC": " ".join(filter(None, (device["soc_maker"], device["soc"]))),
        "Android": " ".join(filter(None, (device["android"], device["abi"]))),
        "build": device["build"],
        "clusters": clusters,
        "bound to": device["mask"] or "the scheduler's choice",
        "binary": f"{device['binary']['flavour']}, sha256 {device['binary']['sha256']}",
        "from": device["binary"]["source"],
    }
    return [(name, text or "not readable") for name, text in known.items()]


def condition_rows(found: PhoneResults) -> list[tuple[str, str]]:
    return [
        (
            name.replace("_", " "),
            ", ".join(map(str, value)) if isinstance(value, list) else str(value),
        )
        for name, value in found["conditions"].items()
    ]


def markdown(found: PhoneResults) -> str:
    parts = [
        f"# {title(found)}",
        f"Measured on {found['date']}.",
        _table(columns(found), summary_rows(found)),
    ]
    parts += [EXPLANATION]
    if rows := delegate_rows(found["summary"]):
        parts += [_table(DELEGATE_COLUMNS, rows)]
    parts += [f"- Warning: {text}" for text in found["warnings"]]
    for device in found["devices"]:
        parts += [f"## {device_name(device)}", _table(("", ""), device_rows(device))]
    parts += ["## Conditions", _table(("", ""), condition_rows(found))]
    parts += ["## Again", f"```sh\n{found['command']}\n```"]
    return "\n\n".join(parts) + "\n"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |"
        for line in lines
    )
