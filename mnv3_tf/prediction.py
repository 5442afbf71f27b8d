"""Pictures from a disk to a model, and what it gives back to the disk."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mnv3_tf.data.listing import SUFFIXES
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write, write_json
from mnv3_tf.tasks import TASKS
from mnv3_tf.tflite.predictor import Predictor
from mnv3_tf.ui import tables
from mnv3_tf.upright import read_picture

USAGE = "python -m mnv3_tf.predict --model_file=m.tflite picture.jpg"
BAR_FROM = 5  # pictures


class Unreadable(Exception):
    """A picture that cannot be read, in one sentence that names it."""


# -- which pictures --------------------------------------------------------------------------


def find_pictures(given: Sequence[str], out: Path | None) -> list[Path]:
    """The files that are meant, each once: those of a folder in the order of their names.

    What lies in `out` is left out of folders. Raises UserError where nothing is left, or `out` is
    one of the folders.
    """
    if not given:
        raise UserError(f"Which pictures? Give some, or a folder: {USAGE}")
    files: dict[Path, Path] = {}
    for name in map(Path, given):
        if not name.is_dir():
            files.setdefault(name.resolve(), name)
            continue
        if out and out.resolve() == name.resolve():
            raise UserError(f"--out={out} is the folder of the pictures; choose another.")
        inside = sorted(path for path in name.rglob("*") if path.suffix.lower() in SUFFIXES)
        inside = [path for path in inside if path.is_file() and not path.name.startswith(".")]
        if out:
            inside = [path for path in inside if out.resolve() not in path.resolve().parents]
        if not inside:
            raise UserError(f"{name} holds no pictures ({', '.join(SUFFIXES)}); give another.")
        for path in inside:
            files.setdefault(path.resolve(), path)
    return list(files.values())


def out_names(pictures: Sequence[Path], out: Path | None) -> list[str]:
    """A name for each picture's files: its own without suffix, numbered where it is taken.

    No two share a file, whether the file system tells capitals apart or not, and none overwrites a
    picture that is asked about.
    """
    taken = {str(path.resolve()).casefold() for path in pictures}
    folder = (out or Path()).resolve()
    names = []
    for path in pictures:
        number = 1
        while True:
            name = path.stem if number == 1 else f"{path.stem}-{number}"
            files = {str(file).casefold() for file in _files_of(folder / name)}
            if not files & taken:
                break
            number += 1
        taken |= files
        names.append(name)
    return names


def _files_of(stem: Path) -> tuple[Path, Path, Path]:
    """Drawing, JSON and mask."""
    endings = (".png", ".json", ".mask.png")
    drawing, tree, mask = (stem.with_name(stem.name + ending) for ending in endings)
    return drawing, tree, mask


def with_bar(pictures: Sequence[Path]) -> Iterable[Path]:
    """The pictures, while a bar tells how many are done where there is a terminal for it."""
    if len(pictures) < BAR_FROM or not sys.stderr.isatty():
        return pictures
    from rich.console import Console
    from rich.progress import track

    return track(pictures, "Looking", console=Console(stderr=True), transient=True)


# -- one picture -----------------------------------------------------------------------------


def predict(
    model: Predictor, path: Path, score: float, top: int, stem: Path | None
) -> dict[str, Any]:
    """The result as its JSON has it; writes the files of `stem` if there is one."""
    try:
        picture = read_picture(path)
    except UserError as error:
        raise Unreadable(str(error)) from None
    task, answer = TASKS[model.task], model.answer(picture)
    height, width = picture.shape[:2]
    result: dict[str, Any] = {"picture": str(path), "width": width, "height": height}
    result |= task.as_json(model, answer, picture, score, top)
    if stem is None:
        return result
    drawing, tree, mask = _files_of(stem)
    result["drawing"] = str(drawing)
    if (pixels := task.mask(answer)) is not None:
        result["mask"] = str(mask)
        _save(pixels, mask)
    _save(task.draw(model, picture, answer, result), drawing)
    write_json(tree, result)
    return result


def _save(pixels: np.ndarray, path: Path) -> None:
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def show(model: Predictor, results: Sequence[dict[str, Any]]) -> None:
    names = [Path(result["picture"]).name for result in results]
    if len(set(names)) < len(names):
        names = [result["picture"] for result in results]
    task, rows = TASKS[model.task], list[tuple[object, ...]]()
    for name, result in zip(names, results, strict=True):
        # The picture's name stands in its first row.
        rows += [("" if i else name, *row) for i, row in enumerate(task.rows(result))]
    if rows:
        tables.show(str(model.path), ("picture", *task.columns), rows)
