"""Channels made alike: which tensors are scaled, by how much, and never beyond the cap."""

import numpy as np
import pytest
import tf_keras
from random_network import noise, randomise, settle

from mnv3_tf.export.lowering import lowered_model
from mnv3_tf.models import build
from mnv3_tf.networks import NETWORKS, resolve
from mnv3_tf.quantization import equalization
from mnv3_tf.quantization.equalization import (
    GATE_CLOSED,
    LARGEST_GAIN,
    _scalable_tensors,
    channel_gains,
)

SIDE = 64


def scalable(name: str, lowering: str = "composite", width: float = 0.35) -> dict[str, tuple]:
    return dict(_scalable_tensors(resolve(name, width, SIDE, 10), lowering))


# -- which -----------------------------------------------------------------------------------


def test_the_tensors_of_small():
    """Blocks 0 to 2 have ReLU, the others h-swish; linear bottlenecks are everywhere."""
    blocks = ("expanded_conv_1", "expanded_conv_2")
    relu = {
        f"{block}_{layer}": (f"{block}_{layer}_relu",)
        for block in blocks
        for layer in ("expand", "depthwise")
    }
    expected = relu | {
        "expanded_conv_depthwise": ("expanded_conv_depthwise_relu",),
        "expanded_conv_project": ("expanded_conv_project",),
        "expanded_conv_1_project": ("expanded_conv_1_project", "expanded_conv_2_add"),
        "expanded_conv_3_project": (
            "expanded_conv_3_project",
            "expanded_conv_4_add",
            "expanded_conv_5_add",
        ),
        "expanded_conv_6_project": ("expanded_conv_6_project", "expanded_conv_7_add"),
        "expanded_conv_8_project": (
            "expanded_conv_8_project",
            "expanded_conv_9_add",
            "expanded_conv_10_add",
        ),
    }
    for lowering in ("fused", "composite"):
        assert scalable("small", lowering, 1.0) == expected
    assert scalable("small", "equalized", 1.0) == expected | {"conv": ("conv",)}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("lowering", ["fused", "composite", "equalized"])
def test_what_may_be_scaled_at_all(name, lowering):
    """Linear tensors and ReLU's; neither h-swish's (but the stem's) nor ReLU6's."""
    spec = resolve(name, 0.35, SIDE, 10)
    found = scalable(name, lowering)
    stem = {"relu": True, "relu6": False, "hard_swish": lowering == "equalized"}
    assert ("conv" in found) == stem[spec.stem.activation]
    for placed in spec.placed_blocks():
        relu = placed.block.activation == "relu"
        assert (f"{placed.name}_depthwise" in found) == relu
        assert (f"{placed.name}_expand" in found) == (relu and placed.has_expansion)
        # One that adds to another's output has that one's gains.
        assert (f"{placed.name}_project" in found) == (not placed.residual)
    layers = {layer.name for layer in build(spec, lowering).layers}
    assert {name for names in found.values() for name in names} <= layers


# -- how much --------------------------------------------------------------------------------


class Network:
    """A random network with its BatchNorm at hand, and the reach of a layer's channels."""

    def __init__(self, name: str = "small", blocks: int | None = 6) -> None:
        spec = resolve(name, 0.35, SIDE, 10)
        self.spec = spec.replace(blocks=spec.blocks[:blocks])
        self.pictures = noise(8, SIDE)
        self.trained = settle(randomise(build(self.spec)), self.pictures)

    def norm(self, layer: str, **values: np.ndarray) -> None:
        """Sets parts of gamma and beta: {channel: value}."""
        norm = self.trained.get_layer(f"{layer}_bn")
        for variable, parts in values.items():
            changed = getattr(norm, variable).numpy()
            for channel, value in parts.items():
                changed[channel] = value
            getattr(norm, variable).assign(changed)

    def lowered(self, lowering: str, gains=None) -> tf_keras.Model:
        return lowered_model(self.spec, self.trained, lowering, gains)

    def gains(self, lowering: str = "equalized") -> dict[str, np.ndarray]:
        return channel_gains(self.spec, self.lowered(lowering), lowering, self.pictures)

    def values(self, layer: str, lowering: str = "equalized", gains=None) -> np.ndarray:
        """The layer's output by channel, (values, C)."""
        model = self.lowered(lowering, gains)
        output = tf_keras.Model(model.inputs, model.get_layer(layer).output)(self.pictures)
        return output.numpy().reshape(-1, output.shape[-1])


def reach(values: np.ndarray) -> np.ndarray:
    part = equalization.PERCENTILE
    return np.maximum(np.percentile(values, part, 0), -np.percentile(values, 100 - part, 0))


@pytest.fixture(scope="module")
def unequal() -> Network:
    """A small network whose channels differ a hundredfold, wherever BatchNorm may do that."""
    network = Network()
    for layer in network.trained.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            size = np.geomspace(0.02, 2, layer.gamma.shape[0])
            layer.gamma.assign(layer.gamma * size)
            layer.beta.assign(layer.beta * size)
    return network


class EveryPixel:
    """In the place of a random generator that picks pixels."""

    def integers(self, high: int, size: int) -> np.ndarray:
        assert size == high
        return np.arange(size)


def test_channels_become_alike_within_the_cap(unequal, monkeypatch):
    monkeypatch.setattr(equalization.np.random, "default_rng", lambda seed: EveryPixel())
    gains = unequal.gains()
    tensors = dict(_scalable_tensors(unequal.spec, "equalized"))
    assert set(gains) == set(tensors)
    for convolution, gain in gains.items():
        assert gain.min() == 1.0, convolution  # the loudest stays as it is
        assert gain.max() <= LARGEST_GAIN
        before, after = [], []
        for layer in tensors[convolution]:
            before.append(unequal.values(layer))
            after.append(unequal.values(layer, gains=gains))
            if layer == "conv":
                before[-1], after[-1] = before[-1].clip(-3), after[-1].clip(-3 * gain)
        # Every tensor has a range of its own, so its channels count by its own largest.
        largest = [reach(values).max() for values in before]
        was = np.max([reach(v) / most for v, most in zip(before, largest, strict=True)], 0)
        now = np.max([reach(v) / most for v, most in zip(after, largest, strict=True)], 0)
        assert was.max() > 4 * was.min(), convolution
        capped = gain == LARGEST_GAIN
        np.testing.assert_allclose(now[~capped], 1, rtol=1e-3, err_msg=convolution)
        assert (now[capped] <= 1).all()


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
    channels = range(network.trained.get_layer(layer).output.shape[-1])
    network.norm(layer, gamma=dict.fromkeys(channels, 0.0), beta=dict.fromkeys(channels, -1.0))
    gains = network.gains()
    assert layer not in gains
    assert "expanded_conv_1_expand" in gains


def test_what_h_swish_erases_does_not_count():
    """A stem's channel that is far below -3 reaches to -3, since nothing is seen beyond."""
    network = Network()
    plain = network.gains()["conv"]
    loudest = int(np.argmin(plain))
    silent = (loudest + 1) % len(plain)
    network.norm("conv", gamma={silent: 1.0}, beta={silent: -1000.0})
    largest = reach(network.values("conv").clip(-GATE_CLOSED))[loudest]
    gain = network.gains()["conv"]
    assert gain[silent] == pytest.approx(largest / GATE_CLOSED, rel=0.1)
    np.testing.assert_allclose(np.delete(gain, silent), np.delete(plain, silent))


@pytest.mark.parametrize(
    ("convolution", "members"),
    [
        ("expanded_conv_1_project", ["expanded_conv_1_project", "expanded_conv_2_add"]),
        (
            "expanded_conv_3_project",
            ["expanded_conv_3_project", "expanded_conv_4_add", "expanded_conv_5_add"],
        ),
    ],
)
def test_a_group_that_residuals_join_shares_its_gains(unequal, convolution, members):
    gain = unequal.gains()[convolution]
    for layer in members:
        plain = unequal.values(layer)
        found = unequal.values(layer, gains={convolution: gain})
        np.testing.assert_allclose(found, plain * gain, atol=1e-4 * np.abs(plain * gain).max())


def test_the_loudest_of_a_group_decides():
    """A channel that is quiet at first, and loud once the next block has added to it."""
    network = Network(blocks=3)
    network.norm("expanded_conv_1_project", gamma={0: 1e-4}, beta={0: 0.0})
    network.norm("expanded_conv_2_project", gamma={0: 5.0}, beta={0: 0.0})
    added = reach(network.values("expanded_conv_2_add"))
    assert added[0] == added.max()
    assert network.gains()["expanded_conv_1_project"][0] == 1.0


def test_only_so_many_pictures_are_looked_at(monkeypatch):
    network = Network(blocks=2)
    monkeypatch.setattr(equalization, "PICTURES", 3)
    monkeypatch.setattr(equalization, "BATCH", 2)
    few = network.gains()
    network.pictures = np.concatenate([network.pictures[:3], np.full((5, SIDE, SIDE, 3), np.nan)])
    for convolution, gain in network.gains().items():
        np.testing.assert_array_equal(gain, few[convolution])


def test_one_picture_is_enough():
    network = Network(blocks=2)
    network.pictures = network.pictures[:1]
    assert all(np.isfinite(gain).all() for gain in network.gains().values())
