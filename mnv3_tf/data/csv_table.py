"""`csv:FILE`: a table of files and class indices."""

import csv
import itertools
from dataclasses import replace
from pathlib import Path

from mnv3_tf.data.dataset import PARTS, Dataset
from mnv3_tf.data.file_datasets import open_files
from mnv3_tf.data.held_out import hold_out
from mnv3_tf.data.listing import Finder
from mnv3_tf.data.picture_files import PictureFile
from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError

MAX_CLASSES = 100_000


def open_csv(asked: Opening) -> Dataset:
    """Columns `filename` and `class_index`, and if present `class_name` and `split`.

    Paths are relative to the table. `split` says "train", "val" or "test" for each row; without it
    the whole table is `val`. For training a fifth is held out where no row says "val" and not all
    say "train", whatever the classes: a table may have few pictures of each. There are as many
    classes as the largest index says.

    Raises:
      UserError: no such table, a missing column or file, or a value that cannot be; it names
        the row (the header is row 1).
    """
    table = asked.rest
    rows = _read_rows(table)
    finder = Finder()
    names: dict[int, str] = {}
    files: dict[str, list[PictureFile]] = {}
    for number, row in enumerate(rows, start=2):
        where = f"Row {number} of {table}"
        label = _class_index(row["class_index"], where)
        class_name = row.get("class_name") or str(label)
        if names.setdefault(label, class_name) != class_name:
            raise UserError(
                f"{where} calls class {label} {class_name!r}, a row before it {names[label]!r}; "
                f"use one name."
            )
        written = Path(table).parent / Path(row["filename"]).expanduser()
        path = finder.find(written)
        if path is None:
            raise UserError(
                f"{where} names {written}, which is not there; correct or remove the row."
            )
        split = row.get("split", "val")
        if split not in PARTS:
            raise UserError(f"{where} has the split {split!r}; write train, val or test.")
        files.setdefault(split, []).append(PictureFile(str(path), label))
    class_names = tuple(names.get(index, str(index)) for index in range(max(names) + 1))
    if asked.training and "split" not in rows[0]:
        files = hold_out([files["val"]], asked, table)
    elif asked.training and files.keys() == {"train", "test"}:
        files |= hold_out([files["train"]], asked, table)
    from_one = sorted(names) == list(range(1, len(class_names)))
    cause = "its class_index begins at 1, but must count from 0" if from_one else ""
    return replace(open_files(f"csv:{table}", class_names, files, cause=cause), numbered=True)


def _read_rows(table: str) -> list[dict[str, str]]:
    try:
        # utf-8-sig: spreadsheets begin their files with a byte order mark.
        with open(table, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            columns, *lines = [[cell.strip() for cell in line] for line in reader if line] or [[]]
    except OSError as error:
        raise UserError(
            f"Cannot read {table}: {error.strerror}; give the path of a csv file."
        ) from None
    except (UnicodeDecodeError, csv.Error):
        raise UserError(
            f"{table} is no csv file in UTF-8; expected the columns filename and class_index."
        ) from None
    for column in ("filename", "class_index"):
        if column not in columns:
            raise UserError(
                f"{table} has no column {column!r}, only {', '.join(columns) or 'nothing'}; "
                f"expected filename and class_index."
            )
    if not lines:
        raise UserError(f"{table} names no pictures; add a row for each.")
    return [dict(itertools.zip_longest(columns, line, fillvalue="")) for line in lines]


def _class_index(text: str, where: str) -> int:
    try:
        index = int(text)
    except ValueError:
        index = -1
    if not 0 <= index < MAX_CLASSES:
        raise UserError(
            f"{where} has the class_index {text!r}; it must be an integer from 0 to "
            f"{MAX_CLASSES - 1}."
        )
    return index
