"""Weights of other libraries, and our own, into a network and out of it."""

import tf_keras

from mnv3_tf.weights.importer import Weights, read
from mnv3_tf.weights.network import assign_layers, collect

__all__ = ["Weights", "assign", "assign_layers", "collect", "read"]


def assign(model: tf_keras.Model, weights: Weights) -> None:
    """Sets the layers of `model` that `weights` has: all of a classifier, part of a detector.

    Raises ValueError where shapes differ: `model` must be built from `weights.spec`.
    """
    present = {layer.name for layer in model.layers}
    assign_layers(model, {k: v for k, v in weights.layers.items() if k in present})
