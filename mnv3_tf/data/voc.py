"""`voc:DIR`: the layout of Pascal VOC, JPEGImages, Annotations and ImageSets/Main."""

from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from mnv3_tf.data.annotations import Reason, Tally, read_class_names
from mnv3_tf.data.box_conventions import VOC
from mnv3_tf.data.box_datasets import open_boxes
from mnv3_tf.data.box_targets import Marked
from mnv3_tf.data.dataset import PARTS, Dataset
from mnv3_tf.data.picture_files import PictureFile, hold_out
from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError

UNKNOWN_NAME = Reason(
    "object of a class that labels.txt does not have was left out",
    "objects of classes that labels.txt does not have were left out",
)
FROM_0 = Reason(
    "box begins at pixel 0, where Pascal VOC counts from 1, so it may be one to the upper left",
    "boxes begin at pixel 0, where Pascal VOC counts from 1, so all may be one to the upper left",
)


class _Annotation(NamedTuple):
    names: list[str]
    corners: list[list[float]]
    difficult: list[bool]
    size: tuple[int, int] | None


def open_voc(asked: Opening) -> Dataset:
    """ImageSets/Main/train.txt, val.txt and test.txt say what is for what.

    For training without val.txt, a fifth of trainval.txt is held out under the seed, or of
    train.txt, or of all else that is annotated. A test.txt of which nothing is annotated is passed
    over. The classes are those of DIR/labels.txt, else the names in the annotations, sorted.
    "difficult" objects count as crowds: they are neither trained nor evaluated on.

    Pixels are counted from 1, and a box's last pixel belongs to it (VOC devkit, section 4.2), so
    that a box of all of a picture is 1, 1, width, height. Of sets that count from 0 the boxes are
    one pixel off to the upper left; what leaves the picture is clipped.

    Raises:
      UserError: a folder or file that is missing or not as it should be.
    """
    folder, root = asked.rest, Path(asked.rest)
    for part in ("Annotations", "JPEGImages"):
        if not (root / part).is_dir():
            raise UserError(
                f"{folder} has no folder {part}; give a folder of the layout of Pascal VOC."
            )
    labels = root / "labels.txt"
    class_names = read_class_names(labels) if labels.exists() else None
    keys = _keys(root, asked)
    annotations = {
        key: _read(root / "Annotations" / f"{key}.xml") for part in keys.values() for key in part
    }
    if class_names is None:
        class_names = tuple(sorted({name for one in annotations.values() for name in one.names}))
        if not class_names:
            raise UserError(f"{root / 'Annotations'} marks no objects at all; annotate some.")
    pictures = {path.stem: path for path in sorted((root / "JPEGImages").iterdir())}
    tally = Tally()
    files = {
        part: [
            PictureFile(
                str(pictures.get(key, root / "JPEGImages" / f"{key}.jpg")),
                _marked(annotations[key], class_names, key, tally),
            )
            for key in names
        ]
        for part, names in keys.items()
    }
    return open_boxes(f"voc:{folder}", class_names, files, VOC, tally)


def _keys(root: Path, asked: Opening) -> dict[str, list[str]]:
    """Names of pictures without a suffix, by split."""

    def listed(part: str) -> list[str]:
        path = root / "ImageSets" / "Main" / f"{part}.txt"
        return _listed(path) if path.exists() else []

    annotated = sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
    given = {"val": listed("val"), "test": listed("test")}
    if not set(given["test"]) & set(annotated):
        given["test"] = []
    given["train"] = listed("train") if given["val"] else listed("trainval") or listed("train")
    parts = {part: given[part] for part in PARTS if given[part]}
    if "val" in parts or (parts and not asked.training):
        return parts
    left = given["train"] or sorted(set(annotated) - set(given["test"]))
    if not left:
        raise UserError(f"{root / 'Annotations'} holds no XML files; add one for each picture.")
    held = hold_out([[PictureFile(key, None) for key in left]], asked, str(root))
    return parts | {part: [file.path for file in files] for part, files in held.items()}


def _listed(path: Path) -> list[str]:
    """The first word of each line: the lists of single classes have a second."""
    try:
        keys = [line.split()[0] for line in path.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8; write a picture's name a line.") from None
    if not keys:
        raise UserError(f"{path} is empty; write the name of a picture on each line.")
    twice = len(keys) - len(set(keys))
    if twice:
        raise UserError(f"{path} has {twice} names more than once; remove what is too much.")
    return keys


def _read(path: Path) -> _Annotation:
    root = _parse(path)
    names, corners, difficult = [], [], []
    for each in root.iter("object"):
        names.append((each.findtext("name") or "").strip())
        xmin, ymin, xmax, ymax = (
            _number(each.findtext(f"bndbox/{side}"), side, path)
            for side in ("xmin", "ymin", "xmax", "ymax")
        )
        corners.append([ymin - 1, xmin - 1, ymax, xmax])
        difficult.append((each.findtext("difficult") or "").strip() == "1")
    size = tuple(root.findtext(f"size/{side}") or "0" for side in ("height", "width"))
    height, width = (int(side) if side.strip().isdecimal() else 0 for side in size)
    return _Annotation(names, corners, difficult, (height, width) if height and width else None)


def _number(text: str | None, side: str, path: Path) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise UserError(
            f"{path} has an object whose bndbox has the {side} {text!r}; write a number."
        ) from None


def _parse(path: Path) -> Element:
    """The root of an XML file that has no document type: entities can blow up, or read files."""

    def refuse(*_: object) -> None:
        raise UserError(f"{path} declares a document type, which could be harmful; remove it.")

    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        content = path.read_bytes()
        if not content.strip():
            raise UserError(f"{path} is empty; annotate the picture, or remove it from the lists.")
        parser.Parse(content, True)
        return builder.close()
    except OSError as error:
        raise UserError(
            f"Cannot read {path}: {error.strerror}; each picture needs an annotation, one of "
            f"background alone with no object in it."
        ) from None
    except (expat.ExpatError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is no valid XML ({error}); write it anew.") from None


def _marked(one: _Annotation, class_names: tuple[str, ...], key: str, tally: Tally) -> Marked:
    known = [name in class_names for name in one.names]
    tally.add(FROM_0, f"{key}.xml", sum(min(corners[:2]) == -1 for corners in one.corners))
    for name in one.names:
        if name not in class_names:
            tally.add(UNKNOWN_NAME, f"{name!r} in {key}.xml")
    return Marked(
        np.array(one.corners, np.float64).reshape(-1, 4)[known],
        np.array([class_names.index(name) for name in one.names if name in class_names], int),
        np.array(one.difficult, bool)[known],
        one.size,
    )
