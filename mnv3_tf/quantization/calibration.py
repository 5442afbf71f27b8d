"""Ranges of the int8 tensors of a lowered network, from a few hundred pictures without labels.

A range is chosen by least squares: it trades rounding within it against clipping outside it.
Each value's error counts by how much the network's answer depends on it, the squared gradient of
the log-probability of a class drawn from the network's own prediction (a diagonal Fisher
information). So values that a later ReLU or h-swish erases cost nothing, and what a large kernel
reads costs much. Minimum and maximum ranges lose a third of MobileNetV3-Small's accuracy instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.errors import UserError
from mnv3_tf.layers import Shift
from mnv3_tf.quantization.distributions import Classes, Distribution
from mnv3_tf.quantization.scheme import (
    PICTURE_RANGE,
    Range,
    input_range,
    kernel_of,
    least_limits,
    quantized_layers,
    range_layer,
)
from mnv3_tf.tasks.task import Resolution, sides

SAMPLES = 400_000  # values kept of each tensor, over all pictures
BINS = 4096
SHRINKS = np.geomspace(0.02, 1.0, 120)  # of the extremes, tried as limits
BATCH = 16  # of 224x224; larger pictures come in smaller batches
FEW_BATCHES = 2  # are computed sooner than a graph of the network and its gradients is traced


@dataclass(frozen=True)
class Samples:
    """Values of one tensor, the squared gradient at each, and the extremes of all its values."""

    values: np.ndarray
    importance: np.ndarray
    low: float
    high: float


def calibrate(
    model: tf_keras.Model, images: np.ndarray, seed: int = 0, answer: Distribution | None = None
) -> dict[str, Range]:
    """(low, high) by layer for `scheme.fake_quantized`.

    `model` is lowered; `answer` says what it gives, a classifier's logits if None; `images` are
    (N, H, W, 3) in [-1, 1]. Raises UserError if there are no pictures, or if a tensor is not
    finite on them.
    """
    if len(images) == 0:
        raise UserError("Calibration needs pictures, but there are none; give --calibration.")
    collected = collect_samples(model, images, seed, answer)
    ranges = {name: least_squares_range(samples) for name, samples in collected.items()}
    ranges["input"] = PICTURE_RANGE  # what a picture can hold, whatever these pictures held
    for layer in model.layers:
        if isinstance(layer, Shift):
            ranges[layer.name] = (
                PICTURE_RANGE[0] - max(layer.zero),
                PICTURE_RANGE[1] - min(layer.zero),
            )
    for layer in model.layers:
        if kernel := kernel_of(layer):
            largest = float(np.abs(getattr(layer, kernel).numpy()).max())
            name = range_layer(layer).name
            ranges[name] = _no_finer_than_sums(layer, largest, ranges, ranges[name])
    return ranges


def _no_finer_than_sums(
    layer: Any, largest: float, ranges: Mapping[str, Range], chosen: Range
) -> Range:
    """A convolution's range, widened if its steps were finer than those of the sums in it.

    Nothing is gained by finer steps, and XNNPACK refuses a file over them. Only outputs that
    are all but zero are concerned, such as a dead squeeze-excite's. `largest` is the largest
    magnitude in the kernel.
    """
    low, high = input_range(layer, ranges)
    limit = max(largest, float(least_limits(layer, ranges).max()))
    finest = (high - low) / 255 * limit / 127
    widen = max(1.0, 255 * finest / (chosen[1] - chosen[0]))
    return chosen[0] * widen, chosen[1] * widen


def collect_samples(
    model: tf_keras.Model, images: np.ndarray, seed: int = 0, answer: Distribution | None = None
) -> dict[str, Samples]:
    """Values and importances of every int8 tensor on the pictures."""
    answer = answer or Classes()
    names = quantized_layers(model)
    tensors = [model.get_layer(name).output for name in names]
    tapped = tf_keras.Model(model.inputs, [tensors, model.output])
    per_picture = max(1, SAMPLES // len(images))

    def sample(batch: Any, batch_seed: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(batch)
            values, given = tapped(batch, training=False)
            loss = answer.surprise(given, batch_seed)
        gradients = tape.gradient(loss, values, unconnected_gradients="zero")
        chosen = []
        for value, gradient in zip(values, gradients, strict=True):
            value, gradient = tf.reshape(value, [-1]), tf.reshape(gradient, [-1])
            size = tf.size(value)
            count = tf.minimum(per_picture * tf.shape(batch)[0], size)
            where = tf.random.stateless_uniform([count], batch_seed, 0, size, tf.int32)
            kept, importance = tf.gather(value, where), tf.gather(gradient, where) ** 2
            chosen.append((kept, importance, tf.reduce_min(value), tf.reduce_max(value)))
        return chosen

    batches = []
    size = batch_size(images.shape[1:3], BATCH)
    if len(images) > FEW_BATCHES * size:
        signature = [tf.TensorSpec((None, *images.shape[1:])), tf.TensorSpec((2,), tf.int32)]
        sample = tf.function(sample, signature, autograph=False)
    for start in range(0, len(images), size):
        batch = tf.constant(images[start : start + size], tf.float32)
        batches.append(sample(batch, tf.constant([seed, start])))
    return {
        name: _joined(name, [batch[index] for batch in batches]) for index, name in enumerate(names)
    }


def batch_size(resolution: Resolution, of_224: int) -> int:
    """Pictures in a batch that takes no more memory than `of_224` of 224x224."""
    height, width = sides(resolution)
    return max(1, min(of_224, round(of_224 * 224 * 224 / (height * width))))


def _joined(name: str, parts: Sequence[Any]) -> Samples:
    values, importance, lows, highs = zip(*parts, strict=True)
    low, high = float(np.min(lows)), float(np.max(highs))
    if not np.isfinite([low, high]).all():
        raise UserError(
            f"The output of layer {name} is not finite on the calibration pictures; "
            "the weights are damaged, so train or download them again."
        )
    return Samples(np.concatenate(values), np.concatenate(importance), low, high)


def least_squares_range(samples: Samples) -> Range:
    """The range, zero within, whose 255 steps lose least of `samples`.

    Rounding loses a twelfth of the squared step of every value inside, but for zero, which is
    always on the grid; clipping loses what it cuts off, squared.
    """
    low, high = min(samples.low, 0.0), max(samples.high, 0.0)
    if low == high:
        return 0.0, 1.0  # a tensor that is always zero may have any range
    # A little of the plain squared error keeps the choice sound where no gradient was seen.
    importance = samples.importance / max(samples.importance.mean(), 1e-30) + 1e-6
    importance = np.where(samples.values == 0, 0, importance)
    weight, edges = np.histogram(samples.values, BINS, (low, high), weights=importance)
    value = (edges[1:] + edges[:-1]) / 2
    lows = low * SHRINKS if low < 0 else np.zeros(1)
    highs = high * SHRINKS if high > 0 else np.zeros(1)
    above, lost_above = _cut_off(weight, value, highs)
    below, lost_below = _cut_off(weight[::-1], -value[::-1], -lows)
    step = (highs - lows[:, None]) / 255
    inside = weight.sum() - above - below[:, None]
    loss = inside * step**2 / 12 + lost_above + lost_below[:, None]
    best_low, best_high = np.unravel_index(np.argmin(loss), loss.shape)
    return float(lows[best_low]), float(highs[best_high])


def _cut_off(
    weight: np.ndarray, value: np.ndarray, limits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each limit: the weight of the values above it, and the weighted square of the excess.

    `value` rises.
    """
    # Sums from each value to the last answer all limits at once.
    first = np.searchsorted(value, limits, side="right")
    powers = (weight * value**power for power in range(3))
    none, one, two = (np.append(np.cumsum(p[::-1])[::-1], 0.0)[first] for p in powers)
    return none, two - 2 * limits * one + np.square(limits) * none
