"""Three layers with every kind of tuned variable, whose training step takes a millisecond."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import tf_keras
from random_network import noise, randomise

from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.distillation import Distiller, Rates
from mnv3_tf.quantization.scheme import Range, fake_quantized

SIDE = 8
RATES = Rates(bias=1e-3, kernel=5e-3, range=5e-3)


@cache
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


@cache
def toy_ranges(seed: int = 0) -> dict[str, Range]:
    """Of the network, calibrated on `toy_pictures()`."""
    return calibrate(toy_network(seed), toy_pictures())


def toy_quantized(seed: int = 0) -> tf_keras.Model:
    return fake_quantized(toy_network(seed), toy_ranges(seed))


def toy_pictures(seed: int = 1, count: int = 16) -> np.ndarray:
    return noise(count, SIDE, seed)


def toy_batches(start: int) -> Iterator[np.ndarray]:
    """From step `start` on, without an end; a step's batch is always the same."""
    while True:
        yield toy_pictures(100 + start)
        start += 1


TOY_FEATURES = ("b_add", "pool")


class ToyDistiller(Distiller):
    """Of the network, for many tests: tracing a step takes a thousand times as long as the step."""

    def __init__(self, steps: int = 20, rates: Rates = RATES, seed: int = 0) -> None:
        lowered, ranges = toy_network(seed), toy_ranges(seed)
        super().__init__(toy_quantized(seed), lowered, ranges, rates, steps, TOY_FEATURES)
        self._first_state = [(variable, variable.numpy()) for variable in self._state()]

    def _state(self) -> list:
        own = [*self.quantized.variables, *self.first, *self.shifts, self.step_number]
        return [*own, *self.optimizer.variables]

    def afresh(self) -> "ToyDistiller":
        """Itself, as it was made."""
        for variable, value in self._first_state:
            variable.assign(value)
        return self

    def values(self) -> dict[str, np.ndarray]:
        """All that int8 will be made of, by variable: biases, kernels, ranges."""
        return {
            variable.name: variable.numpy()
            for variable in self.quantized.variables
            if "optimizer_step" not in variable.name
        }
