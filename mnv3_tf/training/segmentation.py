"""The segmentation task: cross-entropy of pixels, and the mean intersection over union."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.networks.lraspp import SegmenterSpec
from mnv3_tf.segmentation import IGNORED, confusion, segmentation_loss, summary
from mnv3_tf.tasks import SEGMENT
from mnv3_tf.training.learner import DenseLearner, Score
from mnv3_tf.training.recipe import Recipe

Segment = Callable[[Any], Any]
"""Pictures (N, H, W, 3) in [-1, 1] to class indices (N, H, W)."""


class Segmentation(DenseLearner):
    """A segmentation network as the training loop sees it."""

    task = SEGMENT
    blank = IGNORED

    def __init__(
        self, spec: SegmenterSpec, model: tf_keras.Model, recipe: Recipe, seed: int
    ) -> None:
        super().__init__(spec, model, recipe, seed)
        self._num_classes = spec.num_classes

    def loss(self, images: Any, targets: Any, step: Any, head_only: bool) -> Any:
        logits = tf.cast(self._answer(images, head_only), tf.float32)
        return segmentation_loss(logits, targets) + self._penalty()

    def tally(self, images: Any, targets: Any) -> Any:
        """Confusion matrix (C, C), and summed loss and number of the pictures (2,), in float64."""
        logits = tf.cast(self.evaluated(images, training=False), tf.float32)
        matrix = confusion(targets, tf.argmax(logits, -1), self._num_classes)
        real = tf.reduce_any(targets != IGNORED, (1, 2))
        count = tf.reduce_sum(tf.cast(real, tf.float64))
        loss = tf.cast(segmentation_loss(logits, targets), tf.float64)
        return tf.cast(matrix, tf.float64), tf.stack([loss * count, count])

    def gather(self, strategy: tf.distribute.Strategy, tallies: Any) -> Any:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, tallies, axis=None)

    def score(self, tallies: Iterable[Any]) -> Score:
        matrix, sums = np.zeros((self._num_classes, self._num_classes)), np.zeros(2)
        for part, pair in tallies:
            matrix, sums = matrix + np.asarray(part), sums + np.asarray(pair)
        result = summary(matrix.astype(np.int64))
        metrics = {
            "val_loss": float(sums[0] / sums[1]) if sums[1] else None,
            "val_miou": result["miou"],
            "val_pixel_accuracy": result["pixel_accuracy"],
        }
        return Score(metrics, int(sums[1]))


def measure(
    segment: Segment, batches: Iterable[tuple[Any, Any]], num_classes: int
) -> dict[str, Any]:
    """What `summary` gives, and "images", the number of pictures."""
    matrix, images = np.zeros((num_classes, num_classes), np.int64), 0
    for pictures, labels in batches:
        matrix += np.asarray(confusion(labels, segment(pictures), num_classes))
        images += len(labels)
    return {**summary(matrix), "images": images}


def segmenter_of(model: tf_keras.Model) -> Segment:
    """From pictures to class indices (N, H, W)."""
    return tf.function(
        lambda images: tf.argmax(model(images, training=False), -1),
        reduce_retracing=True,
        autograph=False,
    )
