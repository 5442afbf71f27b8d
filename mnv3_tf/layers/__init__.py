"""The parts of MobileNetV3 as real Keras layers: nothing inside a model is a bare operator."""

from mnv3_tf.layers.activations import HardSigmoid, HardSwish, ShiftedReLU6
from mnv3_tf.layers.factory import STEM, LayerFactory
from mnv3_tf.layers.resize import Resize
from mnv3_tf.layers.shift import Shift

__all__ = [
    "STEM",
    "HardSigmoid",
    "HardSwish",
    "LayerFactory",
    "Resize",
    "Shift",
    "ShiftedReLU6",
]
