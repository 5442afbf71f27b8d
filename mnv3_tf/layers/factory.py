"""From a network's operators to Keras layers, for training and lowered for export.

Layers are named as in keras.applications (`expanded_conv_3_depthwise`, `..._depthwise_bn`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tf_keras

from mnv3_tf.layers import resize
from mnv3_tf.layers.activations import LAYERS, ShiftedReLU6
from mnv3_tf.layers.shift import Shift
from mnv3_tf.networks.activations import LINEAR, Lowering, activation
from mnv3_tf.networks.graph import (
    Add,
    AveragePool,
    Concatenate,
    Conv,
    Convolution,
    Cut,
    Depthwise,
    Mean,
    Multiply,
    Operator,
    Reshape,
    Resize,
)
from mnv3_tf.networks.spec import NetworkSpec

STEM = "conv"
"""The name of a network's first convolution."""

Tensor = Any  # a symbolic Keras tensor, (N, H, W, C)


@dataclass(frozen=True)
class LayerFactory:
    """Makes the layers of one network.

    With `lowering` None these are the layers that are trained. Lowered, BatchNorm is gone (the
    convolutions have biases), a hard-sigmoid gate is a plain ReLU6, six times too large and with
    its +3 in the bias before it, and a composite h-swish is six times too large as well:
    `mnv3_tf.quantization.lowering` writes weights that make up for it exactly.
    """

    padding: str = "same"
    batch_norm_epsilon: float = 1e-3
    lowering: Lowering | None = None
    initializers: Mapping[str, Any] = field(default_factory=dict)
    """Of kernels ("logits") and biases ("logits_bias") that do not begin as all others do."""

    @classmethod
    def of(cls, spec: NetworkSpec, lowering: Lowering | None = None, **more: Any) -> "LayerFactory":
        return cls(spec.padding, spec.batch_norm_epsilon, lowering, **more)

    def operator(self, op: Operator, tensors: Mapping[str, Tensor]) -> Tensor:
        """The layers of one operator on what it reads of `tensors`, by the operators' names."""
        layers, sources = tf_keras.layers, [tensors[name] for name in op.reads]
        x = sources[0]
        match op:
            case Conv():
                return self._conv(x, op)
            case Depthwise():
                return self._depthwise(x, op)
            case Mean():
                return layers.GlobalAveragePooling2D(keepdims=True, name=op.name)(x)
            case AveragePool():
                return layers.AveragePooling2D(op.window, op.hop, "valid", name=op.name)(x)
            case Cut():
                return layers.Cropping2D(_margins(op), name=op.name)(x)
            case Multiply():
                return layers.Multiply(name=op.name)(sources)
            case Add():
                return layers.Add(name=op.name)(sources)
            case Resize():
                return resize.Resize(*op.output[:2], name=op.name)(x)
            case Reshape():
                return layers.Reshape(op.output, name=op.name)(x)
            case Concatenate():
                return layers.Concatenate(1 + op.axis, name=op.name)(sources)
        raise ValueError(f"Unknown operator {op.kind!r}")

    def _conv(self, x: Tensor, op: Conv) -> Tensor:
        x, padding = self._pad(x, op)
        x = tf_keras.layers.Conv2D(
            op.output[2],
            op.kernel,
            op.stride,
            padding,
            dilation_rate=op.dilation,
            use_bias=op.bias or self.lowering is not None,
            kernel_initializer=self.initializers.get(op.name) or _he_fan_out(),
            bias_initializer=self.initializers.get(f"{op.name}_bias") or "zeros",
            name=op.name,
        )(x)
        return self.activation(self._batch_norm(x, op), op.name, op.activation)

    def _depthwise(self, x: Tensor, op: Depthwise) -> Tensor:
        x, padding = self._pad(x, op)
        x = tf_keras.layers.DepthwiseConv2D(
            op.kernel,
            op.stride,
            padding,
            dilation_rate=op.dilation,
            use_bias=self.lowering is not None,
            depthwise_initializer=_he_fan_out(),
            name=op.name,
        )(x)
        return self.activation(self._batch_norm(x, op), op.name, op.activation)

    def activation(self, x: Tensor, name: str, kind: str) -> Tensor:
        """The layers of an activation, after the convolution `name`."""
        layers, found = tf_keras.layers, activation(kind)
        if kind == LINEAR:
            return x
        if self.lowering and found.shift:  # which the bias has, so that this is left
            return LAYERS["relu6"](f"{name}_relu6")(x)
        if kind == "hard_swish" and self.lowering in ("composite", "equalized"):
            if self.lowering == "equalized" and name == STEM:
                gate = layers.DepthwiseConv2D(1, name=f"{name}_gate")(x)
                gate = layers.ReLU(6.0, name=f"{name}_gate_relu6")(gate)
            else:
                gate = ShiftedReLU6(name=f"{name}_shifted_relu6")(x)
            return layers.Multiply(name=f"{name}_hard_swish")([gate, x])
        return LAYERS[kind](f"{name}_{kind}")(x)

    def _batch_norm(self, x: Tensor, op: Convolution) -> Tensor:
        if self.lowering or op.bias:
            return x
        return tf_keras.layers.BatchNormalization(
            epsilon=self.batch_norm_epsilon, name=f"{op.name}_bn"
        )(x)

    def _pad(self, x: Tensor, op: Convolution) -> tuple[Tensor, str]:
        if op.zero:
            x = Shift(op.zero, name=f"{op.name}_shift")(x)
        margin = (op.kernel - 1) // 2 * op.dilation
        if self.padding == "same" or margin == 0:
            return x, "same"
        return tf_keras.layers.ZeroPadding2D(margin, name=f"{op.name}_pad")(x), "valid"


def last_layer(op: Operator, lowered: bool = False) -> str:
    """The layer that gives an operator's output.

    In a `lowered` network only where the activation is the same as in one that is not.
    """
    if op.activation != LINEAR:
        return f"{op.name}_{op.activation}"
    normed = isinstance(op, Convolution) and not op.bias and not lowered
    return f"{op.name}_bn" if normed else op.name


def _margins(op: Cut) -> tuple[tuple[int, int], tuple[int, int]]:
    """What a "cut" leaves out: above and below, left and right."""
    below, right = (
        whole - start - kept
        for whole, start, kept in zip(op.input[:2], op.corner, op.output[:2], strict=True)
    )
    return (op.corner[0], below), (op.corner[1], right)


def _he_fan_out() -> Any:
    return tf_keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
