"""A smaller network on the weights of a larger one: the same function of what is left."""

import numpy as np
import pytest
from random_network import randomise
from tiny import CLASSIFIER

from mnv3_tf.models import build
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.inherit import inherit
from mnv3_tf.weights import assign_layers, collect
from mnv3_tf.weights.layer_arrays import LayerArrays

PICTURES = np.random.default_rng(1).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return randomise(build(CLASSIFIER))


@pytest.fixture(scope="module")
def parent(model):
    return collect(model)


@pytest.fixture
def weights(parent):
    """Those of the parent, to be changed."""
    return {layer: {k: v.copy() for k, v in values.items()} for layer, values in parent.items()}


def fresh_weights(spec: NetworkSpec) -> LayerArrays:
    """At random."""
    rng, found = np.random.default_rng(9), {}
    for op in operators(spec):
        if op.kind in ("conv", "depthwise"):
            channels = (op.input[-1], op.output[-1]) if op.kind == "conv" else (op.output[-1], 1)
            found[op.name] = {"kernel": rng.normal(size=(op.kernel, op.kernel, *channels))}
            if op.bias:
                found[op.name]["bias"] = rng.normal(size=op.output[-1])
            else:
                names = ("gamma", "beta", "moving_mean", "moving_variance")
                found[f"{op.name}_bn"] = {n: rng.uniform(1, 2, op.output[-1]) for n in names}
    return found


def inherited(spec: NetworkSpec, weights: dict) -> LayerArrays:
    return inherit(spec, fresh_weights(spec), CLASSIFIER, weights)


def test_the_same_network_keeps_everything(parent):
    found = inherited(CLASSIFIER, parent)
    assert found.keys() == parent.keys()
    for layer, values in parent.items():
        assert found[layer].keys() == values.keys()
        for name, value in values.items():
            np.testing.assert_array_equal(found[layer][name], value, err_msg=layer)


def answers(model, weights: dict) -> np.ndarray:
    assign_layers(model, weights)
    return np.asarray(model(PICTURES))


def silence(weights: dict, layer: str, gone: np.ndarray) -> None:
    """What the layer makes in these channels is nothing: after BatchNorm, or with a bias."""
    made = weights.get(f"{layer}_bn") or weights[layer]
    for name in {"gamma", "beta", "bias"} & made.keys():
        made[name][gone] = 0
    if "bias" in made:
        made["kernel"][..., gone] = 0


def expansion(block: int) -> tuple[str, str]:
    return f"expanded_conv_{block}_expand", f"expanded_conv_{block}_depthwise"


def squeeze(block: int) -> tuple[str]:
    return (f"expanded_conv_{block}_squeeze_excite_conv",)


def bottlenecks(*blocks: int) -> tuple[str, ...]:
    return tuple(f"expanded_conv_{block}_project" for block in blocks)


SMALLER = [  # the network, and for each set of layers that share channels: how many of how many
    (
        CLASSIFIER.with_expansion(1, 40)
        .with_expansion(3, 32)
        .with_bottleneck(1, 8)
        .replace(last_conv=40),
        [
            (expansion(1), 40, 48),
            (expansion(3), 32, 72),
            (squeeze(3), 8, 24),
            (bottlenecks(1, 2), 8, 24),
            (("conv_1",), 40, 64),
        ],
    ),
    (
        CLASSIFIER.with_expansion(2, 40).with_bottleneck(3, 8).replace(hidden=8),
        [(expansion(2), 40, 64), (bottlenecks(3), 8, 32), (("conv_2",), 8, 32)],
    ),
]


@pytest.mark.parametrize(("spec", "shrunk"), SMALLER)
def test_a_child_computes_what_its_parent_does_without_the_channels_left_out(
    model, parent, weights, spec, shrunk
):
    rng = np.random.default_rng(0)
    for layers, after, before in shrunk:
        gone = rng.choice(before, before - after, replace=False)
        for layer in layers:
            silence(weights, layer, gone)
    # What says nothing has the smallest filters, so it is what is left out.
    found = answers(build(spec), inherited(spec, weights))
    np.testing.assert_allclose(found, answers(model, weights), rtol=1e-4, atol=1e-4)
    assert np.abs(answers(model, parent) - found).max() > 1e-2


def kept(spec: NetworkSpec, weights: dict, layer: str) -> list[int]:
    """Which of the parent's filters a child has, in its order."""
    parent, child = weights[layer]["kernel"], inherited(spec, weights)[layer]["kernel"]
    return [
        next(old for old in range(parent.shape[-1]) if (parent[..., old] == child[..., new]).all())
        for new in range(child.shape[-1])
    ]


def test_the_largest_filters_stay_in_their_order(weights):
    large = [5, 7, *range(20, 26), 40]
    weights["expanded_conv_1_expand_bn"]["gamma"][large] = 100
    spec = CLASSIFIER.with_expansion(1, 40)
    found = kept(spec, weights, "expanded_conv_1_expand")
    assert found == sorted(found)
    assert set(large) <= set(found)
    assert len(found) == len(set(found)) == 40


def test_a_filter_is_as_large_as_batch_norm_makes_it(weights):
    """A large variance makes it small."""
    weights["expanded_conv_1_expand_bn"]["moving_variance"][:8] = 1e6
    found = kept(CLASSIFIER.with_expansion(1, 40), weights, "expanded_conv_1_expand")
    assert found == list(range(8, 48))


def test_filters_of_a_residual_are_chosen_together(weights):
    """A bottleneck that one block hardly writes may be written by another."""
    weights["expanded_conv_1_project_bn"]["gamma"][3] = 0
    weights["expanded_conv_2_project_bn"]["gamma"][3] = 1e3
    found = inherited(CLASSIFIER.with_bottleneck(1, 8), weights)
    for layer in ("expanded_conv_1_project", "expanded_conv_2_project"):
        assert np.sum(found[f"{layer}_bn"]["gamma"] == weights[f"{layer}_bn"]["gamma"][3]) == 1


def test_a_wider_network_keeps_all_and_the_rest_is_fresh(parent):
    wider = CLASSIFIER.with_expansion(1, 56)
    found, fresh, layer = inherited(wider, parent), fresh_weights(wider), "expanded_conv_1_expand"
    for name, of_layer in ((layer, "kernel"), (f"{layer}_bn", "gamma")):
        value = found[name][of_layer]
        np.testing.assert_array_equal(value[..., :48], parent[name][of_layer])
        np.testing.assert_array_equal(value[..., 48:], fresh[name][of_layer][..., 48:])


def test_kernels_of_another_size_and_unknown_layers_are_fresh(parent):
    spec = CLASSIFIER.with_block(1, kernel=5, squeeze=0.25)
    found, fresh = inherited(spec, parent), fresh_weights(spec)
    for layer in ("expanded_conv_1_depthwise", *squeeze(1)):
        np.testing.assert_array_equal(found[layer]["kernel"], fresh[layer]["kernel"])
