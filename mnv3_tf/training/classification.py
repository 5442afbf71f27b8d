"""The classification task: forward pass, loss and accuracy."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.data.mixing import mix
from mnv3_tf.tasks import CLASSIFY
from mnv3_tf.tasks.answers import Answers
from mnv3_tf.training import losses
from mnv3_tf.training.learner import Learner, Score
from mnv3_tf.training.recipe import Recipe

Predict = Callable[[Any], Any]
"""Pictures (N, H, W, 3), RGB in [-1, 1], to scores (N, classes)."""


class Classification(Learner):
    """A classifier as the training loop sees it.

    Dropout, left-out branches and mixing happen here instead of in the model, so that they are
    drawn by seed and step.
    """

    task = CLASSIFY
    blank = -1

    def __init__(
        self, model: tf_keras.Model, recipe: Recipe, seed: int, teacher: Predict | None = None
    ) -> None:
        super().__init__(model, recipe, seed, ["logits"])
        self._teacher = teacher
        self._logits = model.get_layer("logits")
        self._flatten = model.get_layer("flatten")
        self._features = tf_keras.Model(model.input, self._logits.input)
        self._drop_paths: list[DropPathAdd] = []
        if recipe.drop_path:
            self._features, self._drop_paths = with_drop_path(self._features, recipe.drop_path)

    def loss(self, images: Any, labels: Any, step: Any, head_only: bool) -> Any:
        """A label below 0 is that of a picture which could not be decoded; it costs nothing."""
        recipe = self.recipe
        seeds = self._seeds(step)
        classes = self._logits.filters
        targets = losses.soft_targets(labels, classes, recipe.label_smoothing)
        if self.class_weights:
            # A column more, to be mixed as the pictures are. Weights are of pictures, not of
            # targets: smoothing would give a rare class a part of every picture at its own weight.
            weights = tf.gather(self.class_weights, tf.maximum(labels, 0))
            targets = tf.concat([targets, weights[:, None]], 1)
        images, targets = mix(images, targets, next(seeds), recipe.mixup, recipe.cutmix)
        targets, weights = targets[:, :classes], targets[:, classes] if self.class_weights else 1.0
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
        loss = tf.reduce_mean(weights * losses.cross_entropy(logits, targets))
        if self._teacher is not None and recipe.distillation:
            answers = tf.cast(self._teacher(images), tf.float32)
            taught = losses.distillation(answers, logits, recipe.temperature)
            taught = tf.reduce_mean(weights * taught)
            loss += recipe.distillation * (taught - loss)
        return loss + self._penalty()

    def tally(self, images: Any, labels: Any) -> Any:
        return tally(self.evaluated(images, training=False), labels)

    def gather(self, strategy: tf.distribute.Strategy, tallies: Any) -> Any:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, tallies, axis=None)

    def score(self, tallies: Iterable[Any]) -> Score:
        result = accuracy(tallies)
        metrics = {"val_loss": result.loss, "val_top1": result.top1, "val_top5": result.top5}
        return Score(metrics, result.images)

    def unreadable(self, labels: Any) -> Any:
        return tf.reduce_sum(tf.cast(labels < 0, tf.int64))


@dataclass(frozen=True)
class Accuracy:
    """Parts (0 to 1) of `images` pictures; `loss` is the mean cross-entropy of the scores.

    Of no pictures they are None.
    """

    top1: float | None
    top5: float | None
    loss: float | None
    images: int


def measure(
    predict: Predict, batches: Iterable[tuple[Any, Any]], answers: Answers | None = None
) -> Accuracy:
    """Accuracy of `predict` over batches of (images, labels); scores are taken as logits.

    `answers` collects them too.
    """

    def tallies() -> Iterator[Any]:
        for pictures, labels in batches:
            scores = predict(pictures)
            if answers:
                answers.add(pictures, labels, scores)
            yield tally(scores, labels)

    return accuracy(tallies())


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
    *sums, images = sum((np.asarray(t) for t in tallies), np.zeros(4)).tolist()
    top1, top5, loss = (value / images if images else None for value in sums)
    return Accuracy(top1, top5, loss, int(images))


# -- stochastic depth ------------------------------------------------------------------------


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
