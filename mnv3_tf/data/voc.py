"""`voc:DIR`: the layout of Pascal VOC, JPEGImages, Annotations and ImageSets/Main."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.data.box_conventions import VOC
from mnv3_tf.data.box_datasets import open_boxes
from mnv3_tf.data.box_targets import Marked
from mnv3_tf.data.dataset import PARTS, Dataset
from mnv3_tf.data.held_out import hold_out
from mnv3_tf.data.listing import SUFFIXES, by_name, files, only, pictures
from mnv3_tf.data.picture_files import PictureFile
from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError
from mnv3_tf.tasks.class_names import cleaned, composed, read_class_names

_FLAGS = ("-1", "0", "1")

NOT_ANNOTATED = Reason(
    "picture has no annotation and was left out", "pictures have no annotations and were left out"
)
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


class _Files(NamedTuple):
    """Annotations and pictures by name; where those of a name that has none should be."""

    annotations: dict[str, list[Path]]
    pictures: dict[str, list[Path]]
    xml_folder: Path
    picture_folder: Path

    def annotation(self, name: str) -> Path:
        return only(self.annotations.get(name, [self.xml_folder / f"{name}.xml"]))

    def picture(self, name: str) -> Path:
        return only(self.pictures.get(name, [self.picture_folder / f"{name}.jpg"]))


def open_voc(asked: Opening) -> Dataset:
    """ImageSets/Main/train.txt, val.txt and test.txt say what is for what.

    For training without val.txt, a fifth of trainval.txt is held out under the seed, or of
    train.txt, or of all else that is annotated. A test.txt of which nothing is annotated is passed
    over. The classes are those of DIR/labels.txt, else the names in the annotations, sorted.
    "difficult" objects count as crowds: they are neither trained nor evaluated on.

    Without a folder Annotations the XML files are beside the pictures, which are in JPEGImages, or
    without that in DIR. Lines of lists may be quoted, and have a suffix, a folder or a second
    column.

    Pixels are counted from 1, and a box's last pixel belongs to it (VOC devkit, section 4.2), so
    that a box of all of a picture is 1, 1, width, height. Of sets that count from 0 the boxes are
    one pixel off to the upper left; what leaves the picture is clipped.

    Raises:
      UserError: a folder or file that is missing or not as it should be.
    """
    folder, tally = asked.rest, Tally()
    root = Path(folder)
    found = _find(root, tally)
    labels = root / "labels.txt"
    class_names = read_class_names(labels, distinct=True) if labels.exists() else None
    names = _names(root, found, asked, tally)
    annotations = {name: _read(found.annotation(name)) for part in names.values() for name in part}
    if class_names is None:
        class_names = tuple(sorted({name for one in annotations.values() for name in one.names}))
        if not class_names:
            raise UserError(f"{found.xml_folder} marks no objects at all; annotate some.")
    labelled = {
        part: [
            PictureFile(
                str(found.picture(name)), _marked(annotations[name], class_names, name, tally)
            )
            for name in of_part
        ]
        for part, of_part in names.items()
    }
    return open_boxes(f"voc:{folder}", class_names, labelled, VOC, tally)


def _find(root: Path, tally: Tally) -> _Files:
    pictured, annotated = root / "JPEGImages", root / "Annotations"
    if not pictured.is_dir():
        pictured = root
    in_pictures = files(pictured, tally) if pictured.is_dir() else []
    apart = annotated.is_dir()
    xml_folder = annotated if apart else pictured
    in_annotations = files(annotated, tally) if apart else in_pictures
    annotations = [path for path in in_annotations if path.suffix.lower() == ".xml"]
    if not annotations:
        where = f"{annotated} holds no XML files" if apart else f"{root} has no folder Annotations"
        raise UserError(
            f"{where}, and there are none beside pictures; give a folder of the layout of Pascal "
            f"VOC, with one for each picture."
        )
    return _Files(
        by_name(annotations, xml_folder),
        by_name(pictures(in_pictures), pictured),
        xml_folder,
        pictured,
    )


def _names(root: Path, found: _Files, asked: Opening, tally: Tally) -> dict[str, list[str]]:
    """Of pictures, by part."""
    annotated = found.annotations.keys()

    def listed(part: str) -> list[str]:
        path = root / "ImageSets" / "Main" / f"{part}.txt"
        return _listed(path, annotated) if path.exists() else []

    given = {"val": listed("val"), "test": listed("test")}
    if not annotated & set(given["test"]):
        given["test"] = []
    given["train"] = listed("train") if given["val"] else listed("trainval") or listed("train")
    parts = {part: given[part] for part in PARTS if given[part]}
    if "val" in parts or (parts and not asked.training):
        return parts
    left = given["train"]
    if not left:
        left = sorted(annotated - set(given["test"]))
        for name in sorted(found.pictures.keys() - annotated):
            tally.add(NOT_ANNOTATED, found.pictures[name][0].name)
    held = hold_out([[PictureFile(str(found.picture(n)), n) for n in left]], asked, str(root))
    return parts | {part: [file.label for file in some] for part, some in held.items()}


def _listed(path: Path, known: Collection[str]) -> list[str]:
    """The pictures of a list: one on each line, by names that are `known` where there are such."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8; write a picture's name a line.") from None
    names = [_listed_name(composed(line), known) for line in lines if line]
    if not names:
        raise UserError(f"{path} is empty; write the name of a picture on each line.")
    twice = len(names) - len(set(names))
    if twice:
        raise UserError(f"{path} has {twice} names more than once; remove what is too much.")
    return names


def _listed_name(line: str, known: Collection[str]) -> str:
    """The lists of single classes have 1, 0 or -1 behind the name, others a file of its boxes."""
    words, parts = line.split(), [line]
    if len(words) > 1 and words[-1] in _FLAGS:
        parts.append(line.removesuffix(words[-1]).rstrip())
    if len(words) == 2 and words[1].lower().endswith(".xml"):
        parts.append(words[0])
    guesses = []
    for part in parts:
        whole = part.strip("\"',")
        bare = whole.replace("\\", "/").rsplit("/", 1)[-1]
        guesses += [form for one in (whole, bare) for form in (one, _without_suffix(one))]
    return next((guess for guess in guesses if guess in known), _without_suffix(parts[-1]))


def _without_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _read(path: Path) -> _Annotation:
    root = _parse(path)
    names, corners, difficult = [], [], []
    for each in root.iter("object"):
        names.append(cleaned(each.findtext("name") or ""))
        xmin, ymin, xmax, ymax = (
            _number(each.findtext(f"bndbox/{side}"), side, path)
            for side in ("xmin", "ymin", "xmax", "ymax")
        )
        if not names[-1]:
            raise UserError(f"{path} has an object without a name; write that of its class.")
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
