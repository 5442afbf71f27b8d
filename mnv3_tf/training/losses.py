"""Losses of a picture, in nats; all take scores before the softmax, (N, classes)."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def soft_targets(labels: Any, classes: int, smoothing: float = 0.0) -> Any:
    """Labels (N,) to rows (N, classes), `smoothing` of each spread evenly over all classes.

    The row of a label below 0, that of a picture which cannot be decoded, is zero.
    """
    targets = tf.one_hot(labels, classes) * (1.0 - smoothing) + smoothing / classes
    return tf.where(tf.expand_dims(labels >= 0, 1), targets, 0.0)


def balanced_weights(counts: Sequence[int]) -> list[float]:
    """Of classes with so many pictures, by which all weigh the same and the mean picture 1.

    A class without pictures, which none is of, has 0.
    """
    present = sum(1 for count in counts if count)
    return [sum(counts) / (present * count) if count else 0.0 for count in counts]


def cross_entropy(scores: Any, targets: Any) -> Any:
    """(N,), against targets (N, classes)."""
    # TensorFlow's operator takes rows that sum to one for granted: its gradient of a row of zeros
    # is not zero.
    return -tf.reduce_sum(targets * tf.nn.log_softmax(scores), -1)


def divergence(expected: Any, found: Any) -> Any:
    """(N,): Kullback-Leibler, of the probabilities that `found` gives from those of `expected`."""
    expected, found = tf.nn.log_softmax(expected), tf.nn.log_softmax(found)
    return tf.reduce_sum(tf.exp(expected) * (expected - found), -1)


def distillation(expected: Any, found: Any, temperature: float) -> Any:
    """(N,): the divergence of answers softened by `temperature`, times its square.

    The square keeps the gradient's size whatever the temperature (Hinton et al. 2015, section 2).
    """
    return temperature**2 * divergence(expected / temperature, found / temperature)
