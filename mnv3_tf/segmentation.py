"""Segmentation of pixels: the loss, and mean intersection over union.

The latter comes by way of a confusion matrix, which adds up over batches.
"""

from typing import Any

import numpy as np
import tensorflow as tf

IGNORED = 255
"""Label of pixels that are neither learnt nor measured, as Pascal VOC and Cityscapes have them."""


def segmentation_loss(logits: Any, labels: Any) -> Any:
    """Mean cross-entropy, in nats, of the batch's pixels that are not IGNORED: a float32 scalar.

    `logits` (N, H, W, C) must have the size of `labels` uint8 (N, H, W), whose values are below C
    or IGNORED. It is 0, with a gradient of zeros, where every pixel is ignored.

    Raises ValueError, or InvalidArgumentError where sizes are known late, if the sizes differ.
    """
    logits, labels = tf.convert_to_tensor(logits), tf.convert_to_tensor(labels)
    if not logits.shape[:-1].is_compatible_with(labels.shape):
        raise ValueError(
            f"Logits {tuple(logits.shape)} are not of the size of labels {tuple(labels.shape)}; "
            "resize them first."
        )
    check = tf.debugging.assert_equal(
        tf.shape(logits)[:-1], tf.shape(labels), "logits must be of the size of the labels"
    )
    with tf.control_dependencies([check] if check is not None else []):
        labels = tf.cast(labels, tf.int32)
    counted = labels != IGNORED
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.where(counted, labels, 0), tf.cast(logits, tf.float32)
    )
    pixels = tf.reduce_sum(tf.cast(counted, tf.float32))
    return tf.reduce_sum(tf.where(counted, each, 0.0)) / tf.maximum(pixels, 1.0)


def confusion(labels: Any, predicted: Any, num_classes: int, ignored: int = IGNORED) -> Any:
    """int64 (C, C): how many pixels of class `row` were taken for class `column`.

    `labels` and `predicted` are integers of one shape. Pixels whose label is `ignored` are left
    out. Raises InvalidArgumentError where another label, or a prediction, is not in [0, C).
    """
    labels, predicted = tf.cast(labels, tf.int32), tf.cast(predicted, tf.int32)
    counted = labels != ignored
    _check("Labels", tf.where(counted, labels, 0), num_classes)
    _check("Predictions", predicted, num_classes)
    # Ignored pixels go to a cell of their own, which is cut off: every shape is fixed.
    cells = num_classes**2
    cell = tf.where(counted, labels * num_classes + predicted, cells)
    counts = tf.math.bincount(
        tf.reshape(cell, [-1]), minlength=cells + 1, maxlength=cells + 1, dtype=tf.int64
    )
    return tf.reshape(counts[:cells], [num_classes, num_classes])


def summary(matrix: np.ndarray) -> dict[str, Any]:
    """Of a matrix as `confusion` makes it, each from 0 to 1.

    "per_class" lists intersection over union, None for a class that occurs neither in truth nor
    in prediction. "miou" is the mean of the others, so that a class which is predicted but absent
    counts as 0 (as tf_keras.metrics.MeanIoU has it); None where the truth has fewer than two
    classes, which there is nothing to tell from. "pixel_accuracy" is the part of pixels that is
    right, None if no pixel was counted.
    """
    matrix = np.asarray(matrix, np.float64)
    right, truths = matrix.diagonal(), np.count_nonzero(matrix.sum(1))
    union = matrix.sum(0) + matrix.sum(1) - right
    per_class = [float(r / u) if u else None for r, u in zip(right, union, strict=True)]
    known = [value for value in per_class if value is not None]
    return {
        "miou": float(np.mean(known)) if truths > 1 else None,
        "pixel_accuracy": float(right.sum() / matrix.sum()) if truths else None,
        "per_class": per_class,
    }


def _check(name: str, values: Any, num_classes: int) -> None:
    inside = tf.reduce_all((values >= 0) & (values < num_classes))
    range_ = [tf.reduce_min(values), "to", tf.reduce_max(values)]
    tf.debugging.Assert(inside, [f"{name} must be from 0 to {num_classes - 1}; they are", *range_])
