"""`coco:ANNOTATIONS.json,IMAGES[,VAL.json,VAL_IMAGES]`: instances as COCO writes them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.data.box_conventions import COCO, MOST
from mnv3_tf.data.box_datasets import open_boxes
from mnv3_tf.data.box_targets import Marked
from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.held_out import hold_out
from mnv3_tf.data.listing import Finder
from mnv3_tf.data.picture_files import PictureFile
from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError
from mnv3_tf.tasks.class_names import cleaned

UNKNOWN_IMAGE = Reason(
    "annotation of an unknown image id was left out",
    "annotations of unknown image ids were left out",
)
UNKNOWN_CATEGORY = Reason(
    "annotation of an unknown category id was left out",
    "annotations of unknown category ids were left out",
)


SAME_NAME = Reason(
    "category has the name of another and is the same class",
    "categories have the names of others and are the same classes",
)
SEVERAL_IDS = Reason(
    "picture has a further id, whose annotations were put to those of the first",
    "pictures have further ids, whose annotations were put to those of the first",
)

_CROWD = {"0": False, "false": False, "none": False, "1": True, "true": True}


class _Mark(NamedTuple):
    """`corners` are ymin, xmin, ymax, xmax in pixels."""

    corners: list[float]
    name: str
    crowd: bool


def open_coco(asked: Opening) -> Dataset:
    """Without a second pair of parts, a fifth is held out under the seed, for training alone.

    Classes are numbered from 0 in the order of their category ids, which may have gaps;
    categories of one name are one class. Ids are the same whether they are written 7 or "7".
    Boxes are [x, y, width, height] in pixels, (0, 0) being the upper left corner of the picture
    (cocodataset.org, "Data format"). Pictures without annotations are kept; one that has several
    ids has the annotations of all.

    Raises:
      UserError: a file that is not such JSON or empty, an image id of two pictures, other
        categories in the second file, no pictures, annotations most of which belong to no picture
        or to no category, or what `open_boxes` refuses.
    """
    given = asked.rest
    parts = given.split(",")
    if len(parts) not in (2, 4) or not all(parts):
        raise UserError(
            f"coco:{given} has {len(parts)} parts; give coco:ANNOTATIONS.json,IMAGES or "
            f"coco:ANNOTATIONS.json,IMAGES,VAL.json,VAL_IMAGES."
        )
    tally = Tally()
    categories, pictures = _read(parts[0], parts[1], tally)
    if len(parts) == 2:
        files = hold_out([pictures], asked, parts[0])
    else:
        val_categories, val = _read(parts[2], parts[3], tally)
        differing = sorted(set(categories.items()) ^ set(val_categories.items()))
        if differing:
            raise UserError(
                f"{parts[0]} and {parts[2]} have different categories, the first is "
                f"{differing[0][0]} ({differing[0][1]}); both need the same."
            )
        files = {"train": pictures, "val": val}
    class_names = tuple(dict.fromkeys(categories.values()))
    return open_boxes(f"coco:{given}", class_names, files, COCO, tally)


def _read(path: str, folder: str, tally: Tally) -> tuple[dict[int, str], list[PictureFile]]:
    """Names by category id, in the order of the ids, and the pictures, labelled with `Marked`."""
    document = _load(path)
    if not Path(folder).is_dir():
        raise UserError(
            f"There is no folder {folder}; give the one that the names of {path} are in."
        )
    try:
        categories = {int(_id(c["id"])): _name(c["name"]) for c in document["categories"]}
        categories = dict(sorted(categories.items()))
        if len(categories) < len(document["categories"]):
            raise UserError(f"{path} has a category id twice; give each category its own.")
        class_names = list(dict.fromkeys(categories.values()))
        for name in class_names:
            tally.add(SAME_NAME, repr(name), list(categories.values()).count(name) - 1)
        images = _images(path, document["images"])
        if not images or not categories:
            raise UserError(
                f"{path} has {len(images)} images and {len(categories)} categories; it needs both."
            )
        marks = _marks(path, document["annotations"], images, categories, tally)
        firsts: dict[str, int | str] = {}
        finder = Finder()
        for key, image in images.items():
            written = Path(folder) / image["file_name"]
            picture = str(finder.find(written) or written)
            first = firsts.setdefault(picture, key)
            if first != key:
                tally.add(SEVERAL_IDS, Path(picture).name)
                marks[first] += [mark for mark in marks[key] if mark not in marks[first]]
        pictures = [
            PictureFile(picture, _marked(marks[key], images[key], class_names))
            for picture, key in firsts.items()
        ]
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"is built otherwise ({error})"
        raise UserError(
            f"{path} {what}; expected instances as COCO writes them: images, annotations with "
            f"bbox, and categories."
        ) from None
    return categories, pictures


def _load(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}; give a COCO file.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8; give a COCO file.") from None
    if not text.strip():
        raise UserError(f"{path} is empty; give a COCO file.")
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path} is no valid JSON ({error}); give a COCO file.") from None
    if not isinstance(document, dict):
        raise UserError(f"{path} holds a {type(document).__name__}, no object; give a COCO file.")
    return document


def _id(written: Any) -> int | str:
    """Some programs write 7 as "7" or 7.0 in one of the lists."""
    text = str(written).strip()
    number = text.removesuffix(".0")
    return int(number) if number.isdecimal() else text


def _name(written: Any) -> str:
    if not isinstance(written, str | int | float):
        raise ValueError(f"the name of a category is {written!r}")
    return cleaned(str(written))


def _images(path: str, entries: list[dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """By id."""
    images: dict[int | str, dict[str, Any]] = {}
    for image in entries:
        before = images.setdefault(_id(image["id"]), image)
        if before["file_name"] != image["file_name"]:
            raise UserError(
                f"{path} has the image id {image['id']} twice, for {before['file_name']} and "
                f"{image['file_name']}; number its images anew."
            )
    return images


def _marks(
    path: str,
    annotations: list[dict[str, Any]],
    images: dict[int | str, dict[str, Any]],
    categories: dict[int, str],
    tally: Tally,
) -> dict[int | str, list[_Mark]]:
    """The objects of each image id."""
    by_image: dict[int | str, list[_Mark]] = {key: [] for key in images}
    unknown: dict[str, list[object]] = {"images": [], "categories": []}
    for annotation in annotations:
        image, category = _id(annotation["image_id"]), _id(annotation["category_id"])
        box = annotation["bbox"]
        if image not in images:
            unknown["images"].append(image)
            tally.add(UNKNOWN_IMAGE, str(image))
        elif category not in categories:
            unknown["categories"].append(category)
            tally.add(UNKNOWN_CATEGORY, f"{category} in {Path(images[image]['file_name']).name}")
        else:
            crowd = _is_crowd(annotation.get("iscrowd", 0))
            by_image[image].append(_Mark(_corners(box), categories[int(category)], crowd))
    used = {_id(annotation["category_id"]) for annotation in annotations}
    for shift in (1, -1):
        if unknown["categories"] and used == {key + shift for key in categories}:
            raise UserError(
                f"The annotations of {path} have category ids from {min(categories) + shift} on, "
                f"its categories from {min(categories)} on; number both alike."
            )
    for kind, ids in unknown.items():
        if len(ids) > MOST * len(annotations):
            raise UserError(
                f"{len(ids)} of the {len(annotations)} annotations of {path} have ids that none of "
                f"its {kind} has, such as {ids[0]!r}; number them as the {kind} are."
            )
    return by_image


def _is_crowd(written: Any) -> bool:
    """Raises ValueError for what is neither 0 nor 1, also as text."""
    text = str(written).strip().lower()
    if text not in _CROWD:
        raise ValueError(f"iscrowd is {written!r}, but must be 0 or 1")
    return _CROWD[text]


def _corners(box: Any) -> list[float]:
    """ymin, xmin, ymax, xmax; not finite where `box` is not four numbers."""
    try:
        x, y, width, height = map(float, box)
    except (TypeError, ValueError, OverflowError):
        return [float("nan")] * 4
    return [y, x, y + height, x + width]


def _marked(marks: list[_Mark], image: dict[str, Any], class_names: list[str]) -> Marked:
    size = (image.get("height"), image.get("width"))
    given = all(isinstance(side, int) and side > 0 for side in size)
    return Marked(
        np.array([mark.corners for mark in marks], np.float64).reshape(-1, 4),
        np.array([class_names.index(mark.name) for mark in marks], np.int32),
        np.array([mark.crowd for mark in marks], bool),
        size if given else None,  # type: ignore[arg-type]
    )
