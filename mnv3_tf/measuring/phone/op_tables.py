"""The operator profile in a log: which operator took how long.

The tables of --enable_op_profiling are read in all their layouts: with tabs or, pasted, with
spaces; with the column [start] that was dropped later; as CSV. The columns are those that the
table's own head names.

Of the regular runs one kind of table is read, the first of TABLES that there is, since the others
repeat its rows. Of several of this kind, such as one a subgraph, all rows are kept. A delegate
that reports its insides adds rows whose names begin with "Delegate/": their time is also in the
row of the delegate, so that the percentages of all rows may add up to more than 100.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

TITLE = re.compile(r"(?<!=)={5,}\s*([A-Za-z][\w ]*?)\s*={5,}")
INITIALIZATION = re.compile(r"Profiling Info for Benchmark Initialization", re.IGNORECASE)
REGULAR = re.compile(r"Profiling Info for Regular", re.IGNORECASE)
END = re.compile(r"Number of nodes executed|Timings \(microseconds\)|nodes observed")

TABLES = ("run order", "top by computation time", "summary by node type")
"""By title; the first holds every operator, the second the slowest, the last sums up each type."""

NUMBER = r"-?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|nan|inf)"

COLUMNS = {
    "nodetype": r"(?P<type>\S.*?)",
    "start": NUMBER,
    "count": r"\d+",
    "first": rf"(?P<first_ms>{NUMBER})",
    "avgms": rf"(?P<avg_ms>{NUMBER})",
    "avg_ms": rf"(?P<avg_ms>{NUMBER})",
    "%": rf"(?P<percent>{NUMBER})%",
    "avg%": rf"(?P<percent>{NUMBER})%",
    "cdf%": rf"{NUMBER}%",
    "memkb": NUMBER,
    "timescalled": r"(?P<times_called>\d+)",
    "name": r"(?P<name>.*?)",
}
"""Of a table's head in lower case without blanks, and what stands under it; times are in ms."""

INSIDE = "Delegate/"

DEFAULT = ("node type", "first", "avg ms", "%", "cdf%", "mem KB", "times called", "name")


class OpRow(TypedDict):
    """An operator's times; `percent` is 12.3 for 12.3 %. None is what the table does not have."""

    type: str
    name: str | None
    first_ms: float | None
    avg_ms: float | None
    percent: float | None
    times_called: int | None


@dataclass(frozen=True)
class Columns:
    """What a row of a table looks like."""

    row: re.Pattern[str]

    @classmethod
    def of(cls, columns: Iterable[str], separator: str = r"\s+") -> "Columns | None":
        """None where a column is not known: then it was no head."""
        patterns = [COLUMNS.get(re.sub(r"\s", "", column).lower()) for column in columns]
        if len(patterns) < 4 or None in patterns:
            return None
        # The name may be empty, and its separator cut off with the blanks at the line's end.
        *cells, last = (pattern or "" for pattern in patterns)
        return cls(re.compile(rf"\s*{separator.join(cells)}(?:{separator}{last})?\s*$"))

    @classmethod
    def of_head(cls, line: str) -> "Columns | None":
        if names := re.findall(r"\[([^\]]+)\]", line):
            return cls.of(names)
        return cls.of(line.split(","), r"\s*,\s*")


def parse(lines: Iterable[str]) -> list[OpRow]:
    """The rows in the order of their table."""
    tables: dict[str, list[OpRow]] = {title: [] for title in TABLES}
    reading, initializing, layout = None, False, Columns.of(DEFAULT)
    for line in lines:
        if INITIALIZATION.search(line):
            reading, initializing = None, True
        elif REGULAR.search(line):
            reading, initializing = None, False
        elif title := TITLE.search(line):
            reading = None if initializing else tables.get(title[1].lower())
        elif END.search(line):
            reading = None
        elif reading is None:
            continue
        elif head := Columns.of_head(line):
            layout = head
        elif layout and (match := layout.row.match(line)):
            reading.append(_row(match))
    return next((rows for rows in tables.values() if rows), [])


def _row(match: re.Match[str]) -> OpRow:
    cells = match.groupdict()
    name = cells["name"] or "" if "name" in cells else None
    return {
        "type": cells["type"].strip(),
        # CSV has no quotes: there a name's commas are printed as tabs.
        "name": name and name.strip().replace("\t", ","),
        "first_ms": _number(cells.get("first_ms")),
        "avg_ms": _number(cells.get("avg_ms")),
        "percent": _number(cells.get("percent")),
        "times_called": int(cells["times_called"]) if cells.get("times_called") else None,
    }


def _number(text: str | None) -> float | None:
    """None for the nan% of a table whose sum is zero."""
    return float(text) if text and text[-1] not in "nf" else None


# -- the rows by who ran them -------------------------------------------------------------------


def milliseconds(ops: Sequence[OpRow]) -> dict[str, float]:
    """Time by type; a delegate's own row counts only where its insides are not listed."""
    insides = any(_is_inside(op) for op in ops)
    found: dict[str, float] = defaultdict(float)
    for op in ops:
        if _is_inside(op):
            found[(op["name"] or "").removeprefix(INSIDE).split(":")[0]] += op["avg_ms"] or 0.0
        elif not (insides and _is_delegate(op)):
            found[op["type"]] += op["avg_ms"] or 0.0
    return found


def outside(ops: Sequence[OpRow]) -> dict[str, int]:
    """How many operators of each type no delegate ran; empty if there was no delegate."""
    if not any(_is_delegate(op) for op in ops):
        return {}
    return dict(Counter(op["type"] for op in ops if not (_is_inside(op) or _is_delegate(op))))


def _is_inside(op: OpRow) -> bool:
    return (op["name"] or "").startswith(INSIDE)


def _is_delegate(op: OpRow) -> bool:
    return "delegate" in op["type"].lower() and not _is_inside(op)
