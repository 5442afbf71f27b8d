"""Where int8 goes: kernels, biases, ranges."""

import numpy as np
import pytest
import tf_keras
from random_network import noise, randomise, settle

from mnv3_tf.export.lowering import lowered_model
from mnv3_tf.export.runtime import TensorInfo
from mnv3_tf.models import build
from mnv3_tf.networks import resolve
from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.scheme import (
    GREY,
    PICTURE_RANGE,
    KernelQuantizer,
    as_stored,
    fake_quantized,
    input_range,
    least_limits,
    quantized_layers,
    range_layer,
    round_biases,
)

L = tf_keras.layers


@pytest.fixture(scope="module")
def lowered() -> tf_keras.Model:
    spec = resolve("small", 0.35, 64, 10)
    trained = settle(randomise(build(spec)), noise(16, 64))
    return lowered_model(spec, trained, "composite")


def test_a_convolution_before_a_relu_has_no_tensor_of_its_own(lowered):
    names = quantized_layers(lowered)
    assert names[:3] == ["input", "conv", "conv_shifted_relu6"]
    assert "expanded_conv_depthwise" not in names
    assert "expanded_conv_depthwise_relu" in names
    assert "expanded_conv_squeeze_excite_conv_1" not in names
    assert "expanded_conv_project" in names
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
    assert of("conv") == "conv"
    assert of("conv_shifted_relu6") == "conv_shifted_relu6"


def test_the_range_of_what_a_convolution_reads():
    x = tf_keras.Input((8, 8, 3))
    y = L.Activation("linear", name="input")(x)
    y = L.ZeroPadding2D(1, name="pad")(y)
    y = L.Dropout(0.1, name="dropout")(y)
    model = tf_keras.Model(x, L.Conv2D(2, 3, name="conv")(y))
    ranges = {"input": (-1.0, 1.0), "conv": (0.0, 9.0)}
    assert input_range(model.get_layer("conv"), ranges) == (-1.0, 1.0)
    assert quantized_layers(model) == ["input", "conv"]


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


def test_weights_are_those_of_the_lowered_model(lowered):
    wide = dict.fromkeys(quantized_layers(lowered), (-1000000.0, 1000000.0))
    quantized = fake_quantized(lowered, wide | {"input": (-1.0, 1.0)})
    for layer in lowered.layers:
        if layer.weights:
            copied = {
                variable.name.split("/")[-1]: variable
                for variable in quantized.get_layer(f"quant_{layer.name}").weights
            }
            for variable in layer.weights:
                found = copied[variable.name.split("/")[-1]]
                np.testing.assert_array_equal(found, variable)


def test_a_quantised_network_is_near_its_float_one(lowered):
    pictures = noise(16, 64)
    expected = lowered(pictures).numpy()
    found = fake_quantized(lowered, calibrate(lowered, pictures))(pictures).numpy()
    signal, error = np.square(expected).sum(), np.square(found - expected).sum()
    assert 10 * np.log10(signal / error) > 8
    assert not np.array_equal(found, expected)


def test_the_range_rounds_and_clips():
    x = tf_keras.Input((4, 4, 3))
    model = tf_keras.Model(x, L.Activation("linear", name="input")(x))
    found = fake_quantized(model, {"input": (-1.0, 1.0)})(10 * noise(1, 4)).numpy()
    step = 2 / 255
    assert np.abs(found).max() <= 1 + step
    np.testing.assert_allclose(found / step, np.round(found / step), atol=1e-3)


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
    model = randomise(tf_keras.Model(x, layer(L.Activation("linear", name="input")(x))))
    kernel, bias = (w.numpy().astype(np.float64) for w in layer.weights)
    steps = 2 / 255 * np.abs(kernel).max((0, 1, 3) if depthwise else (0, 1, 2)) / 127
    ranges = {"input": (-1.0, 1.0), "conv": (-3.0, 3.0)}
    quantized = fake_quantized(model, ranges)
    round_biases(quantized)
    rounded = quantized.get_layer("quant_conv").layer.bias.numpy()
    np.testing.assert_allclose(rounded / steps, np.rint(bias / steps), atol=0.01)
    assert not np.array_equal(rounded, bias.astype(np.float32))
