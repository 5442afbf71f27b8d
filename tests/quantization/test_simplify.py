"""What training switched off is found and taken out, and the logits stay what they were."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tf_keras
import tiny
from PIL import Image
from random_network import noise, randomise, relative_error, settle

from mnv3_tf.errors import UserError
from mnv3_tf.models import build
from mnv3_tf.networks.named import resolve
from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.lowering import lower_weights, lowered_model
from mnv3_tf.quantization.scheme import fake_quantized
from mnv3_tf.quantization.simplify import REST, simplify
from mnv3_tf.weights import assign_layers, collect

NOTHING = {"squeeze_excite_removed": [], "constant_gates": {}, "constant_hidden": {}}
BLOCK = "expanded_conv_2"
BOTH_GATES = pytest.mark.parametrize("gate", ["hard_sigmoid", "sigmoid"])


@cache
def lively(gate: str):
    spec, pictures = tiny.CLASSIFIER.replace(gate=gate), noise(4, 32)
    model = settle(randomise(build(spec)), pictures)
    return spec, pictures, model, collect(model)


built = cache(build)
"""For weights that are given to it."""


class Network:
    """A random network whose weights a test may change, and pictures to try it on."""

    def __init__(self, gate: str) -> None:
        self.spec, self.pictures, self.model, weights = lively(gate)
        self.weights = deepcopy(weights)
        self.block = BLOCK
        self.first = self.weights[f"{self.block}_squeeze_excite_conv"]
        self.second = self.weights[f"{self.block}_squeeze_excite_conv_1"]

    def answers(self, spec, weights) -> np.ndarray:
        model = self.model if spec is self.spec else built(spec)
        assign_layers(model, weights)
        return model(self.pictures).numpy()

    def check(self, **notes):
        """Simplified as expected and with the same logits; what came of it."""
        before = self.answers(self.spec, self.weights)
        found = simplify(self.spec, self.weights)
        assert found.notes == NOTHING | notes
        assert np.ptp(before) > 0.1
        assert relative_error(before, self.answers(found.spec, found.weights)) <= 1e-5
        return found


@pytest.fixture
def network(gate) -> Network:
    return Network(gate)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@BOTH_GATES
def test_nothing_is_found_where_all_is_alive(network):
    found = network.check()
    assert found.spec is network.spec
    assert found.weights.keys() == network.weights.keys()
    for layer, variables in network.weights.items():
        for variable, value in variables.items():
            np.testing.assert_array_equal(found.weights[layer][variable], value)


@BOTH_GATES
@pytest.mark.parametrize("size", [0.0, 1e-9])
def test_a_dead_branch_goes(network, size):
    kernel = network.second["kernel"]
    kernel[:] = size * rng().normal(size=kernel.shape)
    network.second["bias"][:] = rng().uniform(-4, 4, kernel.shape[-1])
    found = network.check(squeeze_excite_removed=[network.block])
    assert found.spec.hash != network.spec.hash
    gone = set(network.weights) - set(found.weights)
    assert gone == {f"{network.block}_squeeze_excite_conv{end}" for end in ("", "_1")}
    assert set(found.weights) == set(collect(built(found.spec)))


@BOTH_GATES
def test_a_branch_without_active_units_goes(network):
    """As the released Small's: the gates' kernel may be alive where nothing reaches it."""
    network.first["kernel"][:] *= 1e-8
    network.first["bias"][:] = -np.abs(network.first["bias"]) - 0.01
    network.check(squeeze_excite_removed=[network.block])


@BOTH_GATES
@pytest.mark.parametrize("size", [0.0, 1e-9])
def test_constant_gates_go_into_the_projection(network, size):
    channels = network.second["bias"].size
    dead = rng().permutation(channels)[: channels - 3]
    network.second["kernel"][..., dead] *= size
    network.second["bias"][dead] = rng().uniform(-4, 4, dead.size)
    found = network.check(constant_gates={network.block: dead.size})
    assert found.spec is network.spec
    gates = found.weights[f"{network.block}_squeeze_excite_conv_1"]
    alive = np.setdiff1d(np.arange(channels), dead)
    assert not gates["kernel"][..., dead].any()
    np.testing.assert_array_equal(gates["bias"][dead], REST[network.spec.gate][0])
    np.testing.assert_array_equal(gates["kernel"][..., alive], network.second["kernel"][..., alive])
    np.testing.assert_array_equal(gates["bias"][alive], network.second["bias"][alive])


@pytest.mark.parametrize("gate", ["hard_sigmoid"])
@pytest.mark.parametrize("bias", [-50.0, 50.0])
def test_a_gate_that_no_input_can_move_is_constant(network, bias):
    """Its kernel is alive, but the hard sigmoid is flat as far as it reaches."""
    network.second["kernel"][..., 2] *= 1e-3
    network.second["bias"][2] = bias
    network.check(constant_gates={network.block: 1})


@pytest.mark.parametrize("gate", ["hard_sigmoid"])
def test_a_gate_that_a_large_input_could_move_is_alive(network):
    """It is closed on every picture here, and yet nothing proves it."""
    network.second["kernel"][..., 2] *= 0.1
    network.second["bias"][2] = -6.0
    network.check()


@pytest.mark.parametrize("gate", ["hard_sigmoid"])
def test_channels_may_be_large(network):
    """A faint kernel that reads a channel which BatchNorm makes a billion times larger."""
    network.weights[f"{network.block}_depthwise_bn"]["gamma"] *= 1e9
    network.weights[f"{network.block}_depthwise_bn"]["beta"] *= 1e9
    network.first["kernel"][:] *= 1e-9
    network.weights[f"{network.block}_project"]["kernel"][:] *= 1e-9
    network.check()


@BOTH_GATES
def test_constant_hidden_units_go_into_the_bias(network):
    network.first["kernel"][..., :2] *= 1e-9
    network.first["bias"][:2] = 0.7, -0.7
    found = network.check(constant_hidden={network.block: 2})
    assert found.spec is network.spec
    first = found.weights[f"{network.block}_squeeze_excite_conv"]
    second = found.weights[f"{network.block}_squeeze_excite_conv_1"]
    assert not first["kernel"][..., :2].any()
    assert (first["bias"][:2] < 0).all()
    assert not second["kernel"][..., :2, :].any()
    moved = second["bias"] - network.second["bias"]
    np.testing.assert_allclose(moved, 0.7 * network.second["kernel"][0, 0, 0], atol=1e-6)


@BOTH_GATES
def test_a_unit_that_needs_no_negative_bias_to_be_dead(network):
    """No weight of it is positive, and what it reads is hardly ever negative."""
    network.first["kernel"][..., 0] = -1.0
    network.first["bias"][0] = -0.375 * network.first["kernel"][..., 0].size
    network.check(constant_hidden={network.block: 1})


@BOTH_GATES
def test_twice_is_once(network):
    network.first["kernel"][..., :2] = 0
    network.second["kernel"][..., 3:5] = 0
    once = simplify(network.spec, network.weights)
    twice = simplify(once.spec, once.weights)
    assert twice.notes == once.notes
    for layer, variables in once.weights.items():
        for variable, value in variables.items():
            np.testing.assert_array_equal(twice.weights[layer][variable], value)


@pytest.mark.parametrize("gate", ["hard_sigmoid"])
def test_the_given_weights_are_left_as_they_were(network):
    network.first["kernel"][..., :2] = 0
    network.second["kernel"][..., 3:5] = 0
    before = deepcopy(network.weights)
    simplify(network.spec, network.weights)
    for layer, variables in before.items():
        for variable, value in variables.items():
            np.testing.assert_array_equal(network.weights[layer][variable], value)


@pytest.mark.parametrize("gate", ["hard_sigmoid"])
def test_a_folded_gate_is_wide_open_in_int8(network):
    network.second["kernel"][..., ::2] = 0
    found = simplify(network.spec, network.weights)
    assign_layers(network.model, found.weights)
    lowered = lowered_model(network.spec, network.model, "composite")
    quantized = fake_quantized(lowered, calibrate(lowered, network.pictures))
    layer = quantized.get_layer(f"quant_{network.block}_squeeze_excite_conv_1_relu6")
    gates = tf_keras.Model(quantized.inputs, layer.output)(network.pictures).numpy()
    np.testing.assert_allclose(gates[..., ::2], 6.0, rtol=1e-6)
    assert np.ptp(gates[..., 1::2]) > 0.1


DAMAGED = [
    ("squeeze_excite_conv", "kernel"),
    ("squeeze_excite_conv", "bias"),
    ("squeeze_excite_conv_1", "kernel"),
    ("squeeze_excite_conv_1", "bias"),
    ("project", "kernel"),
    ("depthwise_bn", "gamma"),
]


@pytest.mark.parametrize("gate", ["hard_sigmoid"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("layer", "variable"), DAMAGED)
def test_damage_is_left_for_the_lowering_to_name(network, layer, variable, value):
    """Even where a branch seems dead."""
    network.first["kernel"][..., :2] = 0
    network.second["kernel"][..., 3:5] = 0
    network.weights[f"{network.block}_{layer}"][variable].flat[0] = value
    found = simplify(network.spec, network.weights)
    named = f"weights of layer {network.block}_{layer.removesuffix('_bn')} are not finite"
    with np.errstate(invalid="ignore"), pytest.raises(UserError, match=named):
        lower_weights(found.spec, found.weights, "composite")


# -- the released Small ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def released(shared: Path):
    from mnv3_tf.training.trained import load_weights

    weights = shared / "mnv3_small_imagenet" / "mobilenet_v3_small_1.0_224_imagenet_folded.npz"
    return load_weights(resolve("small"), str(weights))


def photographs(shared: Path, count: int) -> np.ndarray:
    paths = sorted((shared / "imagenet_samples_256" / "images").rglob("*.jp*g"))
    pictures = []
    for path in paths[:: len(paths) // count][:count]:
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture.convert("RGB").resize((224, 224)), np.float32))
    return np.stack(pictures) / 127.5 - 1


def test_the_released_small_loses_a_branch_and_its_answers_stay(released, shared):
    found = simplify(released.spec, collect(released.model))
    assert found.notes == {
        "squeeze_excite_removed": ["expanded_conv_6"],
        "constant_gates": {"expanded_conv_3": 82},
        "constant_hidden": {"expanded_conv": 3, "expanded_conv_3": 8, "expanded_conv_8": 1},
    }
    slimmer = build(found.spec)
    assign_layers(slimmer, found.weights)
    pictures = photographs(shared, 8)
    expected = released.model(pictures).numpy()
    assert relative_error(expected, slimmer(pictures)) <= 1e-4
