"""The layer of each activation of `mnv3_tf.networks.activations`.

Hard sigmoid and h-swish are made from ReLU6 (paper section 5.2).
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from mnv3_tf.networks.activations import ACTIVATIONS


@tf_keras.utils.register_keras_serializable("mnv3_tf")
class HardSigmoid(tf_keras.layers.Layer):
    """relu6(x + 3) / 6, from 0 to 1."""

    def call(self, inputs: Any) -> Any:
        return tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0)


@tf_keras.utils.register_keras_serializable("mnv3_tf")
class HardSwish(tf_keras.layers.Layer):
    """x * relu6(x + 3) / 6, which the TFLite converter turns into one HARD_SWISH operator."""

    def call(self, inputs: Any) -> Any:
        # In Keras' order: another rounds otherwise, and a deep network magnifies that.
        return inputs * (tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0))


@tf_keras.utils.register_keras_serializable("mnv3_tf")
class ShiftedReLU6(tf_keras.layers.Layer):
    """relu6(x + 3), from 0 to 6: one ADD with a fused RELU6 in TFLite."""

    def call(self, inputs: Any) -> Any:
        return tf.nn.relu6(inputs + 3.0)


LAYERS: Mapping[str, Callable[[str], tf_keras.layers.Layer]] = {
    "relu": lambda name: tf_keras.layers.ReLU(name=name),
    "relu6": lambda name: tf_keras.layers.ReLU(6.0, name=name),
    "hard_swish": lambda name: HardSwish(name=name),
    "swish": lambda name: tf_keras.layers.Activation("swish", name=name),
    "hard_sigmoid": lambda name: HardSigmoid(name=name),
    "sigmoid": lambda name: tf_keras.layers.Activation("sigmoid", name=name),
}
"""By the activation's name, from the layer's."""

FUSED = tuple(
    {type(make(name)) for name, make in LAYERS.items() if ACTIVATIONS[name].fused_as_it_is}
)
"""Layers that TFLite computes together with the convolution before them."""
