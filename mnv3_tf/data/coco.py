"""`coco:ANNOTATIONS.json,IMAGES[,VAL.json,VAL_IMAGES]`: instances as COCO writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.data.box_datasets import open_boxes
from mnv3_tf.data.box_targets import Marked
from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.picture_files import PictureFile, hold_out
from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError

UNKNOWN_IMAGE = Reason(
    "annotation of an unknown image id was left out",
    "annotations of unknown image ids were left out",
)
UNKNOWN_CATEGORY = Reason(
    "annotation of an unknown category id was left out",
    "annotations of unknown category ids were left out",
)


def open_coco(asked: Opening) -> Dataset:
    """Without a second pair of parts, a fifth is held out under the seed, for training alone.

    Classes are numbered from 0 in the order of their category ids, which may have gaps. Boxes
    are [x, y, width, height] in pixels, (0, 0) being the upper left corner of the picture
    (cocodataset.org, "Data format"). Pictures without annotations are kept.

    Raises:
      UserError: a file that is not such JSON or empty, an image id that is there twice, other
        categories in the second file, or no pictures.
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
    return open_boxes(f"coco:{given}", tuple(categories.values()), files, tally)


def _read(path: str, folder: str, tally: Tally) -> tuple[dict[int, str], list[PictureFile]]:
    """Names by category id, in the order of the ids, and the pictures, labelled with `Marked`."""
    document = _load(path)
    if not Path(folder).is_dir():
        raise UserError(
            f"There is no folder {folder}; give the one that the names of {path} are in."
        )
    try:
        categories = {int(c["id"]): str(c["name"]) for c in document["categories"]}
        categories = dict(sorted(categories.items()))
        if len(categories) < len(document["categories"]):
            raise UserError(f"{path} has a category id twice; give each category its own.")
        images: dict[int, dict[str, Any]] = {}
        for image in document["images"]:
            if image["id"] in images:
                raise UserError(
                    f"{path} has the image id {image['id']} twice, for "
                    f"{images[image['id']]['file_name']} and {image['file_name']}; number its "
                    f"images anew."
                )
            images[image["id"]] = image
        marks = _marks(document["annotations"], images, categories, tally)
        pictures = [
            PictureFile(str(Path(folder) / image["file_name"]), _marked(marks[key], image))
            for key, image in images.items()
        ]
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"is built otherwise ({error})"
        raise UserError(
            f"{path} {what}; expected instances as COCO writes them: images, annotations with "
            f"bbox, and categories."
        ) from None
    if not pictures or not categories:
        raise UserError(
            f"{path} has {len(pictures)} images and {len(categories)} categories; it needs both."
        )
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


def _marks(
    annotations: list[dict[str, Any]],
    images: dict[int, dict[str, Any]],
    categories: dict[int, str],
    tally: Tally,
) -> dict[int, list[tuple[list[float], int, bool]]]:
    """Corners, class and crowd of the objects of each image id."""
    classes = {key: number for number, key in enumerate(categories)}
    by_image: dict[int, list[tuple[list[float], int, bool]]] = {key: [] for key in images}
    for annotation in annotations:
        image, category = annotation["image_id"], annotation["category_id"]
        box = annotation["bbox"]
        if image not in images:
            tally.add(UNKNOWN_IMAGE, str(image))
        elif category not in classes:
            tally.add(UNKNOWN_CATEGORY, f"{category} in {Path(images[image]['file_name']).name}")
        else:
            crowd = bool(annotation.get("iscrowd", 0))
            by_image[image].append((_corners(box), classes[category], crowd))
    return by_image


def _corners(box: Any) -> list[float]:
    """ymin, xmin, ymax, xmax; not finite where `box` is not four numbers."""
    try:
        x, y, width, height = map(float, box)
    except (TypeError, ValueError, OverflowError):
        return [float("nan")] * 4
    return [y, x, y + height, x + width]


def _marked(marks: list[tuple[list[float], int, bool]], image: dict[str, Any]) -> Marked:
    size = (image.get("height"), image.get("width"))
    given = all(isinstance(side, int) and side > 0 for side in size)
    corners = np.array([corner for corner, _, _ in marks], np.float64).reshape(-1, 4)
    return Marked(
        corners,
        np.array([number for _, number, _ in marks], np.int32),
        np.array([crowd for _, _, crowd in marks], bool),
        size if given else None,  # type: ignore[arg-type]
    )
