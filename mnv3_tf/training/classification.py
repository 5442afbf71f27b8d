"""The classification task: forward pass, loss and accuracy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.training.recipe import Recipe

Predict = Callable[[Any], Any]
"""Pictures (N, H, W, 3), RGB in [-1, 1], to scores (N, classes)."""


class Classification:
    """A classifier as the training loop sees it.

    Dropout happens here instead of in the model: its mask is a function of seed and step alone,
    so that a resumed run draws what an undisturbed one would have drawn.
    """

    def __init__(self, model: tf_keras.Model, recipe: Recipe, seed: int) -> None:
        self.model, self.recipe, self.seed = model, recipe, seed
        self._logits = model.get_layer("logits")
        self._flatten = model.get_layer("flatten")
        self._features = tf_keras.Model(model.input, self._logits.input)
        for layer in model.layers:
            if isinstance(layer, tf_keras.layers.BatchNormalization):
                layer.momentum = recipe.batch_norm_momentum
        self.head = self._logits.trainable_variables
        in_head = {id(variable) for variable in self.head}
        self.body = [v for v in model.trainable_variables if id(v) not in in_head]

    def loss(self, images: Any, labels: Any, step: Any, head_only: bool) -> Any:
        """Mean loss of a training batch, a scalar; `step` seeds the dropout."""
        # With the body frozen, its statistics are frozen too: nothing would adapt to new ones.
        train_statistics = self.recipe.batch_norm == "train" and not head_only
        features = self._features(images, training=train_statistics)
        if self.recipe.dropout:
            mask_seed = tf.stack([tf.constant(self.seed, tf.int64), step])
            features = tf.nn.experimental.stateless_dropout(
                features, self.recipe.dropout, seed=mask_seed
            )
        logits = self._flatten(self._logits(features))
        return tf.reduce_mean(cross_entropy(logits, labels, self.recipe.label_smoothing))


def cross_entropy(logits: Any, labels: Any, smoothing: float = 0.0) -> Any:
    """Per-picture loss (N,), with `smoothing` of the target spread evenly over all classes."""
    classes = logits.shape[-1]
    target = tf.one_hot(labels, classes) * (1.0 - smoothing) + smoothing / classes
    return tf.nn.softmax_cross_entropy_with_logits(target, logits)


@dataclass(frozen=True)
class Accuracy:
    """Parts (0 to 1) of `images` pictures; `loss` is the mean cross-entropy of the scores."""

    top1: float
    top5: float
    loss: float
    images: int


def measure(predict: Predict, batches: Iterable[tuple[Any, Any]]) -> Accuracy:
    """Accuracy of `predict` over batches of (images, labels); scores are taken as logits.

    Among equal scores the first class counts, as it does for whoever takes the argmax.
    """
    hits1 = hits5 = images = 0
    loss = 0.0
    for pictures, labels in batches:
        scores = np.asarray(predict(pictures), np.float32)
        truth = np.asarray(labels)
        ranked = np.argsort(-scores, axis=1, kind="stable")[:, :5] == truth[:, None]
        hits1 += int(ranked[:, 0].sum())
        hits5 += int(ranked.any(axis=1).sum())
        loss += float(tf.reduce_sum(cross_entropy(tf.constant(scores), truth)))
        images += len(truth)
    count = max(1, images)
    return Accuracy(hits1 / count, hits5 / count, loss / count, images)
