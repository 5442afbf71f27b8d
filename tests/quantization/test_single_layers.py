"""Every kind of layer by itself: the file computes what its fake-quantised twin does, to a step."""

import numpy as np
import pytest
import tf_keras

from mnv3_tf.export.convert import convert
from mnv3_tf.layers.activations import HardSwish, ShiftedReLU6
from mnv3_tf.quantization.scheme import (
    PICTURE_RANGE,
    fake_quantized,
    quantized_layers,
    range_layer,
    round_biases,
)
from mnv3_tf.tflite.inspection import inspect
from mnv3_tf.tflite.runtime import TFLiteModel

L = tf_keras.layers

EXACT = 1e-4  # of the values; Keras sums in floating point, the file in integers


def gate(x):
    """(N, 1, 1, C) between 0 and 6, of a kernel over the whole picture."""
    y = L.DepthwiseConv2D(x.shape[1], name="squeeze")(x)
    return L.ReLU(6.0, name="squeeze_relu6")(y)


def add(x):
    return L.Add(name="add")([x, L.Conv2D(x.shape[-1], 1, name="branch")(x)])


def multiply(x):
    return L.Multiply(name="multiply")([x, gate(x)])


def composite(x):
    return L.Multiply(name="swish")([ShiftedReLU6(name="gate")(x), x])


LAYERS = {
    "conv": (lambda x: L.Conv2D(16, 3, 2, "same", name="conv")(x), 8, "CONV_2D"),
    "conv_relu": (lambda x: L.ReLU(name="r")(L.Conv2D(16, 3, name="conv")(x)), 8, "CONV_2D"),
    "depthwise": (
        lambda x: L.DepthwiseConv2D(5, 2, "same", name="depthwise")(x),
        8,
        "DEPTHWISE_CONV_2D",
    ),
    "dilated": (
        lambda x: L.DepthwiseConv2D(3, 1, "same", dilation_rate=2, name="depthwise")(x),
        8,
        "DEPTHWISE_CONV_2D",
    ),
    "squeeze_excite_conv": (
        lambda x: L.ReLU(6.0, name="relu6")(L.Conv2D(16, 1, name="conv")(x)),
        1,
        "CONV_2D",
    ),
    "add": (add, 8, "ADD"),
    "multiply": (multiply, 8, "MUL"),
    "shifted_relu6": (lambda x: ShiftedReLU6(name="gate")(x), 8, "ADD"),
    "composite_hard_swish": (composite, 8, "MUL"),
    "fused_hard_swish": (lambda x: HardSwish(name="swish")(x), 8, "HARD_SWISH"),
    "mean": (lambda x: L.GlobalAveragePooling2D(keepdims=True, name="pool")(x), 7, "MEAN"),
}


def network(layer, side: int) -> tf_keras.Model:
    """Channels of very different sizes, as folded BatchNorm leaves them."""
    rng = np.random.default_rng(3)
    x = tf_keras.Input((side, side, 16))
    model = tf_keras.Model(x, layer(L.Activation("linear", name="input")(x)), name="single")
    sizes = np.geomspace(0.1, 3, 16)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            fan_in = kernel.size / 16
            spread = sizes[:, None] if kernel.shape[-1] == 1 else sizes
            kernel = rng.normal(0, 1, kernel.shape) * spread / np.sqrt(fan_in)
            layer.set_weights([kernel, rng.normal(0, 0.3, bias.shape)])
    return model


@pytest.mark.parametrize("kind", LAYERS)
def test_one_step_at_most(kind, tmp_path):
    """Whether TFLite's built-in kernels or XNNPACK compute it."""
    layer, side, operator = LAYERS[kind]
    model = network(layer, side)
    pictures = np.random.default_rng(1).uniform(-1, 1, (16, side, side, 16)).astype(np.float32)
    ranges = {"input": PICTURE_RANGE}
    for name in quantized_layers(model):
        if name != "input":
            inner = tf_keras.Model(model.inputs, model.get_layer(name).output)
            values = inner(pictures).numpy()
            # Tighter than the extremes, so that values are clipped too.
            ranges[name] = (min(0.8 * values.min(), 0.0), max(0.8 * values.max(), 0.0))
    assert set(ranges) == {range_layer(model.get_layer(n)).name for n in quantized_layers(model)}
    quantized = fake_quantized(model, ranges)
    round_biases(quantized)
    path = tmp_path / "m.tflite"
    path.write_bytes(convert(quantized, "int8", "int8", "logits"))
    assert operator in inspect(path)["ops"]
    for delegate in (False, True):
        file = TFLiteModel(path, delegate=delegate)
        expected = quantized(file.input.seen(pictures)).numpy().reshape(16, -1)
        assert file.output.scale is not None
        steps = np.rint((file.predict(pictures) - expected) / file.output.scale)
        assert np.abs(steps).max() <= 1, delegate
        if delegate and operator != "HARD_SWISH":  # which XNNPACK leaves to the built-in kernels
            assert (steps != 0).mean() <= EXACT
        assert len(np.unique(expected)) > 50  # it is no constant that they agree on
