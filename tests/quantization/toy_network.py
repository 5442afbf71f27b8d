"""A network of every kind of tuned variable, so small that a training step takes a millisecond."""

from collections.abc import Iterator

import numpy as np
import tf_keras
from random_network import noise, randomise

from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.distillation import Distiller, Rates
from mnv3_tf.quantization.scheme import fake_quantized

SIDE = 8
RATES = Rates(bias=1e-3, kernel=5e-3, range=5e-3)


def toy_network(seed: int = 0) -> tf_keras.Model:
    """As a lowered network is: "input" first, ReLU after its convolution, logits at the end."""
    layers = tf_keras.layers
    x = tf_keras.Input((SIDE, SIDE, 3))
    y = layers.Activation("linear", name="input")(x)
    y = layers.Conv2D(6, 3, padding="same", name="a")(y)
    y = layers.ReLU(name="a_relu")(y)
    z = layers.DepthwiseConv2D(3, padding="same", name="b")(y)
    y = layers.Add(name="b_add")([y, z])
    y = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(y)
    y = layers.Conv2D(4, 1, name="logits")(y)
    return randomise(tf_keras.Model(x, layers.Flatten(name="flatten")(y)), seed)


def toy_distiller(steps: int = 20, rates: Rates = RATES, seed: int = 0) -> Distiller:
    """Of a network that was calibrated on `toy_pictures()`."""
    lowered = toy_network(seed)
    ranges = calibrate(lowered, toy_pictures())
    return Distiller(fake_quantized(lowered, ranges), lowered, ranges, rates, steps)


def toy_pictures(seed: int = 1) -> np.ndarray:
    return noise(16, SIDE, seed)


def toy_batches(start: int) -> Iterator[np.ndarray]:
    """From step `start` on, without an end; a step's batch is always the same."""
    while True:
        yield toy_pictures(100 + start)
        start += 1


def values(distiller: Distiller) -> dict[str, np.ndarray]:
    """All that int8 will be made of, by variable: biases, kernels, ranges."""
    return {
        variable.name: variable.numpy()
        for variable in distiller.quantized.variables
        if "optimizer_step" not in variable.name
    }
