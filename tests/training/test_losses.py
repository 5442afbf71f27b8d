import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.training import losses


def test_label_smoothing_is_the_mix_with_a_uniform_target():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(6, 4)), np.array([0, 1, 2, 3, 3, 0])
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    wanted = -0.9 * log_p[np.arange(6), labels] - 0.1 * log_p.mean(1)
    targets = losses.soft_targets(labels, 4, 0.1)
    found = losses.cross_entropy(tf.constant(scores, tf.float32), targets)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_balanced_classes_weigh_the_same():
    """As scikit-learn's "balanced": pictures / (classes * pictures of the class)."""
    assert losses.balanced_weights([240, 6]) == pytest.approx([246 / 480, 246 / 12])
    weights, counts = losses.balanced_weights([30, 0, 10, 50]), np.array([30, 0, 10, 50])
    assert (weights * counts).tolist() == pytest.approx([30, 0, 30, 30])


def test_a_picture_that_cannot_be_decoded_costs_nothing():
    scores = tf.Variable(np.random.default_rng(0).normal(size=(2, 4)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = losses.cross_entropy(scores, losses.soft_targets(np.array([-1, 2]), 4, 0.1))
    assert loss[0] == 0
    assert loss[1] > 0
    gradient = tape.gradient(loss, scores).numpy()
    assert not gradient[0].any()
    assert gradient[1].all()


def test_divergence_is_kullback_and_leiblers():
    expected, found = np.array([[0.5, 0.25, 0.25]]), np.array([[0.2, 0.6, 0.2]])
    wanted = (expected * np.log(expected / found)).sum()
    answer = losses.divergence(np.log(expected), np.log(found) + 3)
    assert float(answer[0]) == pytest.approx(wanted)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_softens_both_and_keeps_the_gradient(temperature):
    rng = np.random.default_rng(1)
    expected, found = rng.normal(size=(2, 1, 5))
    soft = [np.exp(s / temperature) / np.exp(s / temperature).sum() for s in (expected, found)]
    wanted = temperature**2 * (soft[0] * np.log(soft[0] / soft[1])).sum()
    variable = tf.Variable(found)
    with tf.GradientTape() as tape:
        loss = losses.distillation(tf.constant(expected), variable, temperature)
    assert float(loss[0]) == pytest.approx(wanted)
    np.testing.assert_allclose(
        tape.gradient(loss, variable), temperature * (soft[1] - soft[0]), rtol=1e-6
    )
