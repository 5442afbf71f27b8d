import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.models import build_classifier
from mnv3_tf.spec import resolve
from mnv3_tf.training.classification import Classification, cross_entropy, measure
from mnv3_tf.training.recipe import Recipe


def test_label_smoothing_is_the_mix_with_a_uniform_target():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 4)), np.array([0, 1, 2, 3, 3, 0])
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    wanted = -0.9 * log_p[np.arange(6), labels] - 0.1 * log_p.mean(1)
    found = cross_entropy(tf.constant(logits, tf.float32), labels, 0.1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_accuracy_counts_by_rank_and_breaks_ties_as_argmax_does():
    scores = np.array([[6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1], [1] * 6])
    batches = [(scores[:3], np.array([0, 4, 5])), (scores[3:], np.array([1]))]
    found = measure(lambda pictures: pictures, batches)
    assert (found.top1, found.top5, found.images) == (1 / 4, 3 / 4, 4)


def test_accuracy_with_fewer_than_five_classes():
    found = measure(lambda pictures: pictures, [(np.eye(3), np.array([0, 1, 0]))])
    assert (found.top1, found.top5) == (pytest.approx(2 / 3), 1.0)


@pytest.fixture(scope="module")
def network(tiny_model):
    return build_classifier(resolve(tiny_model, num_classes=4))


def batch():
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(-1, 1, (8, 32, 32, 3)), tf.float32)
    return images, tf.constant(rng.integers(0, 4, 8), tf.int32)


def test_dropout_is_a_function_of_seed_and_step(network):
    def loss(seed, step):
        task = Classification(network, Recipe(1, 8, 0.1, batch_norm="frozen", dropout=0.5), seed)
        return float(task.loss(*batch(), tf.constant(step, tf.int64), head_only=False))

    assert loss(1, 5) == loss(1, 5)
    assert len({loss(1, 5), loss(1, 6), loss(2, 5)}) == 3


@pytest.mark.parametrize(
    ("mode", "head_only", "moves"),
    [("train", False, True), ("frozen", False, False), ("train", True, False)],
)
def test_batch_norm_statistics_move_only_where_they_are_trained(network, mode, head_only, moves):
    recipe = Recipe(1, 8, 0.1, batch_norm=mode, batch_norm_momentum=0.5)
    task = Classification(network, recipe, 0)
    mean = network.get_layer("conv_bn").moving_mean
    mean.assign(tf.zeros_like(mean))
    task.loss(*batch(), tf.constant(0, tf.int64), head_only)
    assert bool(tf.reduce_any(mean != 0)) == moves


def test_batch_norm_follows_the_momentum_of_the_recipe(network):
    task = Classification(network, Recipe(1, 8, 0.1, batch_norm_momentum=0.25), 0)
    images, labels = batch()
    norm = network.get_layer("conv_bn")
    norm.moving_mean.assign(tf.zeros_like(norm.moving_mean))
    task.loss(images, labels, tf.constant(0, tf.int64), head_only=False)
    batch_mean = tf.reduce_mean(network.get_layer("conv")(images), (0, 1, 2))
    np.testing.assert_allclose(norm.moving_mean, 0.75 * batch_mean, rtol=1e-3, atol=1e-6)


def test_frozen_batch_norm_still_trains_gamma_and_beta(network):
    task = Classification(network, Recipe(1, 8, 0.1, batch_norm="frozen"), 0)
    names = [variable.name for variable in task.body]
    assert "conv_bn/gamma:0" in names
    assert "conv_bn/beta:0" in names
