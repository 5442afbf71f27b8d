"""Divergences and draws of each task's answers, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.quantization.distributions import Boxes, Classes
from mnv3_tf.tasks import task_of
from mnv3_tf.tasks.specs import resolve_spec


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def arrays(rng, *shape):
    return rng.normal(0, 2, shape).astype(np.float32)


def test_pixels_count_as_their_mean(rng):
    a, b = arrays(rng, 2, 3, 4, 5), arrays(rng, 2, 3, 4, 5)
    p, q = softmax(a), softmax(b)
    expected = (p * (np.log(p) - np.log(q))).sum(-1).mean((1, 2))
    np.testing.assert_allclose(Classes().divergence(a, b), expected, rtol=1e-4)


@pytest.mark.parametrize("scores", ["sigmoid", "softmax"])
def test_divergence_of_boxes(scores, rng):
    (codes, logits), (codes2, logits2) = (
        (arrays(rng, 2, 6, 4), arrays(rng, 2, 6, 3)) for _ in range(2)
    )
    if scores == "sigmoid":
        p, q = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-logits2))
        apart = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    else:
        p, q = softmax(logits), softmax(logits2)
        apart = p * np.log(p / q)
    objects = p[..., 1:].max(-1)
    expected = apart.sum((1, 2)) + 0.5 * (objects * ((codes - codes2) ** 2).sum(-1)).sum(1)
    found = Boxes(scores).divergence([codes, logits], [codes2, logits2])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(
        Boxes(scores).divergence([codes, logits], [codes, logits]), 0, atol=1e-5
    )


def squared_gradients(surprise, *answer):
    """Means over many draws, of an answer (1, ...)."""
    many = [tf.repeat(tf.constant(part), 20_000, 0) for part in answer]
    with tf.GradientTape() as tape:
        tape.watch(many)
        given = many if len(many) > 1 else many[0]
        found = surprise(given, tf.constant([3, 7]))
    assert found.shape == (20_000,)
    return [np.square(part).mean(0) for part in tape.gradient(found, many)]


@pytest.mark.parametrize("scores", ["sigmoid", "softmax"])
def test_draws_have_the_fisher_information_of_the_answer(scores, rng):
    """Mean squared gradients of many draws: p (1 - p) of a logit, the object's chance of a code."""
    codes, logits = arrays(rng, 1, 3, 4), arrays(rng, 1, 3, 2)
    of_codes, of_logits = squared_gradients(Boxes(scores).surprise, codes, logits)
    p = (1 / (1 + np.exp(-logits)) if scores == "sigmoid" else softmax(logits))[0]
    objects = p[..., 1:].max(-1, keepdims=True)
    np.testing.assert_allclose(of_logits, p * (1 - p), atol=0.01)
    np.testing.assert_allclose(of_codes, np.broadcast_to(objects**2, (3, 4)), atol=0.04)


def test_each_of_many_pixels_counts_by_its_part(rng):
    logits = arrays(rng, 1, 2, 3, 4)
    (found,) = squared_gradients(Classes().surprise, logits)
    p = softmax(logits)[0]
    np.testing.assert_allclose(found * 6**2, p * (1 - p), atol=0.01)


def distribution_of(spec):
    return task_of(spec).distribution(spec)


def test_each_task_has_its_distribution():
    assert isinstance(distribution_of(resolve_spec("classify", "small")), Classes)
    assert isinstance(distribution_of(resolve_spec("segment", "small")), Classes)
    detector = resolve_spec("detect", "small")
    assert isinstance(distribution_of(detector), Boxes)
    for scores in ("sigmoid", "softmax"):
        found = distribution_of(detector.replace(scores=scores))
        answers = [[np.ones((1, 2, k), np.float32) * by for k in (4, 3)] for by in (1, 2)]
        np.testing.assert_array_equal(
            found.divergence(*answers), Boxes(scores).divergence(*answers)
        )
