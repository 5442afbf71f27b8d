"""A network that is trained, whatever its task: its parts, and its moving average."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras

from mnv3_tf.layers.factory import last_layer
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import Operator
from mnv3_tf.tasks import Spec, Task
from mnv3_tf.training.optimizers import decayed_variables
from mnv3_tf.training.recipe import Recipe

HEAD_STAGES = ("extras", "box_head", "class_head", "head")
"""Stages of `operators` that no classifier has."""


@dataclass(frozen=True)
class Score:
    """Of `images` pictures: what metrics.jsonl gets of them, by name."""

    metrics: Mapping[str, float | None]
    images: int


class Learner(ABC):
    """A network as the training loop sees it.

    `model` is trained. `evaluated` is what is measured and kept: the same, or where the recipe
    averages weights, a model that holds their averages (of BatchNorm's statistics too).
    `head` are the variables of the layers in `head_layers`, `body` all others.

    Whatever is drawn at random is a function of seed and step alone, so that a resumed run draws
    what an undisturbed one would have drawn.
    """

    task: ClassVar[Task[Any]]

    class_weights: Sequence[float] | None = None
    """Of a classifier, by which the losses of pictures are multiplied; None for all alike."""

    blank: ClassVar[Any]
    """Of each part of a target, the value that says that there is no picture."""

    def __init__(
        self, model: tf_keras.Model, recipe: Recipe, seed: int, head_layers: Iterable[str]
    ) -> None:
        self.model, self.recipe, self.seed = model, recipe, seed
        self.evaluated = tf_keras.models.clone_model(model) if recipe.ema_decay else model
        if recipe.ema_decay:
            self.evaluated.set_weights(model.get_weights())
        self.head = [
            variable
            for name in head_layers
            for variable in model.get_layer(name).trainable_variables
        ]
        in_head = {id(variable) for variable in self.head}
        self.body = [v for v in model.trainable_variables if id(v) not in in_head]
        self._penalised = decayed_variables(recipe, [*self.body, *self.head])
        for layer in model.layers:
            if isinstance(layer, tf_keras.layers.BatchNormalization):
                layer.momentum = recipe.batch_norm_momentum

    @abstractmethod
    def loss(self, images: Any, targets: Any, step: Any, head_only: bool) -> Any:
        """Mean loss of a training batch, a scalar; `step` seeds what is drawn.

        With `head_only` the body is not trained, and its BatchNorm statistics stay.
        """

    @abstractmethod
    def tally(self, images: Any, targets: Any) -> Any:
        """What `score` needs of a batch: tensors, of one replica."""

    @abstractmethod
    def gather(self, strategy: tf.distribute.Strategy, tallies: Any) -> Any:
        """The tallies of all replicas as one."""

    @abstractmethod
    def score(self, tallies: Iterable[Any]) -> Score:
        """Of all batches together."""

    def unreadable(self, targets: Any) -> Any:
        """How many pictures of a batch could not be decoded, int64."""
        return tf.zeros((), tf.int64)

    def average_weights(self, step: Any) -> None:
        """After training step `step`: the moving average of trained weights; on no replica."""
        self._average(self.evaluated.trainable_variables, self.model.trainable_variables, step)

    def average_statistics(self, step: Any) -> None:
        """Likewise of BatchNorm's statistics, of which each replica has its own."""
        self._average(
            self.evaluated.non_trainable_variables, self.model.non_trainable_variables, step
        )

    def _average(self, averages: list[Any], weights: list[Any], step: Any) -> None:
        if self.evaluated is self.model:
            return
        decay = ema_decay(self.recipe.ema_decay, step)
        for average, weight in zip(averages, weights, strict=True):
            average.assign_sub((1.0 - decay) * (average - weight))

    def _penalty(self) -> Any:
        """The recipe's l2, a scalar."""
        if not self.recipe.l2:
            return 0.0
        return self.recipe.l2 * tf.add_n([tf.nn.l2_loss(kernel) for kernel in self._penalised])

    def _seeds(self, step: Any) -> Iterator[Any]:
        """One seed, int64 (2,), after another: each of a step and a replica, all different."""
        context = tf.distribute.get_replica_context()
        seed = tf.stack([tf.constant(self.seed, tf.int64), step])
        seed = tf.random.experimental.stateless_fold_in(seed, context.replica_id_in_sync_group)
        for use in itertools.count():
            yield tf.random.experimental.stateless_fold_in(seed, use)


class DenseLearner(Learner):
    """Detection and segmentation: a backbone that was trained before, and a head that was not.

    The model is in two parts: `batch_norm` "frozen" freezes the body's statistics, not the head's.
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


def ema_decay(highest: float, step: Any) -> Any:
    """The part of a moving average that stays after step `step`, counted from 0.

    It begins lower, at (1 + step) / (10 + step), so that the random weights of the start are soon
    forgotten (as tf.train.ExponentialMovingAverage with `num_updates`).
    """
    done = tf.cast(step, tf.float32)
    return tf.minimum(highest, (1.0 + done) / (10.0 + done))
