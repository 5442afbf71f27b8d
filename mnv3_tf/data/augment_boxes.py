"""Views of a picture with boxes: pure functions of the picture, its objects and a seed."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mnv3_tf.data.augment import happens, jitter_color, mirror_where, place, require_parts
from mnv3_tf.data.box_targets import padded
from mnv3_tf.data.decode import decode_placed_window, normalize, resize_bilinear
from mnv3_tf.data.task_views import Example, Views, picture_of
from mnv3_tf.networks.pixels import View
from mnv3_tf.tasks.task import Resolution, sides

Tensor = Any
Objects = dict[str, Tensor]

COVERED = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Parts of a box that a window must hold, one of them drawn for each view."""

WHOLE_PART = 0.15
"""Part of the views that keep the whole picture."""

_AREA, _RATIO = (0.1, 1.0), (0.5, 2.0)
_ATTEMPTS = 100


@dataclass(frozen=True)
class BoxAugmentation:
    """How a training view is drawn; the defaults are those of SSD without its zooming out.

    `ssd_crop` cuts out windows (`ssd_window`). `zoom_out` is the part of the views that show the
    whole picture smaller instead, somewhere on a gray canvas of 1 to `zoom_out_scale` times its
    sides (Liu et al. 2016, section 3.6: half of the pictures, up to 4). `brightness`, `contrast`
    and `saturation` are as in `Augmentation`.
    """

    flip: bool = True
    ssd_crop: bool = True
    zoom_out: float = 0.0
    zoom_out_scale: float = 4.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        require_parts(self, "zoom_out", "brightness", "contrast", "saturation")
        if not self.zoom_out_scale >= 1:
            raise ValueError(f"zoom_out_scale is {self.zoom_out_scale}; give 1 or more")


def training_example(
    content: Tensor, objects: Objects, resolution: Resolution, seed: Tensor, how: BoxAugmentation
) -> Example:
    """A picture of `resolution`, float32 in [-1, 1], and what `padded` gives.

    `content` is encoded bytes or uint8 (H, W, 3), `objects` what `boxes.reader_of_objects` gives.
    """
    for_zoom, for_case, for_crop, for_place, for_flip, for_color = tf.unstack(
        tf.random.experimental.stateless_split(seed, 6)
    )
    size = sides(resolution)
    zooms_out = happens(for_zoom, how.zoom_out)
    whole, covered = _draw_case(for_case)
    whole = whole | zooms_out | (not how.ssd_crop)

    def choose(shape: Tensor) -> Tensor:
        return tf.cond(
            whole,
            lambda: tf.concat([[0, 0], shape], 0),
            lambda: ssd_window(shape, objects["boxes"], covered, for_crop),
        )

    pixels, window, shape = decode_placed_window(content, choose, size)
    # The whole picture keeps all, also boxes of which nothing has to be covered.
    objects = within_window(objects, window, shape, tf.where(whole, 0.0, covered))
    pixels, objects = random_mirror(pixels, objects, for_flip) if how.flip else (pixels, objects)
    if how.zoom_out:
        picture, objects = _on_canvas(pixels, objects, size, zooms_out, for_place, for_color, how)
    else:
        picture = _finished(pixels, size, for_color, how)
    return picture, padded(objects)


def evaluation_example(
    content: Tensor, objects: Objects, resolution: Resolution, view: View = "whole"
) -> Example:
    """The whole picture squeezed to the resolution, as SSD looks at it; boxes stay the same."""
    if view != "whole":
        raise ValueError(f"view is {view!r}; pictures with boxes are always taken whole")
    size = sides(resolution)
    picture = normalize(resize_bilinear(picture_of(content), size))
    return tf.ensure_shape(picture, (*size, 3)), padded(objects)


def ssd_window(shape: Tensor, boxes: Tensor, covered: Tensor, seed: Tensor) -> Tensor:
    """A window that holds the part `covered` of at least one of the boxes.

    Its area is 0.1 to 1 of the picture's, its width by height 0.5 to 2; where 100 draws find none,
    it is the whole picture. As `ssd_random_crop` of the TensorFlow Object Detection API draws
    (core/preprocessor.py).

    Args:
      shape: the picture's height and width, int32 (2,).
      boxes: float32 (K, 4).
      covered: float32 scalar from 0 to 1.
      seed: int64 (2,).

    Returns:
      int32 (4,): top, left, height, width.
    """
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([shape, [3]], 0),
        boxes[None],
        tf.cast(seed, tf.int64),
        min_object_covered=covered,
        aspect_ratio_range=_RATIO,
        area_range=_AREA,
        max_attempts=_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)


def _draw_case(seed: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the picture stays whole, and else how much of a box the window must cover."""
    for_whole, for_covered = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    case = tf.random.stateless_uniform((), for_covered, 0, len(COVERED), tf.int32)
    return happens(for_whole, WHOLE_PART), tf.gather(tf.constant(COVERED), case)


def within_window(objects: Objects, window: Tensor, shape: Tensor, covered: Tensor) -> Objects:
    """The objects of which `window` (pixels) holds at least the part `covered` of the box.

    Their boxes are clipped to it, and are now in [0, 1] of the window.
    """
    boxes = objects["boxes"]
    corner, extent = window[:2] / shape, window[2:] / shape
    origin = tf.cast(tf.tile(corner, [2]), tf.float32)
    scale = tf.cast(tf.tile(extent, [2]), tf.float32)
    # Clipped before they are moved: a box inside keeps its very numbers, and is covered to 1.
    inside = tf.clip_by_value(boxes, origin, origin + scale)
    area, kept_area = _areas(boxes), _areas(inside)
    kept = (kept_area > 0.0) & (kept_area >= covered * area)
    moved = tf.clip_by_value((inside - origin) / scale, 0.0, 1.0)
    return objects | {
        "boxes": tf.boolean_mask(moved, kept),
        "classes": tf.boolean_mask(objects["classes"], kept),
        "crowd": tf.boolean_mask(objects["crowd"], kept),
    }


def _areas(boxes: Tensor) -> Tensor:
    return tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], 1)


def random_mirror(picture: Tensor, objects: Objects, seed: Tensor) -> tuple[Tensor, Objects]:
    """Mirrors left and right half of the time, as `augment.random_flip` for the same seed."""
    flip = happens(seed, 0.5)
    top, left, bottom, right = tf.unstack(objects["boxes"], axis=1)
    mirrored = tf.stack([top, 1.0 - right, bottom, 1.0 - left], 1)
    boxes = tf.where(flip, mirrored, objects["boxes"])
    return mirror_where(flip, picture), objects | {"boxes": boxes}


def _finished(pixels: Tensor, size: Any, seed: Tensor, how: BoxAugmentation) -> Tensor:
    picture = normalize(resize_bilinear(pixels, size, smooth_from=3.0))
    return jitter_color(picture, seed, how.brightness, how.contrast, how.saturation)


def _on_canvas(
    pixels: Tensor,
    objects: Objects,
    size: tuple[int, int],
    zooms_out: Tensor,
    seed: Tensor,
    for_color: Tensor,
    how: BoxAugmentation,
) -> tuple[Tensor, Objects]:
    """The picture somewhere on a gray canvas of `size`, or all over it where not `zooms_out`."""
    draws = tf.random.stateless_uniform((3,), seed)
    scale = tf.where(zooms_out, 1.0 + draws[0] * (how.zoom_out_scale - 1.0), 1.0)
    canvas = tf.constant(size, tf.float32)
    # It is made small at once, instead of on a canvas of several times its size.
    inner = tf.maximum(tf.round(canvas / scale), 1.0)
    corner = tf.floor(draws[1:] * (canvas - inner + 1.0))
    picture = _finished(pixels, tf.cast(inner, tf.int32), for_color, how)
    top, left = tf.unstack(tf.cast(corner, tf.int32))
    boxes = objects["boxes"] * tf.tile(inner / canvas, [2]) + tf.tile(corner / canvas, [2])
    return place(picture, top, left, size, fill=0.0), objects | {"boxes": boxes}


DETECTION = Views(training_example, evaluation_example)
