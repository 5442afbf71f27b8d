"""Views of a picture with a mask: pure functions of both and a seed.

A mask is uint8 (H, W) of class indices, as big as its picture, or an 8-bit gray PNG of that.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mnv3_tf.data.augment import happens, jitter_color, mirror_where, place, require_parts
from mnv3_tf.data.decode import cut_window, decode_placed_window, normalize, resize_bilinear
from mnv3_tf.data.task_views import Example, Views, picture_of
from mnv3_tf.networks.pixels import View
from mnv3_tf.segmentation import IGNORED
from mnv3_tf.tasks.task import Resolution, sides

Tensor = Any


@dataclass(frozen=True)
class MaskAugmentation:
    """How a training view is drawn.

    `scale` is from what to what the picture is resized before a window of the resolution is cut
    out; 1 is the size at which evaluation sees it, whole. Where it is smaller than the window, it
    lies somewhere on a gray canvas, of which the mask is IGNORED. (As DeepLab draws, Chen et al.
    2017, section 4.1.) `brightness`, `contrast` and `saturation` are as in `Augmentation`.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    flip: bool = True
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(f"scale is {self.scale}; give 0 < low <= high")
        require_parts(self, "brightness", "contrast", "saturation")


def training_example(
    content: Tensor, mask: Tensor, resolution: Resolution, seed: Tensor, how: MaskAugmentation
) -> Example:
    """A picture of `resolution`, float32 (H, W, 3) in [-1, 1], and its mask, uint8 (H, W)."""
    for_scale, for_window, for_place, for_flip, for_color = tf.unstack(
        tf.random.experimental.stateless_split(seed, 5)
    )
    size = sides(resolution)
    scale = tf.random.stateless_uniform((), for_scale, *how.scale)
    pixels, window, _ = decode_placed_window(
        content, lambda shape: _random_part(shape, 1.0 / scale, for_window), size
    )
    mask = cut_window(mask_of(mask), window)
    canvas = tf.constant(size)
    top, left, height, width = tf.unstack(_random_part(canvas, scale, for_place))
    picture = normalize(resize_bilinear(pixels, (height, width), smooth_from=3.0))
    picture = jitter_color(picture, for_color, how.brightness, how.contrast, how.saturation)
    # The gray comes after the colours, so that it is always the same.
    picture = place(picture, top, left, size, fill=0.0)
    mask = place(_nearest(mask, (height, width)), top, left, size, fill=IGNORED)
    if how.flip:
        flip = happens(for_flip, 0.5)
        picture, mask = mirror_where(flip, picture), mirror_where(flip, mask)
    return tf.ensure_shape(picture, (*size, 3)), tf.ensure_shape(mask, (*size, 1))[..., 0]


def evaluation_example(
    content: Tensor, mask: Tensor, resolution: Resolution, view: View = "whole"
) -> Example:
    """The whole picture squeezed to the resolution; untouched where it has that already."""
    if view != "whole":
        raise ValueError(f"view is {view!r}; pictures with masks are always taken whole")
    size = sides(resolution)
    picture = normalize(resize_bilinear(picture_of(content), size))
    mask = _nearest(mask_of(mask), size)
    return tf.ensure_shape(picture, (*size, 3)), tf.ensure_shape(mask, (*size, 1))[..., 0]


def mask_of(content: Tensor) -> Tensor:
    """An encoded gray PNG (a string scalar) or uint8 (H, W), to the latter."""
    return tf.io.decode_png(content, channels=1)[..., 0] if content.dtype == tf.string else content


def _nearest(mask: Tensor, size: Any) -> Tensor:
    """(H, W) to uint8 (height, width, 1)."""
    return tf.image.resize(mask[..., None], size, "nearest")


def _random_part(shape: Tensor, part: Tensor, seed: Tensor) -> Tensor:
    """A window somewhere in `shape`, `part` of both of its sides, or all where that is over 1.

    Returns:
      int32 (4,): top, left, height, width.
    """
    whole = tf.cast(shape, tf.float32)
    size = tf.maximum(tf.round(whole * tf.minimum(part, 1.0)), 1.0)
    corner = tf.floor(tf.random.stateless_uniform((2,), seed) * (whole - size + 1.0))
    return tf.cast(tf.concat([corner, size], 0), tf.int32)


SEGMENTATION = Views(training_example, evaluation_example)
