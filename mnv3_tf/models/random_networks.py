"""Networks without training whose every layer is at work, for timing.

With fresh BatchNorm statistics activations fade from layer to layer, until XNNPACK refuses the
scales of their int8 tensors. Settled ones are as lively as a trained network's.
"""

import dataclasses
from typing import Any

import numpy as np
import tf_keras

from mnv3_tf.models import build
from mnv3_tf.networks.spec import NetworkSpec

IMAGES = 32


def settled_classifier(spec: NetworkSpec, images: np.ndarray, seed: int = 0) -> tf_keras.Model:
    """Random weights, and the BatchNorm statistics of `images`, (N, H, W, 3) in [-1, 1]."""
    tf_keras.utils.set_random_seed(seed)
    model = build(spec)
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = 0.0  # keep nothing of the statistics before
    model(images, training=True)
    return model


def noise_pictures(resolution: int, count: int = IMAGES, seed: int = 0) -> np.ndarray:
    """For want of pictures: uniform noise, float32 (count, resolution, resolution, 3)."""
    shape = (count, resolution, resolution, 3)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def with_relu6_for_hard_swish(spec: NetworkSpec) -> NetworkSpec:
    """ReLU6 wherever there is h-swish, and everything else as it is."""

    def changed(activation: str) -> Any:
        return "relu6" if activation == "hard_swish" else activation

    return spec.replace(
        name=f"{spec.name}_relu6",
        stem=dataclasses.replace(spec.stem, activation=changed(spec.stem.activation)),
        blocks=tuple(block.replace(activation=changed(block.activation)) for block in spec.blocks),
        last_activation=changed(spec.last_activation),
    )
