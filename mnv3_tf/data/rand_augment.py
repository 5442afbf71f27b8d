"""RandAugment: a few operations drawn at random, at one magnitude (Cubuk et al. 2020).

The operations are those of the paper and are defined as Pillow defines them, on uint8.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensor = Any
Operation = Callable[[Tensor, Tensor], Tensor]
"""A picture, float32 (H, W, 3) of whole numbers 0 to 255, and a strength from -1 to 1."""

LARGEST_MAGNITUDE = 10.0
FILL = 128.0
"""What is seen where a picture has moved away."""


def rand_augment(picture: Tensor, seed: Tensor, layers: int, magnitude: float) -> Tensor:
    """`layers` operations after one another, each drawn evenly; a function of `seed`.

    Args:
      picture: (H, W, 3), 0 to 255; rounded first.
      seed: int64 (2,).
      layers: how many operations.
      magnitude: 0 (all but those without a strength change nothing) to 10. Where an operation
        has two directions, each is drawn half of the time.

    Returns:
      float32 (H, W, 3) of whole numbers from 0 to 255.
    """
    shape = picture.shape
    picture = tf.round(tf.cast(picture, tf.float32))
    operations = tuple(OPERATIONS.values())
    for_operations, for_signs = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    chosen = tf.random.stateless_uniform((layers,), for_operations, 0, len(operations), tf.int32)
    signs = tf.sign(tf.random.stateless_uniform((layers,), for_signs, -1.0, 1.0))
    for layer in range(layers):
        strength = signs[layer] * magnitude / LARGEST_MAGNITUDE
        picture = tf.switch_case(
            chosen[layer],
            [
                lambda run=run, before=picture, strength=strength: run(before, strength)
                for run in operations
            ],
        )
        picture = tf.ensure_shape(picture, shape)
    return picture


def autocontrast(picture: Tensor, strength: Tensor) -> Tensor:
    """Every channel is stretched to 0 to 255."""
    low = tf.reduce_min(picture, (0, 1), keepdims=True)
    high = tf.reduce_max(picture, (0, 1), keepdims=True)
    stretched = tf.floor((picture - low) * (255.0 / tf.maximum(high - low, 1.0)) + 1e-3)
    return tf.where(high > low, tf.clip_by_value(stretched, 0.0, 255.0), picture)


def equalize(picture: Tensor, strength: Tensor) -> Tensor:
    """Every channel gets as many pixels of each value as can be."""
    return tf.stack([_equalize_channel(picture[..., channel]) for channel in range(3)], -1)


def _equalize_channel(channel: Tensor) -> Tensor:
    values = tf.cast(channel, tf.int32)
    histogram = tf.math.bincount(tf.reshape(values, (-1,)), minlength=256, maxlength=256)
    present = tf.boolean_mask(histogram, histogram > 0)
    step = (tf.reduce_sum(histogram) - present[-1]) // 255
    table = (tf.cumsum(histogram, exclusive=True) + step // 2) // tf.maximum(step, 1)
    equalized = tf.cast(tf.gather(tf.clip_by_value(table, 0, 255), values), tf.float32)
    return tf.where(step > 0, equalized, channel)


def solarize(picture: Tensor, strength: Tensor) -> Tensor:
    """Values from a threshold on are inverted: from 255 (strength 0) down to 0."""
    return tf.where(picture >= 256.0 * (1.0 - tf.abs(strength)), 255.0 - picture, picture)


def posterize(picture: Tensor, strength: Tensor) -> Tensor:
    """Values keep their highest bits: 8 of them (strength 0) down to 4."""
    cell = 2.0 ** tf.round(4.0 * tf.abs(strength))
    return tf.floor(picture / cell) * cell


def brightness(picture: Tensor, strength: Tensor) -> Tensor:
    return _blend(tf.zeros_like(picture), picture, strength)


def contrast(picture: Tensor, strength: Tensor) -> Tensor:
    mean = tf.floor(tf.reduce_mean(_gray(picture)) + 0.5)
    return _blend(tf.fill(tf.shape(picture), mean), picture, strength)


def color(picture: Tensor, strength: Tensor) -> Tensor:
    return _blend(_gray(picture), picture, strength)


def sharpness(picture: Tensor, strength: Tensor) -> Tensor:
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]])[:, :, None, None] / 13.0
    smooth = tf.nn.depthwise_conv2d(
        picture[None], tf.tile(kernel, (1, 1, 3, 1)), (1, 1, 1, 1), "VALID"
    )[0]
    inner = tf.pad(tf.ones_like(smooth), ((1, 1), (1, 1), (0, 0))) > 0
    smooth = tf.floor(tf.pad(smooth, ((1, 1), (1, 1), (0, 0))) + 0.5)
    return _blend(tf.where(inner, smooth, picture), picture, strength)


def rotate(picture: Tensor, strength: Tensor) -> Tensor:
    """About the centre, by up to 30 degrees."""
    angle = strength * (30.0 * 3.14159265 / 180.0)
    return _affine(picture, tf.cos(angle), tf.sin(angle), -tf.sin(angle), tf.cos(angle))


def shear_x(picture: Tensor, strength: Tensor) -> Tensor:
    """About the centre, by up to 0.3 pixels a pixel; shear_y likewise."""
    return _affine(picture, 1.0, 0.3 * strength, 0.0, 1.0)


def shear_y(picture: Tensor, strength: Tensor) -> Tensor:
    return _affine(picture, 1.0, 0.0, 0.3 * strength, 1.0)


def translate_x(picture: Tensor, strength: Tensor) -> Tensor:
    """By up to 0.45 of the width; translate_y likewise of the height."""
    shift = tf.round(0.45 * strength * tf.cast(tf.shape(picture)[1], tf.float32))
    return _affine(picture, 1.0, 0.0, 0.0, 1.0, dx=shift)


def translate_y(picture: Tensor, strength: Tensor) -> Tensor:
    shift = tf.round(0.45 * strength * tf.cast(tf.shape(picture)[0], tf.float32))
    return _affine(picture, 1.0, 0.0, 0.0, 1.0, dy=shift)


OPERATIONS: dict[str, Operation] = {
    "identity": lambda picture, strength: picture,
    "autocontrast": autocontrast,
    "equalize": equalize,
    "rotate": rotate,
    "solarize": solarize,
    "color": color,
    "posterize": posterize,
    "contrast": contrast,
    "brightness": brightness,
    "sharpness": sharpness,
    "shear_x": shear_x,
    "shear_y": shear_y,
    "translate_x": translate_x,
    "translate_y": translate_y,
}


def _gray(picture: Tensor) -> Tensor:
    """(H, W, 1), by ITU-R 601-2 as Pillow's mode L."""
    weights = tf.constant([19595.0, 38470.0, 7471.0]) / 65536.0
    return tf.floor(tf.reduce_sum(picture * weights, -1, keepdims=True) + 0.5)


def _blend(base: Tensor, picture: Tensor, strength: Tensor) -> Tensor:
    """Away from `base` or towards it, by a factor from 0.1 to 1.9."""
    mixed = base + (picture - base) * (1.0 + 0.9 * strength)
    return tf.floor(tf.clip_by_value(mixed, 0.0, 255.0) + 1e-3)


def _affine(
    picture: Tensor, xx: Any, xy: Any, yx: Any, yy: Any, dx: Any = 0.0, dy: Any = 0.0
) -> Tensor:
    """Each pixel comes from the nearest one to the given map of its place, about the centre."""
    size = tf.cast(tf.shape(picture)[:2], tf.float32)
    cy, cx = (size[0] - 1.0) / 2.0, (size[1] - 1.0) / 2.0
    from_x = cx - xx * cx - xy * cy + dx
    from_y = cy - yx * cx - yy * cy + dy
    transform = [xx, xy, from_x, yx, yy, from_y, 0.0, 0.0]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[None],
        transforms=tf.stack([tf.cast(number, tf.float32) for number in transform])[None],
        output_shape=tf.shape(picture)[:2],
        interpolation="NEAREST",
        fill_mode="CONSTANT",
        fill_value=FILL,
    )
    return moved[0]
