"""Channels that share an int8 range made alike, so that each uses all of its 255 steps.

A tensor has one range, but its channels may differ a hundredfold: in the stem of the released
Small most have a few steps and no more. A channel may be scaled by any positive factor where what
reads it can undo the factor exactly: through ReLU and the linear bottlenecks (cross-layer
equalisation, Nagel et al. 2019, section 4.1) for nothing, and through the stem's h-swish for
a second gate (`quantization.lowering`, "equalized"). On MobileNetV3-Small the stem halves the
divergence from the float network, and the others take off another fifth once biases are tuned.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.layers import STEM
from mnv3_tf.layers.factory import last_layer
from mnv3_tf.networks.activations import Lowering, activation
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import Add
from mnv3_tf.networks.spec import NetworkSpec

PICTURES = 100
BATCH = 20
PIXELS = 40_000  # looked at in each batch of a tensor
PERCENTILE = 99.99  # of a channel's magnitudes is its reach; single outliers may be clipped
LARGEST_GAIN = 64.0  # a channel that is all but silent is not blown up any further
GATE_CLOSED = 3.0  # below -3 h-swish is 0, whatever it reads

SCALABLE = ("stem", "conv", "start", "expand", "depthwise", "project")
"""Roles of the convolutions looked at: those of the stem and of the blocks, gates aside."""


def channel_gains(
    spec: NetworkSpec, lowered: tf_keras.Model, lowering: Lowering, images: np.ndarray
) -> dict[str, np.ndarray]:
    """Factors (C,), at least 1, for `lowering.lowered_model`, by convolution.

    `lowered` is the model without gains; `images` are (N, H, W, 3) in [-1, 1], of which the first
    hundred are looked at.
    """
    tensors = dict(_scalable_tensors(spec, lowering))
    names = sorted({name for read in tensors.values() for name in read})
    if not names or len(images) == 0:
        return {}
    tapped = tf_keras.Model(lowered.inputs, [lowered.get_layer(name).output for name in names])
    rng = np.random.default_rng(0)
    pixels: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start in range(0, min(len(images), PICTURES), BATCH):
        batch = images[start : min(start + BATCH, PICTURES)]
        outputs = tf.nest.flatten(tapped(batch, training=False))
        for name, output in zip(names, outputs, strict=True):
            rows = output.numpy().reshape(-1, output.shape[-1])
            pixels[name].append(rows[rng.integers(len(rows), size=min(len(rows), PIXELS))])
    reach = {}
    for name in names:
        values = np.concatenate(pixels[name])
        low, high = np.percentile(values, (100 - PERCENTILE, PERCENTILE), 0)
        if name == STEM:
            low = np.maximum(low, -GATE_CLOSED)
        reach[name] = np.maximum(high, -low)
    gains = {}
    for convolution, read in tensors.items():
        # Each by its own largest: what a composite h-swish gives is six times what it reads.
        alive = [reach[name] / reach[name].max() for name in read if 0 < reach[name].max() < np.inf]
        if alive:
            gains[convolution] = 1 / np.maximum(np.max(alive, 0), 1 / LARGEST_GAIN)
    return gains


def _scalable_tensors(
    spec: NetworkSpec, lowering: Lowering
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each convolution whose channels may be scaled, and the layers whose outputs that scales."""
    listed = operators(spec)
    adds = [op for op in listed if isinstance(op, Add)]
    # Of what is added to something, the gains are that one's; so they are of the sum.
    added = {op.reads[1] for op in adds}
    carried: dict[str, list[str]] = {op.name: [] for op in listed}
    for total in adds:
        carried[total.name] = carried[total.reads[0]]
        carried[total.name].append(total.name)
    for op in listed:
        if op.role not in SCALABLE or op.name in added:
            continue
        if activation(op.activation).homogeneous:
            yield op.name, (last_layer(op, lowered=True), *carried[op.name])
        elif op.name == STEM and op.activation == "hard_swish" and lowering == "equalized":
            yield op.name, (op.name, *carried[op.name])
