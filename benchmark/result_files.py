"""Tables of measurements as files that are kept: docs/results/*.json, and as Markdown.

    {"title": ..., "machine": {"cpu": ...}, "statistic": ..., "command": ...,
     "columns": [{"name": "network"}, {"name": "ms", "kind": "measured", "digits": 2}],
     "rows": [["large", 8.11]]}

A column without a kind names what the row is of. A cell is a number, null (not measured), text
where there is no number, or [value, least, greatest]. "machine", "command" and "date" are there
where they are known, and "picture" where a file of docs/images was drawn by the command, from more
than the table has.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.measuring.machine import Machine

Kind = Literal["measured", "counted", "estimated", "published"]
Cell = float | str | None | Sequence[float]


@dataclass(frozen=True)
class Column:
    """`digits` after the point are shown, more where a number has more; changes are `signed`."""

    name: str
    kind: Kind | None = None
    digits: int = 0
    signed: bool = False

    def text(self, cell: Cell) -> str:
        if isinstance(cell, list | tuple):
            value, low, high = map(self.text, cell)
            return f"{value} ({low} to {high})"
        if cell is None:
            return "-"
        if isinstance(cell, str):
            return cell
        sign = "+" * self.signed
        rounded = f"{cell:{sign},.{self.digits}f}"
        return rounded if float(rounded.replace(",", "")) == cell else f"{cell:{sign},}"


@dataclass(frozen=True)
class ResultFile:
    """`statistic` says what the figures are of which samples; `command` made the table."""

    title: str
    statistic: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    machine: Machine | None = None
    command: str | None = None
    date: str | None = None
    picture: str | None = None

    def named_rows(self) -> Iterator[dict[str, Any]]:
        """Each row by the columns' names."""
        names = [column.name for column in self.columns]
        return (dict(zip(names, row, strict=True)) for row in self.rows)

    def lines(self) -> list[list[str]]:
        """The cells as the page shows them."""
        return [
            [column.text(cell) for column, cell in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]


def read(path: Path) -> ResultFile:
    """Raises UserError for what is no such file."""
    try:
        tree = json.loads(path.read_text())
        columns = [Column(**column) for column in tree.pop("columns")]
        file = ResultFile(columns=columns, **tree)
        wrong = [row for row in file.rows if len(row) != len(columns)]
        kinds = {column.kind for column in columns} - {None, *get_args(Kind)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no table of results ({error}); see {__name__}.") from None
    if wrong or kinds:
        raise UserError(
            f"{path}: every row must have {len(columns)} cells, and every kind be one of "
            f"{', '.join(get_args(Kind))}; look at {[*wrong, *kinds][0]}."
        )
    return file


def write(path: Path, file: ResultFile) -> None:
    """One line for each column and row, so that a changed figure is a changed line."""
    tree = {key: value for key, value in asdict(file).items() if value is not None}
    columns = [_without_defaults(column) for column in tree.pop("columns")]
    lists = {"columns": columns, "rows": tree.pop("rows")}
    head = json.dumps(tree, indent=1, ensure_ascii=False)
    parts = [f' "{key}": [\n{_lines(items)}\n ]' for key, items in lists.items()]
    with atomic_write(path) as temporary:
        temporary.write_text(",\n".join([head.removesuffix("\n}"), *parts]) + "\n}\n")


def _lines(items: Sequence[object]) -> str:
    return ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in items)


def _without_defaults(column: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in column.items() if value or key == "name"}


def markdown(columns: Sequence[Column], lines: Sequence[Sequence[str]]) -> str:
    """A table with figures to the right."""
    head = [column.name for column in columns]
    rule = ["---:" if column.kind else "---" for column in columns]
    rows = [f"| {' | '.join(cells)} |" for cells in (head, *lines)]
    return "\n".join([rows[0], f"|{'|'.join(rule)}|", *rows[1:]])
