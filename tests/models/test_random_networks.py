"""Networks without training whose every layer is at work."""

import dataclasses

import numpy as np
import pytest
import tiny

from mnv3_tf.networks.named import resolve


@pytest.fixture(scope="module")
def settled():
    """The module, which imports TensorFlow."""
    from mnv3_tf.models import random_networks

    return random_networks


@pytest.fixture(scope="module")
def pictures(settled):
    return settled.noise_pictures(32, count=8)


@pytest.fixture(scope="module")
def network(settled, pictures):
    return settled.settled_classifier(tiny.CLASSIFIER, pictures)


def test_noise_is_pixels(settled):
    pictures = settled.noise_pictures(32, count=3, seed=5)
    assert (pictures.shape, pictures.dtype) == ((3, 32, 32, 3), np.float32)
    assert -1 <= pictures.min() < -0.99
    assert 0.99 < pictures.max() <= 1
    assert np.array_equal(pictures, settled.noise_pictures(32, count=3, seed=5))
    assert not np.array_equal(pictures, settled.noise_pictures(32, count=3))
    assert len(settled.noise_pictures(4)) == 32


def test_every_layer_of_a_settled_network_is_at_work(network, pictures):
    import tf_keras

    norms = [n for n in network.layers if isinstance(n, tf_keras.layers.BatchNormalization)]
    values = tf_keras.Model(network.inputs, [norm.output for norm in norms])(pictures)
    assert len(norms) == 1 + 2 + 3 * 3 + 1  # the first block expands nothing
    for norm, value in zip(norms, values, strict=True):
        spread = np.std(value.numpy(), (0, 1, 2))
        # A channel that varied little before keeps a little of BatchNorm's epsilon.
        assert 0.5 < np.median(spread) < 1.1, norm.name


def test_settled_networks_are_repeatable(settled, network, pictures):
    same, other = (settled.settled_classifier(tiny.CLASSIFIER, pictures, seed) for seed in (0, 1))
    assert np.array_equal(network(pictures), same(pictures))
    assert not np.array_equal(network(pictures), other(pictures))


def test_the_bound_differs_in_h_swish_alone(settled):
    spec = resolve("large", 0.75, 128, 10)
    bound = settled.with_relu6_for_hard_swish(spec)
    assert bound.name == f"{spec.name}_relu6"
    assert bound.stem.activation == bound.last_activation == "relu6"
    activations = [block.activation for block in bound.blocks]
    assert activations == ["relu"] * 6 + ["relu6"] * 9
    back = [
        dataclasses.replace(block, activation=before.activation)
        for block, before in zip(bound.blocks, spec.blocks, strict=True)
    ]
    assert spec == bound.replace(
        name=spec.name,
        stem=spec.stem,
        blocks=tuple(back),
        last_activation=spec.last_activation,
    )
