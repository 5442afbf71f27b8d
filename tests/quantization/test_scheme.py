"""Where int8 goes: kernels, biases, ranges."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from random_network import noise, randomise

from mnv3_tf.quantization.scheme import (
    GREY,
    PICTURE_RANGE,
    KernelQuantizer,
    as_stored,
    fake_quantize,
    fake_quantized,
    input_range,
    least_limits,
    quantized_layers,
    range_layer,
    round_biases,
)
from mnv3_tf.tflite.runtime import TensorInfo

L = tf_keras.layers


def test_a_convolution_before_a_relu_has_no_tensor_of_its_own(lowered):
    names = quantized_layers(lowered)
    assert names[:3] == ["input", "conv", "conv_gate_relu6"]
    assert "expanded_conv_depthwise" not in names
    assert "expanded_conv_depthwise_relu" in names
    assert "expanded_conv_squeeze_excite_conv_1" not in names
    assert "expanded_conv_project" in names
    assert "expanded_conv_2_add" in names
    assert "logits" in names
    assert "flatten" not in names
    assert "image" not in names
    kept = [layer.name for layer in lowered.layers if layer.name in names]
    assert names == kept  # in the model's order


def test_range_layer(lowered):
    def of(name: str) -> str:
        return range_layer(lowered.get_layer(name)).name

    assert of("expanded_conv_depthwise") == "expanded_conv_depthwise_relu"
    assert of("expanded_conv_project") == "expanded_conv_project"
    # h-swish reads the convolution twice, so that its own values must be kept.
    assert of("expanded_conv_2_expand") == "expanded_conv_2_expand"
    assert of("expanded_conv_2_expand_shifted_relu6") == "expanded_conv_2_expand_shifted_relu6"


def test_the_range_of_what_a_convolution_reads():
    x = tf_keras.Input((8, 8, 3))
    y = L.Activation("linear", name="input")(x)
    y = L.ZeroPadding2D(1, name="pad")(y)
    y = L.Dropout(0.1, name="dropout")(y)
    model = tf_keras.Model(x, L.Conv2D(2, 3, name="conv")(y))
    ranges = {"input": (-1.0, 1.0), "conv": (0.0, 9.0)}
    assert input_range(model.get_layer("conv"), ranges) == (-1.0, 1.0)
    assert quantized_layers(model) == ["input", "conv"]


def test_what_is_joined_has_one_range():
    """Also where its parts are reshaped on their way, and where a ReLU is fused onto one."""
    x = tf_keras.Input((8, 8, 3))
    y = L.Activation("linear", name="input")(x)
    parts = [
        L.Reshape((64, 2), name="reshape")(L.Conv2D(2, 1, name="a")(y)),
        L.Reshape((64, 2), name="again")(L.ReLU(name="b_relu")(L.Conv2D(2, 1, name="b")(y))),
    ]
    joined = L.Concatenate(1, name="joined")(parts)
    model = tf_keras.Model(x, [joined, L.Conv2D(2, 1, name="alone")(y)])
    assert quantized_layers(model) == ["input", "joined", "alone"]
    for name in ("a", "b", "b_relu", "joined"):
        assert range_layer(model.get_layer(name)).name == "joined"


@pytest.mark.parametrize("depthwise", [False, True])
def test_kernels_are_rounded_symmetrically_by_channel(depthwise):
    rng = np.random.default_rng(0)
    scales = np.float32([0.01, 1, 50])
    kernel = rng.normal(size=(3, 3, 3, 1) if depthwise else (3, 3, 4, 3)).astype(np.float32)
    kernel = kernel * (scales[:, None] if depthwise else scales)
    found = KernelQuantizer(depthwise, [1e-30] * 3)(kernel, False, {}).numpy()
    axes = (0, 1, 3) if depthwise else (0, 1, 2)
    step = np.abs(kernel).max(axes, keepdims=True) / 127
    np.testing.assert_allclose(found, np.round(kernel / step) * step, atol=step.max() * 1e-3)
    assert (np.abs(found - kernel) <= 0.51 * step).all()


def test_biases_fit_in_32_bits():
    x = tf_keras.Input((8, 8, 3))
    y = L.Activation("linear", name="input")(x)
    model = tf_keras.Model(x, L.Conv2D(3, 1, name="conv")(y))
    layer = model.get_layer("conv")
    kernel = np.full((1, 1, 3, 3), 1e-8, np.float32)
    kernel[..., 2] = 1.0
    bias = np.float32([3.0, 0.0, -5.0])
    layer.set_weights([kernel, bias])
    ranges = {"input": (-1.0, 1.0)}
    limits = np.maximum(np.abs(kernel).max((0, 1, 2)), least_limits(layer, ranges))
    counts = np.abs(bias.astype(np.float64)) / (2 / 255 * limits / 127)
    assert counts.max() < 2**31
    assert counts[0] > 2**28  # and no coarser than needed
    assert limits[2] == 1.0
    assert (least_limits(layer, ranges) > 0).all()


def test_weights_are_those_of_the_lowered_model(lowered, quantized):
    for layer in lowered.layers:
        if layer.weights:
            copied = {
                variable.name.split("/")[-1]: variable
                for variable in quantized.get_layer(f"quant_{layer.name}").weights
            }
            for variable in layer.weights:
                found = copied[variable.name.split("/")[-1]]
                np.testing.assert_array_equal(found, variable)


def test_a_quantised_network_is_near_its_float_one(lowered, quantized, images):
    expected, found = (model(images).numpy() for model in (lowered, quantized))
    signal, error = np.square(expected).sum(), np.square(found - expected).sum()
    assert 10 * np.log10(signal / error) > 20
    assert not np.array_equal(found, expected)


def test_the_range_rounds_and_clips():
    x = tf_keras.Input((4, 4, 3))
    model = tf_keras.Model(x, L.Activation("linear", name="input")(x))
    found = fake_quantized(model, {"input": (-1.0, 1.0)})(10 * noise(1, 4)).numpy()
    step = 2 / 255
    assert np.abs(found).max() <= 1 + step
    np.testing.assert_allclose(found / step, np.round(found / step), atol=1e-3)


def test_limits_learn_from_rounding_within_and_clipping_beyond():
    """Esser et al. 2020, with two ends."""
    low, high = tf.constant(-1.0), tf.constant(2.0)
    values = tf.constant(np.linspace(-3, 4, 50), tf.float32)
    upstream = tf.constant(np.random.default_rng(0).normal(size=50), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([values, low, high])
        rounded = fake_quantize(values, low, high)
    found = tape.gradient(rounded, [values, low, high], upstream)
    expected = np.zeros((3, 50))
    for i, (value, near) in enumerate(zip(values.numpy(), rounded.numpy(), strict=True)):
        if value < -1:
            expected[:, i] = 0, 1, 0
        elif value > 2:
            expected[:, i] = 0, 0, 1
        else:
            assert abs(near - value) <= 0.51 * 3 / 255
            expected[:, i] = 1, -(near - value) / 3, (near - value) / 3
    expected = expected * upstream.numpy()
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found[1:], expected[1:].sum(1), atol=1e-5)


def test_a_byte_is_not_between_two_steps():
    """As a file's input stores it, whatever Keras rounds with."""
    pixels = (np.arange(256, dtype=np.float32) / 127.5 - 1).reshape(1, 256, 1, 1)
    x = tf_keras.Input((256, 1, 1))
    model = tf_keras.Model(x, L.Activation("linear", name="input")(x))
    found = fake_quantized(model, {"input": PICTURE_RANGE})(as_stored(pixels)).numpy()
    np.testing.assert_allclose(found.ravel(), (np.arange(256) - 128) / 127.5, atol=1e-6)
    stored = TensorInfo("int8", pixels.shape, GREY, 0)
    np.testing.assert_allclose(stored.seen(pixels), found, atol=1e-6)


@pytest.mark.parametrize("depthwise", [False, True])
def test_biases_are_whole_numbers_of_the_steps_of_their_sums(depthwise):
    x = tf_keras.Input((4, 4, 3))
    layer = L.DepthwiseConv2D(3, name="conv") if depthwise else L.Conv2D(3, 3, name="conv")
    y = L.ZeroPadding2D(1, name="pad")(L.Activation("linear", name="input")(x))
    model = randomise(tf_keras.Model(x, layer(y)))
    kernel, bias = (w.numpy().astype(np.float64) for w in layer.weights)
    steps = 2 / 255 * np.abs(kernel).max((0, 1, 3) if depthwise else (0, 1, 2)) / 127
    ranges = {"input": (-1.0, 1.0), "conv": (-3.0, 3.0)}
    quantized = fake_quantized(model, ranges)
    round_biases(quantized)
    rounded = quantized.get_layer("quant_conv").layer.bias.numpy()
    np.testing.assert_allclose(rounded / steps, np.rint(bias / steps), atol=0.01)
    assert not np.array_equal(rounded, bias.astype(np.float32))
