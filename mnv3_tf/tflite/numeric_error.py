"""How far two answers, or two tensors, are apart."""

import numpy as np

SQNR_LIMIT_DB = 150.0  # where two float tensors are the same
_LEAST_REMAINDER = 1e-6


def decibels(signal: float, noise: float) -> float:
    """Signal to noise of two sums of squares, rounded to a tenth, within +-SQNR_LIMIT_DB."""
    if noise <= 0:
        return SQNR_LIMIT_DB
    if signal <= 0:
        return -SQNR_LIMIT_DB
    value = 10 * np.log10(signal / noise)
    return round(float(np.clip(value, -SQNR_LIMIT_DB, SQNR_LIMIT_DB)), 1)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, in float64."""
    shifted = np.asarray(logits, np.float64)
    powers = np.exp(shifted - shifted.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def divergences(expected: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence of each row, in nats: (N, classes) twice -> (N,).

    `given` may be rounded: int8 stores a probability under 1/512 as zero, which alone would make
    the divergence infinite. What its row leaves of 1 (at least a millionth) is spread evenly over
    its zeros, and the row scaled to a sum of 1. So a file that answers in int8 probabilities
    shows some divergence for its coarse output alone; logits have no such floor.
    """
    expected, given = np.asarray(expected, np.float64), np.asarray(given, np.float64)
    zeros = given <= 0
    rest = np.maximum(1 - np.where(zeros, 0, given).sum(-1, keepdims=True), _LEAST_REMAINDER)
    filled = np.where(zeros, rest / np.maximum(zeros.sum(-1, keepdims=True), 1), given)
    filled /= filled.sum(-1, keepdims=True)
    ratio = np.where(expected > 0, expected, 1) / np.where(expected > 0, filled, 1)
    return (expected * np.log(ratio)).sum(-1)
