"""A network's operators as layers: values, order and padding, against numpy."""

import numpy as np
import pytest
import tf_keras
from random_network import randomise

from mnv3_tf.errors import UserError
from mnv3_tf.layers import LayerFactory
from mnv3_tf.layers.activations import LAYERS
from mnv3_tf.networks.activations import ACTIVATIONS, LINEAR
from mnv3_tf.networks.blocks import InvertedResidual, Stem, squeeze_excite
from mnv3_tf.networks.graph import IMAGE, Operator, OperatorGraph
from mnv3_tf.networks.spec import NetworkSpec


def model_of(operators: list[Operator], make: LayerFactory | None = None) -> tf_keras.Model:
    """Of operators that read one tensor from outside, the first's."""
    x = tf_keras.Input(operators[0].input)
    tensors = {operators[0].reads[0]: x}
    for op in operators:
        tensors[op.name] = (make or LayerFactory()).operator(op, tensors)
    return tf_keras.Model(x, tensors[operators[-1].name])


def layers_of(block: InvertedResidual, make: LayerFactory | None = None) -> list[str]:
    """The layers of a network's one block, which reads 16 channels."""
    operators = NetworkSpec("one", (block,), 8, 0, Stem(16)).graph().operators
    model = model_of([op for op in operators if op.stage == "expanded_conv"], make)
    return [layer.name for layer in model.layers[1:]]


def test_squeeze_excite_scales_channels_by_a_gate_from_their_means():
    graph = OperatorGraph(5, 6)
    squeeze_excite(graph, "block", IMAGE, 8, "hard_sigmoid")
    model = randomise(model_of(graph.operators))
    pictures = np.random.default_rng(2).normal(size=(2, 5, 6, 3)).astype(np.float32)
    (k1, b1), (k2, b2) = (
        model.get_layer(f"block_squeeze_excite_{n}").get_weights() for n in ("conv", "conv_1")
    )
    hidden = np.maximum(pictures.mean((1, 2)) @ k1[0, 0] + b1, 0)
    gate = np.clip(hidden @ k2[0, 0] + b2 + 3, 0, 6) / 6
    expected = pictures * gate[:, None, None]
    np.testing.assert_allclose(model(pictures), expected, rtol=1e-4, atol=1e-5)


def test_order_of_a_full_block():
    """Squeeze-excite comes after the depthwise activation and before the projection (slim)."""
    assert layers_of(InvertedResidual(5, 64, 16, 0.25, "hard_swish", 1)) == [
        "expanded_conv_expand",
        "expanded_conv_expand_bn",
        "expanded_conv_expand_hard_swish",
        "expanded_conv_depthwise",
        "expanded_conv_depthwise_bn",
        "expanded_conv_depthwise_hard_swish",
        "expanded_conv_squeeze_excite_pool",
        "expanded_conv_squeeze_excite_conv",
        "expanded_conv_squeeze_excite_conv_relu",
        "expanded_conv_squeeze_excite_conv_1",
        "expanded_conv_squeeze_excite_conv_1_hard_sigmoid",
        "expanded_conv_squeeze_excite_multiply",
        "expanded_conv_project",
        "expanded_conv_project_bn",
        "expanded_conv_add",
    ]


def test_parts_are_left_out_where_the_block_has_none():
    assert layers_of(InvertedResidual(3, 16, 24, 0.0, "relu", 2)) == [
        "expanded_conv_depthwise",
        "expanded_conv_depthwise_bn",
        "expanded_conv_depthwise_relu",
        "expanded_conv_project",
        "expanded_conv_project_bn",
    ]


def test_lowered_layers():
    block = InvertedResidual(3, 64, 16, 0.25, "hard_swish", 1)
    fused = layers_of(block, LayerFactory(lowering="fused"))
    composite = layers_of(block, LayerFactory(lowering="composite"))
    assert not [name for name in fused + composite if name.endswith(("_bn", "hard_sigmoid"))]
    assert "expanded_conv_squeeze_excite_conv_1_relu6" in fused
    assert "expanded_conv_expand_hard_swish" in fused
    assert [name for name in composite if "expand_" in name] == [
        "expanded_conv_expand_shifted_relu6",
        "expanded_conv_expand_hard_swish",
    ]


def depthwise(kernel: int, stride: int, dilation: int) -> tf_keras.Model:
    graph = OperatorGraph(11, 12)
    graph.depthwise("d", "d", IMAGE, kernel, stride, dilation)
    return model_of(graph.operators, LayerFactory(padding="symmetric"))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_symmetric_padding_is_pytorchs(kernel, stride):
    """floor((side + 2 * margin - kernel) / stride) + 1, with half the kernel on each side."""
    model = depthwise(kernel, stride, 1)
    assert model.output_shape[1:3] == ((11 - 1) // stride + 1, (12 - 1) // stride + 1)
    assert model.get_layer("d_pad").padding == ((kernel // 2,) * 2,) * 2
    assert model.get_layer("d").padding == "valid"


def test_symmetric_padding_grows_with_dilation():
    assert depthwise(5, 1, 2).output_shape[1:3] == (11, 12)


X = np.linspace(-8, 8, 33, dtype=np.float32)[None]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("linear", X),
        ("relu", np.maximum(X, 0)),
        ("relu6", np.clip(X, 0, 6)),
        ("swish", X / (1 + np.exp(-X))),
        ("sigmoid", 1 / (1 + np.exp(-X))),
        ("hard_sigmoid", np.clip(X + 3, 0, 6) / 6),
        ("hard_swish", X * np.clip(X + 3, 0, 6) / 6),
    ],
)
def test_activations(activation, expected):
    x = tf_keras.Input((33,))
    y = LayerFactory().activation(x, "a", activation)
    np.testing.assert_allclose(tf_keras.Model(x, y)(X), expected, atol=1e-6)
    if activation != "linear":
        assert y.node.layer.name == f"a_{activation}"


PICTURES = np.random.default_rng(3).normal(size=(2, 5, 7, 3)).astype(np.float32)


def test_cutting_and_averaging_windows():
    graph = OperatorGraph(5, 7)
    graph.average_pool("pool", "head", IMAGE, (3, 5), (2, 1))
    found = model_of(graph.operators)(PICTURES).numpy()
    assert found.shape == (2, 2, 3, 3)
    for row, column in np.ndindex(2, 3):
        window = PICTURES[:, 2 * row : 2 * row + 3, column : column + 5]
        np.testing.assert_allclose(found[:, row, column], window.mean((1, 2)), atol=1e-6)
    graph = OperatorGraph(5, 7)
    graph.cut("cut", "head", IMAGE, (1, 2), (3, 4))
    np.testing.assert_array_equal(model_of(graph.operators)(PICTURES), PICTURES[:, 1:4, 2:6])
    graph = OperatorGraph(5, 7)
    graph.mean("mean", "head", IMAGE)
    found = model_of(graph.operators)(PICTURES)
    np.testing.assert_allclose(found, PICTURES.mean((1, 2), keepdims=True), atol=1e-6)


def test_stretching_aligns_the_corners():
    graph = OperatorGraph(5, 7)
    graph.resize("resized", "head", IMAGE, 9, 19)
    model = model_of(graph.operators)
    found = model(PICTURES).numpy()
    assert found.shape == (2, 9, 19, 3)
    np.testing.assert_allclose(found[:, ::2, ::3], PICTURES, atol=1e-5)
    between = (PICTURES[:, 0] + PICTURES[:, 1]) / 2
    np.testing.assert_allclose(found[:, 1, ::3], between, atol=1e-5)
    again = type(model.layers[-1]).from_config(model.layers[-1].get_config())
    assert (again.height, again.width) == (9, 19)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_joining_along_an_axis(axis):
    graph = OperatorGraph(5, 7)
    half = graph.cut("half", "head", IMAGE, (0, 0), (5, 7))
    graph.concatenate("joined", "head", [IMAGE, half], axis)
    found = model_of(graph.operators)(PICTURES)
    np.testing.assert_array_equal(found, np.concatenate([PICTURES] * 2, axis + 1))


def test_an_unknown_activation_is_a_bug():
    with pytest.raises(UserError, match="Unknown activation 'gelu'; choose one of linear, relu, "):
        LayerFactory().activation(tf_keras.Input((4,)), "a", "gelu")


def test_every_activation_has_its_layer():
    assert {LINEAR, *LAYERS} == set(ACTIVATIONS)


def test_no_operator_has_an_unknown_activation():
    """So none is counted, lowered or written to a file."""
    with pytest.raises(UserError, match="Unknown activation 'gelu'; choose one of linear, relu, "):
        OperatorGraph(5, 7).conv("a", "head", IMAGE, 4, activation="gelu")
