"""What a .tflite says of pictures: classes, boxes or masks, as a table, drawings and JSON.

    python -m mnv3_tf.predict --model_file=flowers.tflite rose.jpg tulip.jpg
    python -m mnv3_tf.predict --model_file=cells.tflite photos --out=found
    python -m mnv3_tf.predict --model_file=streets.tflite street.jpg --out=found --json

A folder stands for all pictures in it and below. The file may be ours or another's: its spec or
its outputs tell what it does.

With --out each picture NAME becomes NAME.png, with what was found drawn into it, and NAME.json;
segmentation gives NAME.mask.png too, whose pixels are class indices. Boxes are in pixels of the
upright picture. A picture that cannot be read is named at the end, with exit status 1; the others
are done all the same.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write, write_json
from mnv3_tf.ui import cli, tables

if TYPE_CHECKING:
    import numpy as np

    from mnv3_tf.tflite.predictor import AnsweringModel

USAGE = "python -m mnv3_tf.predict --model_file=m.tflite picture.jpg"
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
"""Of the pictures of a folder; a file that is named is tried whatever its name."""

BAR_FROM = 5  # pictures
COLUMNS = {
    "classify": ("picture", "class", "probability"),
    "detect": ("picture", "class", "score", "left", "top", "right", "bottom"),
    "segment": ("picture", "class", "share"),
}


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("model_file", None, "The .tflite.", flag_values=values)
    flags.DEFINE_multi_string(
        "image", [], "A picture, or a folder of them; needs no flag.", flag_values=values
    )
    flags.DEFINE_string("out", None, "The folder to write to.", flag_values=values)
    flags.DEFINE_float("score", 0.5, "Detection: the least score.", 0, 1, flag_values=values)
    flags.DEFINE_integer("top", 5, "Classification: how many classes.", 1, flag_values=values)
    flags.DEFINE_integer("threads", 2, "Threads to compute with.", 1, flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    if not args.model_file:
        raise UserError(f"--model_file is missing; give a .tflite: {USAGE}")
    out = Path(args.out) if args.out else None
    pictures = find_pictures(args.image, out)
    names = out_names(pictures, out)
    if out and out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file; choose a folder.")

    from mnv3_tf.tflite.predictor import open_model

    model = open_model(args.model_file, args.threads)
    results: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for path, name in zip(_with_bar(pictures), names, strict=True):
        try:
            results.append(_predict(model, path, args, out and out / name))
        except Unreadable as error:
            failed.append({"picture": str(path), "reason": str(error)})
    _show(model, results)
    if out and results:
        print(f"Drawn in {out}.")
    if args.json:
        summary = {
            "model_file": args.model_file,
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
    found: dict[Path, Path] = {}
    for name in map(Path, given):
        if not name.is_dir():
            found.setdefault(name.resolve(), name)
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
            found.setdefault(path.resolve(), path)
    return list(found.values())


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
    drawing, told, mask = (stem.with_name(stem.name + ending) for ending in endings)
    return drawing, told, mask


def _with_bar(pictures: Sequence[Path]) -> Iterable[Path]:
    """The pictures, while a bar tells how many are done where there is a terminal for it."""
    if len(pictures) < BAR_FROM or not sys.stderr.isatty():
        return pictures
    from rich.console import Console
    from rich.progress import track

    return track(pictures, "Looking", console=Console(stderr=True), transient=True)


# -- one picture -----------------------------------------------------------------------------


def _predict(
    model: "AnsweringModel", path: Path, args: flags.FlagValues, stem: Path | None
) -> dict[str, Any]:
    """What is found, as its JSON has it; writes the files of `stem` if there is one."""
    from mnv3_tf.tflite.views import read_picture

    try:
        picture = read_picture(path)
    except UserError as error:
        raise Unreadable(str(error)) from None
    answer = model.answer(picture)
    height, width = picture.shape[:2]
    found: dict[str, Any] = {"picture": str(path), "width": width, "height": height}
    match model.task:
        case "classify":
            found["classes"] = _best(model, answer, args.top)
        case "detect":
            found["detections"] = list(_objects(model, answer, args.score, width, height))
        case _:
            found["classes"] = list(_shares(model, answer))
    if stem is None:
        return found
    drawing, told, mask = _files_of(stem)
    found["drawing"] = str(drawing)
    if model.task == "segment":
        found["mask"] = str(mask)
        _save(answer.astype("uint8" if answer.max() < 256 else "uint16"), mask)
    _save(_drawn(model, picture, answer, found), drawing)
    write_json(told, found)
    return found


def _best(model: "AnsweringModel", probabilities: "np.ndarray", top: int) -> list[dict[str, Any]]:
    order = (-probabilities).argsort(kind="stable")[:top].tolist()
    return [
        {"label": model.label(i), "index": i, "probability": _rounded(probabilities[i], 6)}
        for i in order
    ]


def _objects(
    model: "AnsweringModel", found: Any, score: float, width: int, height: int
) -> Iterator[dict[str, Any]]:
    for corners, index, sure in zip(found.boxes, found.classes.tolist(), found.scores, strict=True):
        top, left, bottom, right = corners * (height, width, height, width)
        if sure >= score:
            yield {
                "label": model.label(index),
                "index": index,
                "score": _rounded(sure, 6),
                "box": [_rounded(side, 2) for side in (left, top, right, bottom)],
            }


def _shares(model: "AnsweringModel", mask: "np.ndarray") -> Iterator[dict[str, Any]]:
    """Of all classes in their order, those that do not occur too."""
    counts = _counts(model, mask)
    for index, count in enumerate(counts.tolist()):
        yield {
            "label": model.label(index),
            "index": index,
            "share": _rounded(count / mask.size, 6),
        }


def _counts(model: "AnsweringModel", mask: "np.ndarray") -> "np.ndarray":
    import numpy as np

    return np.bincount(mask.reshape(-1), minlength=model.num_classes)


def _drawn(
    model: "AnsweringModel", picture: "np.ndarray", answer: Any, found: dict[str, Any]
) -> "np.ndarray":
    from mnv3_tf.ui import drawing

    match model.task:
        case "classify":
            lines = [(c["label"], drawing.percent(c["probability"])) for c in found["classes"]]
            return drawing.caption(picture, lines)
        case "detect":
            seen = found["detections"]
            most = max([model.num_classes, *(1 + one["index"] for one in seen)])
            palette = drawing.colours(most)
            return drawing.boxes(
                picture,
                [
                    drawing.Box(
                        f"{one['label']} {one['score']:.2f}", palette[one["index"]], one["box"]
                    )
                    for one in seen
                ],
            )
    return drawing.mask(picture, answer, [one["label"] for one in found["classes"]])


def _save(pixels: "np.ndarray", path: Path) -> None:
    from PIL import Image

    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def _rounded(value: Any, digits: int) -> float:
    return round(float(value), digits)


# -- all of them -----------------------------------------------------------------------------


def _show(model: "AnsweringModel", results: Sequence[dict[str, Any]]) -> None:
    names = [Path(found["picture"]).name for found in results]
    if len(set(names)) < len(names):
        names = [found["picture"] for found in results]
    rows = [
        row
        for name, found in zip(names, results, strict=True)
        for row in _rows(model.task, name, found)
    ]
    if rows:
        tables.show(str(model.path), COLUMNS[model.task], rows)


def _rows(task: str, name: str, found: dict[str, Any]) -> list[tuple[object, ...]]:
    """The picture's name stands in its first row."""
    from mnv3_tf.ui.drawing import percent

    rows: list[tuple[object, ...]]
    match task:
        case "classify":
            rows = [(c["label"], percent(c["probability"])) for c in found["classes"]]
        case "detect":
            rows = [
                (one["label"], f"{one['score']:.2f}", *(f"{side:.0f}" for side in one["box"]))
                for one in found["detections"]
            ] or [("nothing", *[""] * (len(COLUMNS[task]) - 2))]
        case _:
            seen = sorted((c for c in found["classes"] if c["share"]), key=lambda c: -c["share"])
            rows = [(c["label"], percent(c["share"])) for c in seen]
    return [("" if i else name, *row) for i, row in enumerate(rows)]


if __name__ == "__main__":
    cli.run(main, define_flags, bare="image")
