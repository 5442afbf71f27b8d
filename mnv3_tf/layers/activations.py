"""Hard sigmoid and h-swish from ReLU6 (paper section 5.2)."""

from typing import Any

import tensorflow as tf
import tf_keras


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
