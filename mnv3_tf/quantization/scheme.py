"""Where a lowered network is quantised, as fake-quantisation of its own layers.

Layers of the lowered model are wrapped by tensorflow-model-optimization's QuantizeWrapper; there
is no second network. Kernels are int8, symmetric and per output channel. The output of every
layer is int8 with one range, but for a convolution whose ReLU comes next, which the runtime
computes as one operator. The TFLite converter reads the ranges off the fake-quant nodes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras import (
    quantize_config,
    quantize_wrapper,
    quantizers,
)

from mnv3_tf.layers import Resize
from mnv3_tf.layers.activations import FUSED

Range = tuple[float, float]

GREY = 1 / 127.5  # the step between two bytes of a picture in [-1, 1]
PICTURE_RANGE: Range = (-128 * GREY, 127 * GREY)

_PASSES_ITS_INPUT_ON = (
    tf_keras.layers.Flatten,
    tf_keras.layers.Dropout,
    tf_keras.layers.ZeroPadding2D,
    tf_keras.layers.Cropping2D,
    tf_keras.layers.Reshape,
    Resize,
)
"""TFLite computes them in int8 with one scale at both ends."""


class KernelQuantizer(quantizers.Quantizer):
    """Symmetric int8 per output channel, over the range of the kernel as it is.

    `least` is the smallest limit of each channel's range (see `least_limits`).
    """

    def __init__(self, depthwise: bool, least: Sequence[float]):
        self.depthwise, self.least = depthwise, list(least)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        return {}

    def __call__(self, inputs: Any, training: Any, weights: Any, **kwargs: Any) -> Any:
        # A depthwise kernel is (k, k, C, 1), and fake-quantisation wants the channels last. The
        # converter sees through a transposition, but not through a reshape.
        swap = (0, 1, 3, 2) if self.depthwise else (0, 1, 2, 3)
        kernel = tf.transpose(inputs, swap)
        limit = tf.stop_gradient(tf.reduce_max(tf.abs(kernel), (0, 1, 2)))
        limit = tf.maximum(limit, self.least)
        kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            kernel, -limit, limit, narrow_range=True
        )
        return tf.transpose(kernel, swap)

    def get_config(self) -> dict[str, Any]:
        return {"depthwise": self.depthwise, "least": self.least}


@tf.custom_gradient
def fake_quantize(values: Any, low: Any, high: Any) -> Any:
    """Rounds to the 255 steps of a range, with a gradient by which the range can be learnt.

    TensorFlow's own gradient tells a range of what it clips but not of its rounding, so that
    nothing would ever make it narrower. Here a limit also moves the steps, and each value with
    them by its rounding error (learned step size quantisation, Esser et al. 2020).
    """

    def gradient(upstream: Any) -> tuple[Any, Any, Any]:
        above = tf.cast(values > high, values.dtype)
        below = tf.cast(values < low, values.dtype)
        inside = upstream * (1 - above - below)
        by_width = inside * (rounded - values) / (high - low)
        to_low = tf.reduce_sum(upstream * below - by_width)
        return inside, to_low, tf.reduce_sum(upstream * above + by_width)

    rounded = tf.quantization.fake_quant_with_min_max_vars(values, low, high)
    return rounded, gradient


class RangeQuantizer(quantizers.Quantizer):
    """int8 over a range that calibration chose; zero is always a value of the grid."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        constant = tf_keras.initializers.Constant
        low = layer.add_weight(f"{name}_low", (), initializer=constant(self.low), trainable=False)
        high = layer.add_weight(
            f"{name}_high", (), initializer=constant(self.high), trainable=False
        )
        return {"low": low, "high": high}

    def __call__(self, inputs: Any, training: Any, weights: Any, **kwargs: Any) -> Any:
        if training:
            return fake_quantize(inputs, weights["low"], weights["high"])
        # What the converter reads the range off.
        return tf.quantization.fake_quant_with_min_max_vars(inputs, weights["low"], weights["high"])

    def get_config(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high}


class LayerScheme(quantize_config.QuantizeConfig):
    """tfmot's view of one layer: its kernel, if any, and the range of its output, if any."""

    def __init__(
        self, kernel: str | None, output: Range | None, least: Sequence[float] = ()
    ) -> None:
        self.kernel, self.output, self.least = kernel, output, list(least)

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        if self.kernel is None:
            return []
        quantizer = KernelQuantizer(self.kernel == "depthwise_kernel", self.least)
        return [(getattr(layer, self.kernel), quantizer)]

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        if self.kernel is not None:
            setattr(layer, self.kernel, quantize_weights[0])

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        pass

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return [] if self.output is None else [RangeQuantizer(*self.output)]

    def get_config(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "output": self.output, "least": self.least}


def kernel_of(layer: Any) -> str | None:
    """The name of the attribute that holds a layer's kernel, or None."""
    if isinstance(layer, tf_keras.layers.DepthwiseConv2D):
        return "depthwise_kernel"
    return "kernel" if isinstance(layer, tf_keras.layers.Conv2D) else None


def quantized_layers(model: tf_keras.Model) -> list[str]:
    """Names of the layers of a lowered model whose outputs are int8 tensors of their own."""
    layers = (layer for layer in model.layers if not isinstance(layer, tf_keras.layers.InputLayer))
    return [layer.name for layer in layers if _has_own_range(layer)]


def _has_own_range(layer: Any) -> bool:
    return not isinstance(layer, _PASSES_ITS_INPUT_ON) and range_layer(layer) is layer


def range_layer(layer: Any) -> Any:
    """The layer whose range a layer's output gets: itself, or the activation fused onto it.

    What a concatenation joins has the concatenation's, since TFLite wants one scale for all of it.
    """
    reader = _only_reader(layer)
    if kernel_of(layer) and isinstance(reader, FUSED):
        return range_layer(reader)
    while isinstance(reader, _PASSES_ITS_INPUT_ON):
        reader = _only_reader(reader)
    return range_layer(reader) if isinstance(reader, tf_keras.layers.Concatenate) else layer


def _only_reader(layer: Any) -> Any:
    """The layer that reads a layer's output; None where several do, or none."""
    readers = [node.outbound_layer for node in layer.outbound_nodes]
    return readers[0] if len(readers) == 1 else None


def input_range(layer: Any, ranges: Mapping[str, Range]) -> Range:
    """The range of what a convolution reads."""
    return ranges[_source(layer).name]


def _source(layer: Any) -> Any:
    """The layer whose int8 tensor a layer reads."""
    source = layer.inbound_nodes[0].inbound_layers
    while isinstance(getattr(source, "layer", source), _PASSES_ITS_INPUT_ON):
        source = source.inbound_nodes[0].inbound_layers
    return source


def least_limits(layer: Any, ranges: Mapping[str, Range]) -> np.ndarray:
    """The smallest range of each channel's kernel with which its bias still fits in 32 bits.

    A bias counts in steps of input scale times kernel scale. A channel that is all but constant,
    such as a dead gate of the released Small, has a kernel near 1e-7 and a bias of 3: by the
    kernel alone its scale would be so small that the bias overflows.
    """
    low, high = input_range(layer, ranges)
    bias = np.abs(layer.bias.numpy().astype(np.float64))
    return np.maximum(127 * bias / ((high - low) / 255 * 2**30), 1e-30).astype(np.float32)


def variables_of(wrapper: Any) -> dict[str, Any]:
    """By name: a wrapped layer's "kernel" or "depthwise_kernel", "bias", "output_low", ..."""
    return {v.name.rpartition("/")[2].partition(":")[0]: v for v in wrapper.weights}


def as_stored(pictures: Any) -> Any:
    """Pictures in [-1, 1] as an int8 network is given them: half a grey level darker.

    A byte b stands for (b - 127.5) / 127.5, but zero must be a value of the grid, so that the
    network reads (b - 128) / 127.5. Without the shift every pixel would be half way between two
    steps, and fall to either side.
    """
    return pictures - np.float32(GREY / 2)


def round_biases(quantized: tf_keras.Model) -> None:
    """Rounds the biases of a fake-quantised model as the file will, to int32.

    The steps are fine, but one value in a few hundred falls to another int8 step by them, and
    every later layer magnifies that.
    """
    for wrapper in quantized.layers:
        kernel = kernel_of(getattr(wrapper, "layer", wrapper))
        if kernel is None:
            continue
        read, own = variables_of(_source(wrapper)), variables_of(wrapper)
        axes = (0, 1, 3) if kernel == "depthwise_kernel" else (0, 1, 2)
        limits = np.abs(own[kernel].numpy().astype(np.float64)).max(axes)
        limits = np.maximum(limits, wrapper.quantize_config.least)
        width = float(read["output_high"]) - float(read["output_low"])
        step = width / 255 * limits / 127
        own["bias"].assign(np.rint(own["bias"].numpy() / step) * step)


@tf.autograph.experimental.do_not_convert  # which takes a third of the time, for nothing
def fake_quantized(model: tf_keras.Model, ranges: Mapping[str, Range]) -> tf_keras.Model:
    """The lowered model with its values rounded as int8 will round them; weights are copied.

    `ranges` gives (low, high) for every layer of `quantized_layers(model)`.
    """
    wanted = set(quantized_layers(model))

    def wrap(layer: Any) -> Any:
        output = ranges[layer.name] if layer.name in wanted else None
        copy = layer.__class__.from_config(layer.get_config())
        kernel = kernel_of(layer)
        least = least_limits(layer, ranges).tolist() if kernel else []
        return quantize_wrapper.QuantizeWrapperV2(copy, LayerScheme(kernel, output, least))

    quantized = tf_keras.models.clone_model(model, clone_function=wrap)
    for layer in model.layers:
        if kernel_of(layer):
            wrapped = quantized.get_layer(f"quant_{layer.name}")
            source = {w.name.split("/")[-1]: w for w in layer.weights}
            for variable in wrapped.weights:
                if (name := variable.name.split("/")[-1]) in source:
                    variable.assign(source[name])
    return quantized
