"""What a network answers, as a distribution: how far two answers are apart, and a draw from one.

Quantisation needs both, whatever the task: the first to be taught by the float network, the second
to know which values its answer depends on (`calibration`).
"""

from typing import Any, Protocol

import tensorflow as tf

from mnv3_tf.training import losses


class Distribution(Protocol):
    """`expected`, `given` and `answer` are what a model of the task gives for N pictures."""

    def divergence(self, expected: Any, given: Any) -> Any:
        """Kullback-Leibler, in nats: (N,)."""

    def surprise(self, answer: Any, seed: Any) -> Any:
        """Negative log-likelihood of a draw from the answer itself, in nats: (N,).

        `seed` is int32 (2,). The squared gradient of this is a sample of the Fisher information.
        """


class Classes:
    """Logits (N, classes), or (N, H, W, classes) of pixels, whose mean counts."""

    def divergence(self, expected: Any, given: Any) -> Any:
        return _mean_of_places(losses.divergence(expected, given))

    def surprise(self, answer: Any, seed: Any) -> Any:
        classes = answer.shape[-1]
        drawn = tf.random.stateless_categorical(tf.reshape(answer, (-1, classes)), 1, seed)
        # From logits that are not finite it draws a class too many; calibration says why.
        drawn = tf.reshape(tf.minimum(drawn, classes - 1), tf.shape(answer)[:-1])
        return _mean_of_places(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=drawn, logits=answer)
        )


class Boxes:
    """Box codes (N, A, 4) and class logits (N, A, 1 + classes).

    Codes count as normal variables of unit variance, as far as there may be an object: by the
    probability that the expected scores give it.
    """

    def __init__(self, scores: str) -> None:
        """`scores` is that of `DetectorSpec`."""
        self._independent = scores == "sigmoid"

    def divergence(self, expected: Any, given: Any) -> Any:
        (codes, logits), (student_codes, student_logits) = expected, given
        if self._independent:
            yes = tf.sigmoid(logits)
            apart = tf.nn.sigmoid_cross_entropy_with_logits(labels=yes, logits=student_logits)
            apart -= tf.nn.sigmoid_cross_entropy_with_logits(labels=yes, logits=logits)
            apart = tf.reduce_sum(apart, (1, 2))
        else:
            apart = tf.reduce_sum(losses.divergence(logits, student_logits), 1)
        squares = tf.reduce_sum(tf.square(codes - student_codes), -1)
        return apart + 0.5 * tf.reduce_sum(self._objects(logits) * squares, 1)

    def surprise(self, answer: Any, seed: Any) -> Any:
        codes, logits = answer
        if self._independent:
            draws = tf.random.stateless_uniform(tf.shape(logits), seed)
            yes = tf.cast(draws < tf.sigmoid(logits), logits.dtype)
            apart = tf.nn.sigmoid_cross_entropy_with_logits(labels=yes, logits=logits)
            apart = tf.reduce_sum(apart, (1, 2))
        else:
            apart = Classes().surprise(logits, seed) * float(logits.shape[1])
        noise = tf.random.stateless_normal(tf.shape(codes), seed + 1)
        squares = tf.reduce_sum(tf.square(codes - tf.stop_gradient(codes) + noise), -1)
        return apart + 0.5 * tf.reduce_sum(self._objects(logits) * squares, 1)

    def _objects(self, logits: Any) -> Any:
        """The probability of an object at each anchor, (N, A)."""
        scores = tf.sigmoid(logits) if self._independent else tf.nn.softmax(logits)
        return tf.stop_gradient(tf.reduce_max(scores[..., 1:], -1))


def _mean_of_places(values: Any) -> Any:
    """(N,) of (N, ...)."""
    return tf.reduce_mean(values, tuple(range(1, len(values.shape))))
