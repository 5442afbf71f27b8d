"""Decibels and divergences."""

import numpy as np
import pytest

from mnv3_tf.tflite.numeric_error import SQNR_LIMIT_DB, decibels, divergences, softmax


@pytest.mark.parametrize(
    ("signal", "noise", "expected"),
    [(100, 1, 20.0), (1, 1, 0.0), (1, 0, SQNR_LIMIT_DB), (0, 1, -SQNR_LIMIT_DB), (0, 0, 150.0)],
)
def test_decibels(signal, noise, expected):
    assert decibels(signal, noise) == expected


def test_softmax():
    np.testing.assert_allclose(softmax(np.log([[1.0, 3.0], [2.0, 2.0]])), [[0.25, 0.75], [0.5] * 2])
    assert softmax(np.array([1e4, 0.0])).tolist() == [1.0, 0.0]


def test_divergence_in_nats():
    expected = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    found = divergences(expected, np.array([[0.25, 0.5, 0.25], [0.2, 0.3, 0.5]]))
    np.testing.assert_allclose(found, [0.5 * np.log(2), 0], atol=1e-12)


def test_a_probability_rounded_to_zero_is_not_infinitely_wrong():
    expected = np.array([[0.998, 0.001, 0.001]])
    np.testing.assert_allclose(divergences(expected, np.array([[0.998, 0.0, 0.0]])), 0, atol=1e-9)
    # Nothing is left over for the zeros, but for a millionth.
    full = divergences(expected, np.array([[1.0, 0.0, 0.0]]))
    assert 0.001 < full[0] < 0.02
