"""Biases moved to where the quantised network answers as the float one does.

Rounding and clipping shift the mean of every channel a little, and the shifts add up over the
layers. The biases absorb them: they are tuned for a few seconds, without labels, to bring the
quantised network's answers on the calibration pictures back to the float network's. On
MobileNetV3-Small this halves the divergence between the two, or nearly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.quantization.scheme import Range, kernel_of, range_layer

STEPS = 120
BATCH = 16
RATE = 1e-4  # of a layer's range, per step
HELD_OUT = 0.2  # of the pictures judge whether it helped
FEWEST_PICTURES = 4 * BATCH


@dataclass(frozen=True)
class Divergence:
    """From the float network (Kullback-Leibler, nats), on pictures held out from the tuning."""

    before: float
    after: float


def correct_biases(
    quantized: tf_keras.Model,
    lowered: tf_keras.Model,
    ranges: Mapping[str, Range],
    images: np.ndarray,
    seed: int = 0,
) -> Divergence | None:
    """Tunes the biases of a fake-quantised model in place.

    Args:
      quantized: what `scheme.fake_quantized` made of `lowered` and `ranges`.
      lowered: the float model, which gives logits.
      ranges: of the int8 tensors, by layer.
      images: calibration pictures, (N, H, W, 3) in [-1, 1].

    Returns:
      What it brought. Biases that did not help are put back, and then `after` is `before`.
      None if there are too few pictures to tell: nothing is changed.
    """
    if len(images) < FEWEST_PICTURES:
        return None
    rng = np.random.default_rng(seed)
    images = images[rng.permutation(len(images))]
    judges = int(HELD_OUT * len(images))
    judged, tuned = images[:judges], images[judges:]

    @tf.function
    def divergence(batch: Any) -> Any:
        expected = tf.nn.log_softmax(lowered(batch, training=False))
        found = tf.nn.log_softmax(quantized(batch, training=False))
        return tf.reduce_sum(tf.exp(expected) * (expected - found), -1)

    layers = [wrapper.layer for wrapper in quantized.layers if _has_bias(wrapper)]
    biases = [layer.bias for layer in layers]
    first = [bias.numpy() for bias in biases]
    # Shifts are in units of the layer's int8 range, so that one rate suits layers of any scale.
    kept = [ranges[range_layer(lowered.get_layer(layer.name)).name] for layer in layers]
    spreads = [high - low for low, high in kept]
    shifts = [tf.Variable(tf.zeros_like(bias)) for bias in biases]
    schedule = tf_keras.optimizers.schedules.CosineDecay(RATE, STEPS)
    optimizer = tf_keras.optimizers.Adam(schedule, epsilon=1e-12)
    optimizer.build(shifts)

    @tf.function
    def step(batch: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(divergence(batch))
        gradients = tape.gradient(loss, biases)
        scaled = [gradient * spread for gradient, spread in zip(gradients, spreads, strict=True)]
        optimizer.apply_gradients(zip(scaled, shifts, strict=True))
        for bias, start, spread, shift in zip(biases, first, spreads, shifts, strict=True):
            bias.assign(start + spread * shift)

    before = _mean(divergence, judged)
    for _ in range(STEPS):
        step(tf.constant(tuned[rng.integers(len(tuned), size=BATCH)]))
    after = _mean(divergence, judged)
    if after < before:
        return Divergence(before, after)
    for bias, start in zip(biases, first, strict=True):
        bias.assign(start)
    return Divergence(before, before)


def _has_bias(wrapper: Any) -> bool:
    return hasattr(wrapper, "layer") and kernel_of(wrapper.layer) is not None


def _mean(divergence: Any, images: np.ndarray) -> float:
    parts = [divergence(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return float(np.mean(np.concatenate(parts)))
