"""Pictures as evaluation sees them, without TensorFlow: what `data.decode` does, but for rounding.

They are uint8 (H, W, 3), as `mnv3_tf.upright` reads them.
"""

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from mnv3_tf.networks.pixels import EVALUATION_MARGIN, View

Array = np.ndarray


def smoothed(picture: Array, size: tuple[int, int]) -> Array:
    """uint8 (H, W, 3), all of it, to float32 (height, width, 3) in [-1, 1]: for boxes and masks."""
    return normalize(resize_bilinear(picture, size))


def whole(picture: Array, size: tuple[int, int]) -> Array:
    """uint8 (H, W, 3) to float32 (height, width, 3) in [-1, 1], sampled as `pixels.View` says."""
    for axis, side in enumerate(size):
        last = picture.shape[axis] - 1
        place = np.arange(side, dtype=np.float32) * np.float32((last + 1) / side)
        before = place.astype(int)
        part = np.expand_dims(place - before, tuple(range(1, 3 - axis)))
        low, high = (picture.take(at.clip(max=last), axis) for at in (before, before + 1))
        picture = low + (high.astype(np.float32) - low) * part
    return normalize(picture)


def crop(picture: Array, size: tuple[int, int]) -> Array:
    """uint8 (H, W, 3) to float32 (height, width, 3) in [-1, 1].

    Resized with its proportions until `size` (height, width), times 256 / 224, is covered; then the
    centre is cut out.
    """
    shape = np.array(picture.shape[:2], np.float32)
    covered = [round(side * EVALUATION_MARGIN) for side in size]
    scale = np.float32(max(np.array(covered, np.float32) / shape))
    resized = np.rint(shape * scale)
    top, left = (resized.astype(int) - size) // 2
    ends = np.array([left, top, left + size[1], top + size[0]])
    # No more is made than is kept: of a picture of 4000 x 1 all would take gigabytes.
    window = ends * np.tile(shape / resized, 2)[[1, 0, 3, 2]]
    return normalize(resize_bilinear(picture, size, tuple(window.tolist())))


VIEWS: Mapping[View, Callable[[Array, tuple[int, int]], Array]] = {"crop": crop, "whole": whole}


def normalize(picture: Array) -> Array:
    """0..255 to float32 in [-1, 1]."""
    return picture.astype(np.float32) / np.float32(127.5) - np.float32(1)


def resize_bilinear(
    picture: Array, size: tuple[int, int], window: tuple[float, float, float, float] | None = None
) -> Array:
    """(H, W, C) to float32 (height, width, C), anti-aliased where it shrinks.

    Of all the picture, or of a `window`: left, top, right, bottom.
    """
    channels = [resize_channel(channel, size, window) for channel in np.moveaxis(picture, -1, 0)]
    return np.stack(channels, axis=-1)


def resize_channel(
    channel: Array,
    size: tuple[int, int],
    window: tuple[float, float, float, float] | None = None,
) -> Array:
    """(H, W) to float32 (height, width)."""
    # Whole colour pictures Pillow would round to bytes, after rows and again after columns.
    image = Image.fromarray(np.ascontiguousarray(channel, np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR, window))
