"""A smaller network on the weights of a larger one: the same function of what is left."""

import numpy as np
import pytest
from random_network import randomise
from tiny import TINY

from mnv3_tf.cost import operators
from mnv3_tf.models import build
from mnv3_tf.search.inherit import NEW, _Choice, inherit
from mnv3_tf.spec import NetworkSpec
from mnv3_tf.weights import assign_layers, collect

PICTURES = np.random.default_rng(1).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def parent():
    return randomise(build(TINY))


def child_of(spec: NetworkSpec, parent):
    model = randomise(build(spec), seed=9)
    assign_layers(model, inherit(spec, collect(model), TINY, collect(parent)))
    return model


def silenced(weights: dict, tensor: str, count: int) -> dict:
    """The weights of the parent whose channels that a child leaves out of `tensor` say nothing.

    Every channel of the set that it is bound to is silenced where it is made: after BatchNorm, or
    in a convolution with a bias.
    """
    choice = _Choice(TINY, weights)
    silent = {layer: {k: v.copy() for k, v in values.items()} for layer, values in weights.items()}
    kept = choice.of(tensor, count)
    gone = np.setdiff1d(np.arange(len(choice._norms[choice._set_of[tensor]])), kept)
    for op in operators(TINY):
        if choice._set_of[op.name] != choice._set_of[tensor] or op.kind not in (
            "conv",
            "depthwise",
        ):
            continue
        made = silent.get(f"{op.name}_bn") or silent[op.name]
        for name in ("gamma", "beta", "bias"):
            if name in made:
                made[name][gone] = 0
        if op.bias:
            made["kernel"][..., gone] = 0
    return silent


def test_the_same_network_keeps_everything(parent):
    np.testing.assert_array_equal(child_of(TINY, parent)(PICTURES), parent(PICTURES))


@pytest.mark.parametrize(
    ("spec", "tensor", "count", "squeezed"),
    [
        (TINY.with_expansion(1, 40), "expanded_conv_1_expand", 40, None),
        (TINY.with_expansion(2, 40), "expanded_conv_2_expand", 40, ("expanded_conv_2", 16)),
        (TINY.with_expansion(3, 32), "expanded_conv_3_expand", 32, ("expanded_conv_3", 8)),
        (TINY.with_bottleneck(1, 8), "expanded_conv_1_project", 8, None),
        (TINY.with_bottleneck(3, 8), "expanded_conv_3_project", 8, None),
        (TINY.replace(last_conv=40), "conv_1", 40, None),
        (TINY.replace(hidden=8), "conv_2", 8, None),
    ],
)
def test_a_child_computes_what_its_parent_does_without_the_channels_left_out(
    parent, spec, tensor, count, squeezed
):
    weights = silenced(collect(parent), tensor, count)
    if squeezed:
        block, width = squeezed
        inner = f"{block}_squeeze_excite_conv"
        weights = {**weights, inner: silenced(collect(parent), inner, width)[inner]}
    reference = build(TINY)
    assign_layers(reference, weights)
    found, expected = child_of(spec, parent)(PICTURES), reference(PICTURES)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(np.asarray(parent(PICTURES)) - expected).max() > 1e-2


def test_the_largest_filters_stay_in_their_order(parent):
    weights = collect(parent)
    weights["expanded_conv_1_expand_bn"]["gamma"][[5, 40, 7]] = 100
    kept = _Choice(TINY, weights).of("expanded_conv_1_depthwise", 3)
    assert kept.tolist() == [5, 7, 40]


def test_filters_of_a_residual_are_chosen_together(parent):
    """A bottleneck that one block hardly writes may be written by another."""
    weights = collect(parent)
    choice = _Choice(TINY, weights)
    assert choice._set_of["expanded_conv_1_project"] == choice._set_of["expanded_conv_2_project"]
    weights["expanded_conv_1_project_bn"]["gamma"][3] = 0
    weights["expanded_conv_2_project_bn"]["gamma"][3] = 1e3
    assert 3 in _Choice(TINY, weights).of("expanded_conv_1_project", 8)


def test_a_wider_network_keeps_all_and_the_rest_is_fresh(parent):
    wider = TINY.with_expansion(1, 56)
    fresh = collect(randomise(build(wider), seed=9))
    found = inherit(wider, fresh, TINY, collect(parent))
    layer = "expanded_conv_1_expand"
    np.testing.assert_array_equal(
        found[layer]["kernel"][..., :48], collect(parent)[layer]["kernel"]
    )
    np.testing.assert_array_equal(
        found[layer]["kernel"][..., 48:], fresh[layer]["kernel"][..., 48:]
    )
    assert _Choice(TINY, collect(parent)).of(layer, 50).tolist()[-2:] == [NEW, NEW]


def test_kernels_of_another_size_and_unknown_layers_are_fresh(parent):
    other = TINY.with_block(1, kernel=5, squeeze=0.25)
    fresh = collect(randomise(build(other), seed=9))
    found = inherit(other, fresh, TINY, collect(parent))
    for layer in ("expanded_conv_1_depthwise", "expanded_conv_1_squeeze_excite_conv"):
        np.testing.assert_array_equal(found[layer]["kernel"], fresh[layer]["kernel"])
