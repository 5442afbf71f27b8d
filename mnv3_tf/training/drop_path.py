"""Stochastic depth: residual branches left out at random while training."""

from typing import Any

import tensorflow as tf
import tf_keras


class DropPathAdd(tf_keras.layers.Add):
    """shortcut + branch, the branch left out for a part `rate` of the pictures of a batch.

    What stays is scaled by 1 / (1 - rate), so that the expectation is the plain sum (Huang et al.
    2016, as timm scales it). `seed` is set before each training step: the draw is a function of
    seed and step, as dropout is.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed: Any = None

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        shortcut, branch = inputs
        if training:
            shape = (tf.shape(branch)[0], 1, 1, 1)
            kept = tf.random.stateless_uniform(shape, self.seed) >= self.rate
            branch *= tf.cast(kept, branch.dtype) / (1.0 - self.rate)
        return shortcut + branch


def with_drop_path(model: tf_keras.Model, rate: float) -> tuple[tf_keras.Model, list[DropPathAdd]]:
    """`model` with its own layers, but for the residual adds; `rate` is that of the last of them.

    The rates of the others fall linearly towards the first.
    """
    residuals = [layer.name for layer in model.layers if isinstance(layer, tf_keras.layers.Add)]
    adds = {
        name: DropPathAdd(rate * (number + 1) / len(residuals), name=name)
        for number, name in enumerate(residuals)
    }
    dropped = tf_keras.models.clone_model(
        model, clone_function=lambda layer: adds.get(layer.name, layer)
    )
    return dropped, list(adds.values())
