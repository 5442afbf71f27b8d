import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny

from mnv3_tf.models import build
from mnv3_tf.training.optimizers import decayed_variables, is_kernel, make_optimizer, phases
from mnv3_tf.training.recipe import Recipe, load


@pytest.fixture(scope="module")
def network() -> tf_keras.Model:
    return build(tiny.SHALLOW)


@pytest.mark.parametrize("name", ["adamw", "rmsprop", "sgd"])
def test_weight_decay_shrinks_kernels_and_nothing_else(network, name):
    recipe = Recipe(1, 1, 0.1, optimizer=name, weight_decay=0.5)
    variables = network.trainable_variables
    for variable in variables:
        variable.assign(tf.ones_like(variable))
    optimizer = make_optimizer(recipe, variables)
    optimizer.learning_rate = 0.1
    # Without gradients, decay is all that happens: 1 - 0.1 * 0.5.
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in variables])
    for variable in variables:
        kind = variable.name.split("/")[-1]
        shrunk = kind in ("kernel:0", "depthwise_kernel:0")
        assert shrunk or kind in ("gamma:0", "beta:0", "bias:0")
        np.testing.assert_allclose(variable, 0.95 if shrunk else 1.0, rtol=1e-6)


def test_every_layer_with_weights_has_its_kernel_decayed(network):
    kernels = [v.name for v in network.trainable_variables if is_kernel(v)]
    with_kernel = [
        layer.name
        for layer in network.layers
        if isinstance(layer, tf_keras.layers.Conv2D | tf_keras.layers.DepthwiseConv2D)
    ]
    assert len(kernels) == len(with_kernel)


def test_the_head_is_trained_first_and_then_everything():
    head, body = [tf.Variable(1.0, name="logits/kernel")], [tf.Variable(1.0, name="conv/kernel")]
    recipe = Recipe(5, 1, 1e-2, freeze_epochs=2, head_learning_rate=1e-1, warmup_epochs=1)
    first, second = phases(recipe, body, head, steps_per_epoch=10, total_steps=50)
    assert (first.name, first.start, first.end) == ("head", 0, 20)
    assert [v.name for v in first.variables] == ["logits/kernel:0"]
    assert first.learning_rate(19) == 1e-1
    assert (second.start, second.end) == (20, 50)
    assert len(second.variables) == 2
    assert second.learning_rate(20) == pytest.approx(1e-3)
    assert second.learning_rate(30) == pytest.approx(1e-2)
    assert second.learning_rate(40) == pytest.approx(0.5e-2)


def test_a_run_may_end_before_the_head_is_done():
    recipe = Recipe(5, 1, 1e-2, freeze_epochs=2)
    variable = [tf.Variable(1.0)]
    (only,) = phases(recipe, [], variable, steps_per_epoch=10, total_steps=7)
    assert (only.name, only.end) == ("head", 7)


def test_rmsprop_is_tensorflows():
    """Epsilon under the root, the rate inside the momentum, a mean square that starts at one."""
    recipe = Recipe(1, 1, 0.1, optimizer="rmsprop", momentum=0.9, rho=0.8, epsilon=0.01)
    variable = tf.Variable([1.0, -2.0], name="a/kernel")
    optimizer = make_optimizer(recipe, [variable])
    weight, square, momentum = np.array([1.0, -2.0]), np.ones(2), np.zeros(2)
    for step in range(4):
        gradient, rate = np.array([0.5, -3.0]) * (step + 1), 0.1 / (step + 1)
        optimizer.learning_rate = rate
        optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
        square = 0.8 * square + 0.2 * gradient**2
        momentum = 0.9 * momentum + rate * gradient / np.sqrt(square + 0.01)
        weight = weight - momentum
        np.testing.assert_allclose(variable, weight, rtol=1e-5)


@pytest.mark.parametrize("spared", [True, False])
def test_a_recipe_may_spare_depthwise_kernels(network, spared):
    recipe = Recipe(1, 1, 0.1, weight_decay=0.5, decay_depthwise=not spared)
    decayed = {v.name for v in decayed_variables(recipe, network.trainable_variables)}
    assert any("depthwise_kernel" in name for name in decayed) != spared
    assert "logits/kernel:0" in decayed


def test_rates_scale_with_the_batch(network):
    recipe = Recipe(4, 512, 0.1, rate_batch_size=4096, schedule="constant")
    (phase,) = phases(recipe, [], network.trainable_variables, 10, 40)
    assert phase.learning_rate(0) == pytest.approx(0.1 / 8)


def test_the_papers_schedule():
    """Times 0.99 every 3 epochs, after a linear rise over 5 (of 10 steps each)."""
    recipe = load("imagenet_paper")
    (phase,) = phases(recipe, [], [tf.Variable(1.0)], 10, recipe.epochs * 10)
    wanted = {0: 0.1 / 50, 24: 0.05, 49: 0.1, 50: 0.1 * 0.99, 59: 0.1 * 0.99, 60: 0.1 * 0.99**2}
    wanted[5999] = 0.1 * 0.99**199
    found = {step: phase.learning_rate(step) for step in wanted}
    assert found == pytest.approx(wanted)
