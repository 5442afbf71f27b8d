"""The loss of a segmentation network."""

from typing import Any

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
