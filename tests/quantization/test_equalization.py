"""Channels made alike: which tensors are scaled, by how much, and never beyond the cap."""

import copy
from functools import cache

import numpy as np
import pytest
import tf_keras
import tiny
from random_network import noise, randomise, settle

from mnv3_tf.models import build
from mnv3_tf.networks.activations import Lowering
from mnv3_tf.networks.blocks import Stem
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.quantization import equalization
from mnv3_tf.quantization.equalization import GATE_CLOSED, LARGEST_GAIN, channel_gains
from mnv3_tf.quantization.lowering import lower_weights, lowered_model
from mnv3_tf.weights import assign_layers, collect

_FIRST, _RELU, _H_SWISH, _LAST = tiny.CLASSIFIER.blocks
SPEC = tiny.CLASSIFIER.replace(blocks=(_FIRST, _RELU, _RELU, _H_SWISH, _LAST))
"""The third and the fourth block add to the output of the second."""

MEMBERS = {
    "conv": ["conv"],
    "expanded_conv_depthwise": ["expanded_conv_depthwise_relu"],
    "expanded_conv_project": ["expanded_conv_project"],
    "expanded_conv_1_expand": ["expanded_conv_1_expand_relu"],
    "expanded_conv_1_depthwise": ["expanded_conv_1_depthwise_relu"],
    "expanded_conv_1_project": [
        "expanded_conv_1_project",
        "expanded_conv_2_add",
        "expanded_conv_3_add",
    ],
    "expanded_conv_2_expand": ["expanded_conv_2_expand_relu"],
    "expanded_conv_2_depthwise": ["expanded_conv_2_depthwise_relu"],
    "expanded_conv_4_project": ["expanded_conv_4_project"],
}
"""Every convolution whose channels may be scaled, and the layers whose outputs that scales."""

PICTURES = noise(8, SPEC.resolution)

Outputs = dict[str, np.ndarray]
"""By layer, (values, C)."""

Gains = dict[str, np.ndarray]
"""By convolution, (C,)."""


def outputs(model: tf_keras.Model, names: list[str], pictures: np.ndarray = PICTURES) -> Outputs:
    tapped = tf_keras.Model(model.inputs, {name: model.get_layer(name).output for name in names})
    return {
        name: value.numpy().reshape(-1, value.shape[-1]) for name, value in tapped(pictures).items()
    }


def reach(values: np.ndarray) -> np.ndarray:
    part = equalization.PERCENTILE
    return np.maximum(np.percentile(values, part, 0), -np.percentile(values, 100 - part, 0))


class EveryPixel:
    """In the place of a random generator that picks pixels."""

    def integers(self, high: int, size: int) -> np.ndarray:
        assert size == high
        return np.arange(size)


def gains_of_every_pixel(spec: NetworkSpec, lowered: tf_keras.Model, lowering: Lowering) -> Gains:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(equalization.np.random, "default_rng", lambda seed: EveryPixel())
        return channel_gains(spec, lowered, lowering, PICTURES)


# -- which -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "activation", "lowering", "scaled"),
    [
        ("hard_swish", "relu", "fused", ["depthwise", "project"]),
        ("hard_swish", "relu", "composite", ["depthwise", "project"]),
        ("hard_swish", "hard_swish", "equalized", ["conv", "project"]),
        ("relu", "relu", "composite", ["conv_relu", "depthwise", "project"]),
        ("relu", "hard_swish", "equalized", ["conv_relu", "project"]),
        ("relu6", "relu6", "equalized", ["project"]),
        ("relu", "relu", "residual", ["conv_relu", "depthwise"]),
        ("hard_swish", "relu", "residual", ["conv", "depthwise"]),
    ],
)
def test_what_may_be_scaled_at_all(stem, activation, lowering, scaled):
    """Linear tensors and ReLU's; neither h-swish's (but the stem's) nor ReLU6's.

    A residual of the stem has the stem's gains.
    """
    spec = SPEC.replace(blocks=SPEC.blocks[:1]).with_activation(activation)
    spec = spec.replace(stem=Stem(16, activation=stem))
    members = {
        "conv": ["conv"],
        "conv_relu": ["conv_relu"],
        "depthwise": ["expanded_conv_depthwise_relu"],
        "project": ["expanded_conv_project"],
    }
    if lowering == "residual":
        spec, lowering = spec.with_block(0, stride=1), "equalized"
        for layers in (members["conv"], members["conv_relu"]):
            layers.append("expanded_conv_add")
    model = randomise(build(spec, lowering), seed=2)
    project = model.get_layer("expanded_conv_project")  # loud, so that what adds it decides too
    project.set_weights([30 * value for value in project.get_weights()])
    found = gains_of_every_pixel(spec, model, lowering)
    of_stem = {"conv": "conv", "conv_relu": "conv"}
    assert set(found) == {of_stem.get(key, f"expanded_conv_{key}") for key in scaled}
    for key in scaled:
        seen = outputs(model, members[key], PICTURES)
        reaches = [reach(v.clip(-3) if name == "conv" else v) for name, v in seen.items()]
        part = np.max([each / each.max() for each in reaches], 0)
        gain = found[of_stem.get(key, f"expanded_conv_{key}")]
        np.testing.assert_allclose(gain, 1 / np.maximum(part, 1 / 64), rtol=1e-5, err_msg=key)


# -- how much --------------------------------------------------------------------------------


@cache
def trained_model() -> tf_keras.Model:
    return settle(randomise(build(SPEC)), PICTURES)


@cache
def equalized_model() -> tf_keras.Model:
    """In which every network of these tests is computed."""
    return lowered_model(SPEC, trained_model(), "equalized")


class Network:
    """A random network with its BatchNorm at hand."""

    def __init__(self) -> None:
        self.pictures = PICTURES
        self.weights = copy.deepcopy(collect(trained_model()))

    def norm(self, layer: str, **values: dict[int, float]) -> None:
        """Sets parts of gamma and beta: {channel: value}."""
        for variable, parts in values.items():
            for channel, value in parts.items():
                self.weights[f"{layer}_bn"][variable][channel] = value

    def lowered(self, gains=None) -> tf_keras.Model:
        folded = lower_weights(SPEC, self.weights, "equalized", gains)
        assign_layers(equalized_model(), folded)
        return equalized_model()

    def gains(self) -> Gains:
        return channel_gains(SPEC, self.lowered(), "equalized", self.pictures)

    def outputs(self, gains=None) -> Outputs:
        names = [layer for layers in MEMBERS.values() for layer in layers]
        return outputs(self.lowered(gains), names)


@pytest.fixture(scope="module")
def unequal() -> Network:
    """Its channels differ a hundredfold, wherever BatchNorm may do that."""
    network = Network()
    for variables in network.weights.values():
        if "gamma" in variables:
            size = np.geomspace(0.02, 2, len(variables["gamma"]), dtype=np.float32)
            variables["gamma"] *= size
            variables["beta"] *= size
    return network


def test_channels_become_alike_within_the_cap(unequal):
    gains = gains_of_every_pixel(SPEC, unequal.lowered(), "equalized")
    assert set(gains) == set(MEMBERS)
    before, after = unequal.outputs(), unequal.outputs(gains)
    before["conv"], after["conv"] = before["conv"].clip(-3), after["conv"].clip(-3 * gains["conv"])
    for convolution, gain in gains.items():
        assert gain.min() == 1.0, convolution  # the loudest stays as it is
        assert gain.max() <= LARGEST_GAIN
        # Every tensor has a range of its own, so its channels count by its own largest.
        largest = {layer: reach(before[layer]).max() for layer in MEMBERS[convolution]}
        was = np.max([reach(before[layer]) / most for layer, most in largest.items()], 0)
        now = np.max([reach(after[layer]) / most for layer, most in largest.items()], 0)
        assert was.max() > 4 * was.min(), convolution
        capped = gain == LARGEST_GAIN
        np.testing.assert_allclose(now[~capped], 1, rtol=1e-3, err_msg=convolution)
        assert (now[capped] <= 1).all()


def test_a_group_that_residuals_join_shares_its_gains(unequal):
    convolution = "expanded_conv_1_project"
    gain = unequal.gains()[convolution]
    plain, found = unequal.outputs(), unequal.outputs({convolution: gain})
    for layer, values in plain.items():
        scaled = values * (gain if layer in MEMBERS[convolution] else 1)
        np.testing.assert_allclose(found[layer], scaled, atol=1e-4 * np.abs(scaled).max())


def test_silent_channels_are_not_blown_up():
    network = Network()
    layer = "expanded_conv_1_expand"
    network.norm(layer, gamma={2: 1e-7, 4: 0.0}, beta={2: 1e-7, 4: -1.0})
    gain = network.gains()[layer]
    np.testing.assert_array_equal(gain[[2, 4]], LARGEST_GAIN)
    assert (np.delete(gain, [2, 4]) < LARGEST_GAIN).all()


def test_a_tensor_that_is_always_zero_is_left_alone():
    network = Network()
    layer = "expanded_conv_1_depthwise"
    channels = range(len(network.weights[f"{layer}_bn"]["gamma"]))
    network.norm(layer, gamma=dict.fromkeys(channels, 0.0), beta=dict.fromkeys(channels, -1.0))
    assert set(network.gains()) == set(MEMBERS) - {layer}


def test_what_h_swish_erases_does_not_count():
    """A stem's channel that is far below -3 reaches to -3, since nothing is seen beyond."""
    network = Network()
    plain = network.gains()["conv"]
    loudest = int(np.argmin(plain))
    silent = (loudest + 1) % len(plain)
    network.norm("conv", gamma={silent: 1.0}, beta={silent: -1000.0})
    largest = reach(network.outputs()["conv"].clip(-GATE_CLOSED))[loudest]
    gain = network.gains()["conv"]
    assert gain[silent] == pytest.approx(largest / GATE_CLOSED, rel=0.1)
    np.testing.assert_allclose(np.delete(gain, silent), np.delete(plain, silent))


def test_the_loudest_of_a_group_decides():
    """A channel that is quiet at first, and loud once the next block has added to it."""
    network = Network()
    network.norm("expanded_conv_1_project", gamma={0: 1e-4}, beta={0: 0.0})
    network.norm("expanded_conv_2_project", gamma={0: 5.0}, beta={0: 0.0})
    added = reach(network.outputs()["expanded_conv_2_add"])
    assert added[0] == added.max()
    assert network.gains()["expanded_conv_1_project"][0] == 1.0


def test_only_so_many_pictures_are_looked_at(monkeypatch):
    network = Network()
    monkeypatch.setattr(equalization, "PICTURES", 3)
    monkeypatch.setattr(equalization, "BATCH", 2)
    few = network.gains()
    network.pictures = np.concatenate([PICTURES[:3], np.full_like(PICTURES[:5], np.nan)])
    for convolution, gain in network.gains().items():
        np.testing.assert_array_equal(gain, few[convolution])
    network.pictures = PICTURES[:2]
    assert any(not np.array_equal(gain, few[name]) for name, gain in network.gains().items())


def test_one_picture_is_enough_and_none_asks_for_nothing():
    network = Network()
    network.pictures = PICTURES[:1]
    assert all(np.isfinite(gain).all() for gain in network.gains().values())
    network.pictures = PICTURES[:0]
    assert network.gains() == {}
