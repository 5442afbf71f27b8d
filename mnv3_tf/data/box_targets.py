"""The boxes of a split's pictures: checked on opening, stored flat, padded in a batch.

A box is ymin, xmin, ymax, xmax, each in [0, 1] of the picture's height or width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.data.box_conventions import SLACK
from mnv3_tf.data.dataset import on_cpu

Tensor = Any

MOST_BOXES = 100
"""Boxes that a picture of a batch has room for; COCO's evaluation looks at as many detections."""

NOT_NUMBERS = Reason(
    "box that is not four finite numbers was left out",
    "boxes that are not four finite numbers were left out",
)
NO_AREA = Reason("box of no area was left out", "boxes of no area were left out")
OUTSIDE = Reason(
    "box outside of its picture was left out", "boxes outside of their pictures were left out"
)
CUT = Reason("box leaves its picture and was cut", "boxes leave their pictures and were cut")
TINY = Reason("box is smaller than a pixel", "boxes are smaller than a pixel")
TOO_MANY = Reason(
    f"box beyond the {MOST_BOXES} largest of its picture was left out",
    f"boxes beyond the {MOST_BOXES} largest of their pictures were left out",
)


ALMOST_ONE = 1 - 1e-3
"""Pixel: boxes are kept as parts of the picture, rounded."""


@dataclass(frozen=True)
class Marked:
    """One picture's objects as its annotation has them.

    `corners` float64 (K, 4): ymin, xmin, ymax, xmax in pixels, where 0 is the upper or left edge
    of the picture; `classes` int (K,) from 0; `crowd` bool (K,): objects that are not annotated
    one by one, or too hard to detect; `size`: height and width in pixels, None where not given.
    """

    corners: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Objects:
    """One picture's objects as they are learned.

    `boxes` float32 (K, 4) within the picture and with an area, K up to MOST_BOXES; `classes`
    int32 (K,); `crowd` bool (K,); `size`: height and width of the picture in pixels.
    """

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    size: tuple[int, int]


def usable(marked: Marked, size: tuple[int, int], name: str, tally: Tally) -> Objects:
    """The boxes of a picture of `size` clipped to it; what cannot be used is counted in `tally`."""
    corners = np.asarray(marked.corners, np.float64).reshape(-1, 4)
    finite = np.isfinite(corners).all(1)
    area = finite & (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    with np.errstate(invalid="ignore"):
        boxes = np.clip(corners / (size * 2), 0, 1).astype(np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    good = area & (sides > 0).all(1)
    tally.add(NOT_NUMBERS, name, int((~finite).sum()))
    tally.add(NO_AREA, name, int((finite & ~area).sum()))
    tally.add(OUTSIDE, name, int((area & ~good).sum()))
    kept = np.flatnonzero(good)
    if len(kept) > MOST_BOXES:
        tally.add(TOO_MANY, name, len(kept) - MOST_BOXES)
        largest = np.argsort(-sides[kept].prod(1), kind="stable")[:MOST_BOXES]
        kept = kept[np.sort(largest)]
    tally.add(TINY, name, int((sides[kept] * size < ALMOST_ONE).any(1).sum()))
    tally.add(CUT, name, int(_leaves(corners[kept], size).sum()))
    return Objects(
        boxes[kept],
        np.asarray(marked.classes, np.int32)[kept],
        np.asarray(marked.crowd, bool)[kept],
        size,
    )


def _leaves(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool (K,): whether a box is beyond the picture by more than `SLACK`."""
    beyond = (corners[:, :2] < -SLACK) | (corners[:, 2:] > np.array(size) + SLACK)
    return np.asarray(beyond.any(1))


def reader_of_objects(objects: Sequence[Objects]) -> Callable[[Tensor], dict[str, Tensor]]:
    """From a picture's index to {"boxes", "classes", "crowd", "size"}, each as in `Objects`."""
    # End to end: padded to the fullest picture they would take many times the memory.
    ends = on_cpu(np.cumsum([0] + [len(one.boxes) for one in objects], dtype=np.int64))
    flat = {
        "boxes": on_cpu(
            np.concatenate([np.zeros((0, 4), np.float32), *(o.boxes for o in objects)])
        ),
        "classes": on_cpu(np.concatenate([np.zeros(0, np.int32), *(o.classes for o in objects)])),
        "crowd": on_cpu(np.concatenate([np.zeros(0, bool), *(o.crowd for o in objects)])),
    }
    sizes = on_cpu(np.array([one.size for one in objects], np.int32).reshape(-1, 2))

    def read(index: Tensor) -> dict[str, Tensor]:
        own = {name: values[ends[index] : ends[index + 1]] for name, values in flat.items()}
        return own | {"size": sizes[index]}

    return read


def padded(objects: dict[str, Tensor]) -> dict[str, Tensor]:
    """A target that can be one of a batch.

    Returns:
      "boxes" float32 (MOST_BOXES, 4), zeros beyond the last; "classes" int32 (MOST_BOXES,), -1
      beyond the last; "crowd" bool (MOST_BOXES,), false beyond the last; "size" int32 (2,), height
      and width of the original picture in pixels.
    """
    missing = MOST_BOXES - tf.shape(objects["boxes"])[0]
    boxes = tf.pad(objects["boxes"], [[0, missing], [0, 0]])
    classes = tf.pad(objects["classes"], [[0, missing]], constant_values=-1)
    crowd = tf.pad(objects["crowd"], [[0, missing]])
    return {
        "boxes": tf.ensure_shape(boxes, (MOST_BOXES, 4)),
        "classes": tf.ensure_shape(classes, (MOST_BOXES,)),
        "crowd": tf.ensure_shape(crowd, (MOST_BOXES,)),
        "size": tf.ensure_shape(objects["size"], (2,)),
    }
