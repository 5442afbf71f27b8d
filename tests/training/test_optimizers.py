import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mnv3_tf.models import build_classifier
from mnv3_tf.spec import resolve
from mnv3_tf.training.optimizers import is_kernel, make_optimizer, phases
from mnv3_tf.training.recipe import Recipe


@pytest.fixture(scope="module")
def network(tiny_model) -> tf_keras.Model:
    return build_classifier(resolve(tiny_model, num_classes=4))


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
