"""Random views of a picture for training: pure functions of a picture and a seed.

A seed is an integer tensor (2,), as `tf.random.stateless_*` takes it; the same seed gives the
same view, eagerly and inside tf.data.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mnv3_tf.data.decode import decode_window, normalize, resize_bilinear
from mnv3_tf.data.rand_augment import LARGEST_MAGNITUDE, rand_augment

Tensor = Any

_WINDOW_ATTEMPTS = 100
_GRAY = (0.2989, 0.587, 0.114)
"""Of red, green and blue in a gray (ITU-R 601)."""


@dataclass(frozen=True)
class Augmentation:
    """How a training view is drawn; the defaults are those of ImageNet training.

    `crop_scale` is the window's part of the picture's area and `crop_ratio` its width by its
    height. `brightness`, `contrast` and `saturation` are strengths s, for factors drawn from
    [1 - s, 1 + s]; 0 leaves out the step. `randaugment_layers` operations of RandAugment are drawn
    at `randaugment_magnitude` (0 to 10). `erase` is the part of the views of which a window is
    filled with noise.
    """

    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    randaugment_layers: int = 0
    randaugment_magnitude: float = 9.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale is {self.crop_scale}; give 0 < low <= high <= 1")
        low, high = self.crop_ratio
        if not 0 < low <= high:
            raise ValueError(f"crop_ratio is {self.crop_ratio}; give 0 < low <= high")
        if self.randaugment_layers < 0:
            raise ValueError(f"randaugment_layers is {self.randaugment_layers}; give 0 or more")
        if not 0 <= self.randaugment_magnitude <= LARGEST_MAGNITUDE:
            raise ValueError(f"randaugment_magnitude is {self.randaugment_magnitude}; give 0 to 10")
        require_parts(self, "brightness", "contrast", "saturation", "erase")


def require_parts(how: Any, *names: str) -> None:
    """Raises ValueError where one of these fields of a dataclass is not from 0 to 1."""
    for name in names:
        if not 0 <= getattr(how, name) <= 1:
            raise ValueError(f"{name} is {getattr(how, name)}; give 0 to 1")


def training_view(content: Tensor, resolution: int, seed: Tensor, how: Augmentation) -> Tensor:
    """Encoded bytes, or uint8 (H, W, 3), to float32 (resolution, resolution, 3) in [-1, 1]."""
    for_window, for_flip, for_color, for_operations, for_erasing = tf.unstack(
        tf.random.experimental.stateless_split(seed, 5)
    )
    window = decode_window(
        content,
        lambda shape: random_window(shape, for_window, how.crop_scale, how.crop_ratio),
        resolution,
    )
    if how.flip:
        window = random_flip(window, for_flip)
    picture = resize_bilinear(window, (resolution, resolution), smooth_from=3.0)
    if how.randaugment_layers:
        picture = rand_augment(
            picture, for_operations, how.randaugment_layers, how.randaugment_magnitude
        )
    picture = normalize(picture)
    picture = jitter_color(picture, for_color, how.brightness, how.contrast, how.saturation)
    return random_erasing(picture, for_erasing, how.erase) if how.erase else picture


def random_window(
    shape: Tensor, seed: Tensor, scale: tuple[float, float], ratio: tuple[float, float]
) -> Tensor:
    """A window of a picture of `shape` (height, width): int32 (4,), top, left, height, width.

    Its width by height is drawn from `ratio`, then its height from those that make its area a part
    in `scale` of the picture's, all evenly, until one fits; failing that, it is the whole picture
    (as slim draws; Szegedy et al. 2015, section 6).
    """
    # One kernel: as many small operations take longer than the rest of a view but for decoding.
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([shape, [3]], 0),
        tf.zeros((1, 0, 4)),
        tf.cast(seed, tf.int64),
        min_object_covered=0.0,
        aspect_ratio_range=ratio,
        area_range=scale,
        max_attempts=_WINDOW_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)


def random_flip(picture: Tensor, seed: Tensor) -> Tensor:
    """Mirrors left and right half of the time."""
    return mirror_where(happens(seed, 0.5), picture)


def happens(seed: Tensor, probability: float) -> Tensor:
    """A bool scalar."""
    return tf.random.stateless_uniform((), seed) < probability


def mirror_where(chosen: Tensor, picture: Tensor) -> Tensor:
    """(H, W, ...), with left and right mirrored where `chosen`, a bool scalar."""
    return tf.cond(chosen, lambda: tf.reverse(picture, [1]), lambda: picture)


def place(picture: Tensor, top: Tensor, left: Tensor, size: tuple[int, int], fill: Any) -> Tensor:
    """(h, w, C) on a canvas of `size` (height, width), which is `fill` around it."""
    height, width = tf.unstack(tf.shape(picture)[:2])
    below, right = size[0] - top - height, size[1] - left - width
    placed = tf.pad(picture, [[top, below], [left, right], [0, 0]], constant_values=fill)
    return tf.ensure_shape(placed, (*size, picture.shape[-1]))


def jitter_color(
    picture: Tensor, seed: Tensor, brightness: float, contrast: float, saturation: float
) -> Tensor:
    """Random factors for brightness, contrast and saturation, in this order, in [-1, 1].

    Brightness is a factor of the values, contrast of their distance from the mean gray, and
    saturation of that from each pixel's gray; values are clipped at the end. All three together
    are linear in a pixel's colour, so it is one product of matrices.
    """
    if not (brightness or contrast or saturation):
        return picture
    draws = tf.random.stateless_uniform((3,), seed, -1.0, 1.0)
    light, distance, colour = tf.unstack(1.0 + draws * [brightness, contrast, saturation])
    gray = tf.constant(_GRAY)
    mean = tf.tensordot(tf.reduce_mean(picture, (0, 1)), gray, 1)
    matrix = light * distance * (colour * tf.eye(3) + (1.0 - colour) * gray[:, None])
    # Black is -1 here: what light takes away from it, and what distance leaves of the mean.
    offset = light - 1.0 + (1.0 - distance) * light * mean
    changed = tf.reshape(tf.reshape(picture, (-1, 3)) @ matrix, tf.shape(picture))
    return tf.ensure_shape(tf.clip_by_value(changed + offset, -1.0, 1.0), picture.shape)


def random_erasing(picture: Tensor, seed: Tensor, probability: float) -> Tensor:
    """Fills a window with noise, evenly from [-1, 1], in a part of the draws (Zhong et al. 2020).

    It takes 2 % to a third of the picture's area, with a ratio of sides from 0.3 to 1 / 0.3.
    """
    for_choice, for_window, for_noise = tf.unstack(tf.random.experimental.stateless_split(seed, 3))

    def erased() -> Tensor:
        top, left, height, width = tf.unstack(
            random_window(tf.shape(picture)[:2], for_window, (0.02, 1 / 3), (0.3, 1 / 0.3))
        )
        noise = tf.random.stateless_uniform((height, width, 3), for_noise, -1.0, 1.0, picture.dtype)
        rows = picture[top : top + height]
        rows = tf.concat([rows[:, :left], noise, rows[:, left + width :]], 1)
        erased = tf.concat([picture[:top], rows, picture[top + height :]], 0)
        return tf.ensure_shape(erased, picture.shape)

    return tf.cond(happens(for_choice, probability), erased, lambda: picture)
