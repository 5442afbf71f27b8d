"""Tables that fit a terminal, all in one style."""

from collections.abc import Iterable, Sequence
from typing import Any


def facts(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Prints names and what they are, which is text and is wrapped where it is long."""
    table = _table(title)
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    _print(table, rows)


SHORT = 12
"""Cells of at most this length keep their line where a table is too wide; longer ones wrap."""


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table whose first column is text and whose others are right-aligned."""
    cells = [[str(cell) for cell in row] for row in rows]
    table = _table(title)
    for index, column in enumerate(columns):
        short = all(len(row[index]) <= SHORT for row in cells)
        justify = "right" if index else "left"
        table.add_column(column, justify=justify, no_wrap=short, overflow="fold")
    _print(table, cells)


def fits(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether each cell of such a table has room on a line of the terminal."""
    from rich.console import Console

    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return sum(widths) + BETWEEN * (len(widths) - 1) <= Console().width


BETWEEN = 3
"""Characters between two columns."""


def _table(title: str) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Text(title, "table.title")
    return Table(title=shown, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _print(table: Any, rows: Iterable[Sequence[object]]) -> None:
    from rich.console import Console
    from rich.text import Text

    for row in rows:
        # As they are: of a plain text, rich would take [red] or :cat: for its own marks.
        table.add_row(*(Text(str(cell)) for cell in row))
    Console().print(table)


def figure(part: float | None) -> str:
    """ "0.9710", and "-" for None."""
    return "-" if part is None else f"{part:.4f}"


def percent(part: float) -> str:
    """ "97.1 %"; what is small but there is "<0.1 %"."""
    return "<0.1 %" if 0 < part < 0.0005 else f"{part:.1%}".replace("%", " %")
