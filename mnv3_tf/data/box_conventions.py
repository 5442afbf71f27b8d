"""Boxes as they are written: what a format means by its four numbers, and what else they may be.

Corners are float64 (K, 4), ymin, xmin, ymax, xmax in pixels; the four numbers are float64 (K, 4) as
the format has them; sizes are float64 (K, 2), heights and widths of the boxes' pictures in pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mnv3_tf.errors import UserError

SLACK = 1.0
"""Pixels by which a box may leave its picture: some count from 0, some from 1."""

MOST = 0.5
"""Part of a set's boxes beyond which they cannot be meant as they are written."""

MANY, ENOUGH = 0.1, 10
"""Likewise of at least so many boxes, where another convention suits nearly all of them."""

NEARLY_ALL = 0.95

Size = tuple[int, int]
"""Height and width in pixels."""

Reading = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""The four numbers and the sizes to corners."""


@dataclass(frozen=True)
class Convention:
    """`meant` says what the format wants; `written` makes the four numbers of corners.

    `others` are other conventions by what to call them, the likelier first.
    """

    meant: str
    written: Callable[[np.ndarray], np.ndarray]
    others: Mapping[str, Reading] = field(default_factory=dict)


def _from_corner(box: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Of x, y, width, height."""
    x, y, width, height = box.T
    return np.stack([y, x, y + height, x + width], 1)


def _from_centre(box: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    x, y, width, height = box.T
    return np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], 1)


def _from_corners(box: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return box[:, [1, 0, 3, 2]]


def _vertical_first(reading: Reading) -> Reading:
    return lambda box, sizes: reading(box[:, [1, 0, 3, 2]], sizes)


def _of_parts(reading: Reading) -> Reading:
    return lambda box, sizes: reading(box * sizes[:, [1, 0, 1, 0]], sizes)


def _any_order(reading: Reading) -> Reading:
    def read(box: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        corners = reading(box, sizes).reshape(-1, 2, 2)
        return np.concatenate([corners.min(1), corners.max(1)], 1)

    return read


_OWN = "the sizes of the pictures, not those that their annotations say: correct the latter"
_PARTS = "parts of the picture, from 0 to 1"

COCO = Convention(
    "x, y, width and height in pixels",
    lambda corners: np.stack(
        [
            corners[:, 1],
            corners[:, 0],
            corners[:, 3] - corners[:, 1],
            corners[:, 2] - corners[:, 0],
        ],
        1,
    ),
    {
        "corners, x1, y1, x2 and y2": _from_corners,
        _PARTS: _of_parts(_from_corner),
        f"{_PARTS}, of the centre, width and height": _of_parts(_from_centre),
        f"{_PARTS}, of two corners": _of_parts(_from_corners),
        "the centre, width and height": _from_centre,
        "y before x": _vertical_first(_from_corner),
        "boxes with lengths below 0": _any_order(_from_corner),
    },
)

VOC = Convention(
    "xmin, ymin, xmax and ymax in pixels",
    lambda corners: np.stack(
        [corners[:, 1] + 1, corners[:, 0] + 1, corners[:, 3], corners[:, 2]], 1
    ),
    {
        _PARTS: _of_parts(_from_corners),
        "x, y, width and height": _from_corner,
        "the centre, width and height": _from_centre,
        "y before x": _vertical_first(_from_corners),
        "corners in another order": _any_order(_from_corners),
    },
)


def check(
    where: str, pictures: Sequence[tuple[np.ndarray, Size, Size]], convention: Convention
) -> None:
    """Of each picture the corners of its boxes, the size they are taken by, and its own.

    Raises UserError where most boxes leave their pictures or are smaller than a pixel, or many do
    and another convention suits them all; with what they may be, where one does.
    """
    boxes = np.concatenate([np.zeros((0, 4)), *(corners for corners, *_ in pictures)])
    counts = [len(corners) for corners, *_ in pictures]
    taken, own = (
        np.repeat(np.reshape([sizes[which] for _, *sizes in pictures], (-1, 2)), counts, 0)
        for which in (0, 1)
    )
    written = convention.written(boxes)
    with np.errstate(invalid="ignore"):
        parts = (written <= 1).all(1)
        bad = int((~fits(boxes, taken) | parts).sum())
        suited = [(f"they suit {_OWN}", fits(boxes, own) & ~parts)]
        for name, read in convention.others.items():
            seems = f"they seem to be {name}: write {convention.meant}"
            suited.append((seems, fits(read(written, taken), taken)))
    likely = next((why for why, each in suited if each.sum() >= NEARLY_ALL * len(boxes)), "")
    many = len(boxes) >= ENOUGH and bad > MANY * len(boxes)
    if bad > MOST * len(boxes) or (many and likely):
        raise UserError(
            f"{bad} of the {len(boxes)} boxes of {where} leave their pictures or are smaller than "
            f"a pixel; {likely or f'write {convention.meant}'}."
        )


def fits(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """bool (K,): whether a box has a pixel at least, and lies in its picture, within `SLACK`."""
    inside = (corners[:, :2] >= -SLACK).all(1) & (corners[:, 2:] <= sizes + SLACK).all(1)
    return np.asarray(inside & (corners[:, 2:] - corners[:, :2] >= 1).all(1))
