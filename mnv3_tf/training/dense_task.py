"""Detection and segmentation: a backbone that was trained before, and a head that was not."""

from collections.abc import Iterable
from typing import Any

import tf_keras

from mnv3_tf.layers.factory import last_layer
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.operators import Operator
from mnv3_tf.tasks.specs import Spec
from mnv3_tf.training.recipe import Recipe
from mnv3_tf.training.task import Task

HEAD_STAGES = ("extras", "box_head", "class_head", "head")
"""Stages of `operators` that no classifier has."""


class DenseTask(Task):
    """The model in two parts: `batch_norm` "frozen" freezes the body's statistics, not the head's.

    The head's BatchNorm is new, so its statistics always follow the batches.
    """

    def __init__(self, spec: Spec, model: tf_keras.Model, recipe: Recipe, seed: int) -> None:
        listed = operators(spec)
        head = [op for op in listed if op.stage in HEAD_STAGES]
        super().__init__(model, recipe, seed, _layers(model, head))
        names = {op.name for op in head}
        read = dict.fromkeys(name for op in head for name in op.reads if name not in names)
        by_name = {op.name: op for op in listed}
        taps = [model.get_layer(last_layer(by_name[name])).output for name in read]
        self._body_model = tf_keras.Model(model.input, taps)
        self._head_model = tf_keras.Model(taps, model.output)

    def _answer(self, images: Any, head_only: bool) -> Any:
        """What the model gives in training."""
        train_statistics = self.recipe.batch_norm == "train" and not head_only
        return self._head_model(self._body_model(images, training=train_statistics), training=True)


def _layers(model: tf_keras.Model, head: Iterable[Operator]) -> list[str]:
    """Names of those layers of the operators that have variables."""
    present = {layer.name for layer in model.layers}
    names = [name for op in head for name in (op.name, f"{op.name}_bn")]
    return [name for name in names if name in present]
