"""What a .tflite says of pictures: classes, boxes or masks, as a table, drawings and JSON.

    python -m mnv3_tf.predict --model_file=flowers.tflite rose.jpg tulip.jpg
    python -m mnv3_tf.predict --model_file=cells.tflite photos --out=found
    python -m mnv3_tf.predict --model_file=streets.tflite street.jpg --out=found --json

A folder stands for all pictures in it and below. The file may be ours or another's: its spec or
its outputs tell what it does.

With --out each picture NAME becomes NAME.png, with the result drawn into it, and NAME.json;
segmentation gives NAME.mask.png too, whose pixels are class indices. Boxes are in pixels of the
upright picture. A picture that cannot be read is named at the end, with exit status 1; the others
are done all the same.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write, write_json
from mnv3_tf.tasks import TASKS
from mnv3_tf.tflite.predictor import AnsweringModel, open_model
from mnv3_tf.tflite.views import read_picture
from mnv3_tf.ui import cli, settings, tables
from mnv3_tf.ui.settings import Checked, setting

USAGE = "python -m mnv3_tf.predict --model_file=m.tflite picture.jpg"
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
"""Of the pictures of a folder; a file that is named is tried whatever its name."""

BAR_FROM = 5  # pictures


@dataclass(frozen=True)
class Settings(Checked):
    model_file: str | None = setting(None, "The .tflite.")
    image: tuple[str, ...] = setting(
        (), "A picture, or a folder of them; needs no flag.", repeated=True
    )
    out: str | None = setting(None, "The folder to write to.")
    score: float = setting(0.5, "Detection: the least score.", least=0, most=1)
    top: int = setting(5, "Classification: how many classes.", least=1)
    threads: int = setting(2, "Threads to compute with.", least=1)


def define_flags(values: flags.FlagValues) -> None:
    settings.define(values, Settings)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    asked = settings.read(args, Settings)
    if not asked.model_file:
        raise UserError(f"--model_file is missing; give a .tflite: {USAGE}")
    out = Path(asked.out) if asked.out else None
    pictures = find_pictures(asked.image, out)
    names = out_names(pictures, out)
    if out and out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file; choose a folder.")

    model = open_model(asked.model_file, asked.threads)
    results: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for path, name in zip(_with_bar(pictures), names, strict=True):
        try:
            results.append(_predict(model, path, asked, out and out / name))
        except Unreadable as error:
            failed.append({"picture": str(path), "reason": str(error)})
    _show(model, results)
    if out and results:
        print(f"Drawn in {out}.")
    if args.json:
        summary = {
            "model_file": asked.model_file,
            "task": model.task,
            "labels": model.labels,
            "pictures": results,
            "failed": failed,
        }
        print(json.dumps(summary))
    if failed:
        reasons = "; ".join(one["reason"].rstrip(".") for one in failed)
        others = "; the others are done" if results else ""
        raise Failure(f"{len(failed)} of {len(pictures)} pictures failed{others}: {reasons}.")


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


def _with_bar(pictures: Sequence[Path]) -> Iterable[Path]:
    """The pictures, while a bar tells how many are done where there is a terminal for it."""
    if len(pictures) < BAR_FROM or not sys.stderr.isatty():
        return pictures
    from rich.console import Console
    from rich.progress import track

    return track(pictures, "Looking", console=Console(stderr=True), transient=True)


# -- one picture -----------------------------------------------------------------------------


def _predict(
    model: AnsweringModel, path: Path, asked: Settings, stem: Path | None
) -> dict[str, Any]:
    """The result as its JSON has it; writes the files of `stem` if there is one."""
    try:
        picture = read_picture(path)
    except UserError as error:
        raise Unreadable(str(error)) from None
    task, answer = TASKS[model.task], model.answer(picture)
    height, width = picture.shape[:2]
    result: dict[str, Any] = {"picture": str(path), "width": width, "height": height}
    result |= task.as_json(model, answer, picture, asked.score, asked.top)
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


# -- all of them -----------------------------------------------------------------------------


def _show(model: AnsweringModel, results: Sequence[dict[str, Any]]) -> None:
    names = [Path(result["picture"]).name for result in results]
    if len(set(names)) < len(names):
        names = [result["picture"] for result in results]
    task, rows = TASKS[model.task], list[tuple[object, ...]]()
    for name, result in zip(names, results, strict=True):
        # The picture's name stands in its first row.
        rows += [("" if i else name, *row) for i, row in enumerate(task.rows(result))]
    if rows:
        tables.show(str(model.path), ("picture", *task.columns), rows)


if __name__ == "__main__":
    cli.run(main, define_flags, bare="image")
