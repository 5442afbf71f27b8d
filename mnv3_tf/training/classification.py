"""The classification task: forward pass, loss and accuracy."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.data.mixing import mix
from mnv3_tf.training import losses
from mnv3_tf.training.drop_path import DropPathAdd, with_drop_path
from mnv3_tf.training.optimizers import decayed_variables
from mnv3_tf.training.recipe import Recipe

Predict = Callable[[Any], Any]
"""Pictures (N, H, W, 3), RGB in [-1, 1], to scores (N, classes)."""


class Classification:
    """A classifier as the training loop sees it.

    `model` is trained. `evaluated` is what is measured and kept: the same, or where the recipe
    averages weights, a model that holds their averages (of BatchNorm's statistics too).

    Whatever is drawn at random (dropout, left-out branches, mixing) is a function of seed and
    step alone, so that a resumed run draws what an undisturbed one would have drawn. That is why
    it happens here instead of in the model.
    """

    def __init__(
        self, model: tf_keras.Model, recipe: Recipe, seed: int, teacher: Predict | None = None
    ) -> None:
        self.model, self.recipe, self.seed, self._teacher = model, recipe, seed, teacher
        self.evaluated = tf_keras.models.clone_model(model) if recipe.ema_decay else model
        if recipe.ema_decay:
            self.evaluated.set_weights(model.get_weights())
        self._logits = model.get_layer("logits")
        self._flatten = model.get_layer("flatten")
        self.head = self._logits.trainable_variables
        in_head = {id(variable) for variable in self.head}
        self.body = [v for v in model.trainable_variables if id(v) not in in_head]
        self._penalised = decayed_variables(recipe, [*self.body, *self.head])
        for layer in model.layers:
            if isinstance(layer, tf_keras.layers.BatchNormalization):
                layer.momentum = recipe.batch_norm_momentum
        self._features = tf_keras.Model(model.input, self._logits.input)
        self._drop_paths: list[DropPathAdd] = []
        if recipe.drop_path:
            self._features, self._drop_paths = with_drop_path(self._features, recipe.drop_path)

    def loss(self, images: Any, labels: Any, step: Any, head_only: bool) -> Any:
        """Mean loss of a training batch, a scalar; `step` seeds what is drawn.

        A label below 0 is that of a picture which could not be decoded; it costs nothing.
        """
        recipe = self.recipe
        seeds = self._seeds(step)
        targets = losses.soft_targets(labels, self._logits.filters, recipe.label_smoothing)
        images, targets = mix(images, targets, next(seeds), recipe.mixup, recipe.cutmix)
        # With the body frozen, its statistics are frozen too: nothing would adapt to new ones.
        train_statistics = recipe.batch_norm == "train" and not head_only
        for layer in self._drop_paths:
            layer.seed = next(seeds)
        features = self._features(images, training=train_statistics)
        if recipe.dropout:
            features = tf.nn.experimental.stateless_dropout(
                features, recipe.dropout, seed=next(seeds)
            )
        logits = tf.cast(self._flatten(self._logits(features)), tf.float32)
        loss = tf.reduce_mean(losses.cross_entropy(logits, targets))
        if self._teacher is not None and recipe.distillation:
            answers = tf.cast(self._teacher(images), tf.float32)
            taught = tf.reduce_mean(losses.distillation(answers, logits, recipe.temperature))
            loss += recipe.distillation * (taught - loss)
        if recipe.l2:
            loss += recipe.l2 * tf.add_n([tf.nn.l2_loss(kernel) for kernel in self._penalised])
        return loss

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

    def _seeds(self, step: Any) -> Iterator[Any]:
        """One seed, int64 (2,), after another: each of a step and a replica, all different."""
        context = tf.distribute.get_replica_context()
        seed = tf.stack([tf.constant(self.seed, tf.int64), step])
        seed = tf.random.experimental.stateless_fold_in(seed, context.replica_id_in_sync_group)
        for use in itertools.count():
            yield tf.random.experimental.stateless_fold_in(seed, use)


def ema_decay(highest: float, step: Any) -> Any:
    """The part of a moving average that stays after step `step`, counted from 0.

    It begins lower, at (1 + step) / (10 + step), so that the random weights of the start are soon
    forgotten (as tf.train.ExponentialMovingAverage with `num_updates`).
    """
    done = tf.cast(step, tf.float32)
    return tf.minimum(highest, (1.0 + done) / (10.0 + done))


@dataclass(frozen=True)
class Accuracy:
    """Parts (0 to 1) of `images` pictures; `loss` is the mean cross-entropy of the scores."""

    top1: float
    top5: float
    loss: float
    images: int


def measure(predict: Predict, batches: Iterable[tuple[Any, Any]]) -> Accuracy:
    """Accuracy of `predict` over batches of (images, labels); scores are taken as logits."""
    return accuracy(tally(predict(pictures), labels) for pictures, labels in batches)


def tally(scores: Any, labels: Any) -> Any:
    """Of a batch: hits among one and among five, summed loss, pictures; float64 (4,).

    Among equal scores the first class counts, as it does for whoever takes the argmax. Labels
    below 0 are left out.
    """
    scores, labels = tf.cast(scores, tf.float32), tf.cast(labels, tf.int32)
    of_label = tf.gather(scores, tf.maximum(labels, 0), axis=1, batch_dims=1)[:, None]
    earlier = tf.range(tf.shape(scores)[1])[None] < labels[:, None]
    before = (scores > of_label) | ((scores == of_label) & earlier)
    rank = tf.reduce_sum(tf.cast(before, tf.int32), 1)
    counted = labels >= 0
    hit = counted & ~tf.math.is_nan(of_label[:, 0])
    loss = losses.cross_entropy(scores, losses.soft_targets(labels, scores.shape[1]))
    columns = (hit & (rank < 1), hit & (rank < 5), loss, counted)
    return tf.stack([tf.reduce_sum(tf.cast(column, tf.float64)) for column in columns])


def accuracy(tallies: Iterable[Any]) -> Accuracy:
    """Of all batches together."""
    hits1, hits5, loss, images = sum((np.asarray(t) for t in tallies), np.zeros(4)).tolist()
    count = max(1.0, images)
    return Accuracy(hits1 / count, hits5 / count, loss / count, int(images))
