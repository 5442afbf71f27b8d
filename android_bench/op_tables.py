"""The operator profile in a log: which operator took how long.

The tables of --enable_op_profiling are read in all their layouts: with tabs or, pasted, with
spaces; with the column [start] that was dropped later; as CSV. The columns are those that the
table's own head names.

Only "Run Order" tables of the regular runs are read, since the others repeat their rows in other
orders. Of several, such as one a subgraph, all rows are kept. A delegate that reports its insides
adds rows whose names begin with "Delegate/": their time is also in the row of the delegate, so
that the percentages of all rows may add up to more than 100.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TITLE = re.compile(r"={5,}\s*([A-Za-z][\w ]*?)\s*={5,}")
INITIALIZATION = re.compile(r"Profiling Info for Benchmark Initialization", re.IGNORECASE)
REGULAR = re.compile(r"Profiling Info for Regular", re.IGNORECASE)
END = re.compile(r"Number of nodes executed|Timings \(microseconds\)|nodes observed")

NUMBER = r"-?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|nan|inf)"

COLUMNS = {
    "nodetype": r"(?P<type>\S.*?)",
    "start": NUMBER,
    "first": rf"(?P<first_ms>{NUMBER})",
    "avgms": rf"(?P<avg_ms>{NUMBER})",
    "avg_ms": rf"(?P<avg_ms>{NUMBER})",
    "%": rf"(?P<percent>{NUMBER})%",
    "cdf%": rf"{NUMBER}%",
    "memkb": NUMBER,
    "timescalled": r"(?P<times_called>\d+)",
    "name": r"(?P<name>.*?)",
}
"""Of a table's head in lower case without blanks, and what stands under it; times are in ms."""

DEFAULT = ("node type", "first", "avg ms", "%", "cdf%", "mem KB", "times called", "name")


@dataclass(frozen=True)
class Layout:
    """What a row of a table looks like."""

    row: re.Pattern[str]

    @classmethod
    def of(cls, columns: Iterable[str], separator: str = r"\s+") -> "Layout | None":
        """None where a column is not known: then it was no head."""
        patterns = [COLUMNS.get(re.sub(r"\s", "", column).lower()) for column in columns]
        if len(patterns) < 4 or None in patterns:
            return None
        # The name may be empty, and its separator cut off with the blanks at the line's end.
        *cells, last = (pattern or "" for pattern in patterns)
        return cls(re.compile(rf"\s*{separator.join(cells)}(?:{separator}{last})?\s*$"))

    @classmethod
    def of_head(cls, line: str) -> "Layout | None":
        if names := re.findall(r"\[([^\]]+)\]", line):
            return cls.of(names)
        return cls.of(line.split(","), r"\s*,\s*")


def parse(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The rows in the order of execution; times in ms, `percent` 12.3 for 12.3 %."""
    rows: list[dict[str, Any]] = []
    reading, initializing, layout = False, False, Layout.of(DEFAULT)
    for line in lines:
        if INITIALIZATION.search(line):
            reading, initializing = False, True
        elif REGULAR.search(line):
            reading, initializing = False, False
        elif title := TITLE.search(line):
            reading = title[1].lower() == "run order" and not initializing
        elif END.search(line):
            reading = False
        elif reading and (head := Layout.of_head(line)):
            layout = head
        elif reading and layout and (match := layout.row.match(line)):
            rows.append(_row(match))
    return rows


def _row(match: re.Match[str]) -> dict[str, Any]:
    cells = match.groupdict()
    return {
        "type": cells["type"].strip(),
        # CSV has no quotes: there a name's commas are printed as tabs.
        "name": (cells.get("name") or "").strip().replace("\t", ","),
        "first_ms": _number(cells.get("first_ms")),
        "avg_ms": _number(cells.get("avg_ms")),
        "percent": _number(cells.get("percent")),
        "times_called": int(cells["times_called"]) if cells.get("times_called") else None,
    }


def _number(text: str | None) -> float | None:
    """None for the nan% of a table whose sum is zero."""
    return float(text) if text and text[-1] not in "nf" else None
