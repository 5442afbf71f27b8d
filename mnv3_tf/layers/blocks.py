"""Convolutions, squeeze-excite and inverted residuals, for training and lowered for export.

Layers are named as in keras.applications (`expanded_conv_3_depthwise`, `..._depthwise_bn`).
"""

from dataclasses import dataclass
from typing import Any, Literal

import tf_keras

from mnv3_tf.layers.activations import HardSigmoid, HardSwish, ShiftedReLU6
from mnv3_tf.spec import PlacedBlock

Lowering = Literal["fused", "composite", "equalized"]
"""How h-swish is written for TFLite: one HARD_SWISH operator, or ADD with RELU6 and then MUL.

"equalized" is "composite" with another gate in the stem: a 1x1 depthwise convolution in place of
the ADD, which lets the stem's channels be scaled each by itself (see `export.lowering`).
"""

STEM = "conv"
"""The name of a network's first convolution."""

Tensor = Any  # a symbolic Keras tensor, (N, H, W, C)


@dataclass(frozen=True)
class LayerFactory:
    """Makes the layers of one network.

    With `lowering` None these are the layers that are trained. Lowered, BatchNorm is gone (the
    convolutions have biases), a hard-sigmoid gate is a plain ReLU6, six times too large and with
    its +3 in the bias before it, and a composite h-swish is six times too large as well:
    `mnv3_tf.export.lowering` writes weights that make up for it exactly.
    """

    padding: str = "same"
    batch_norm_epsilon: float = 1e-3
    gate: str = "hard_sigmoid"
    lowering: Lowering | None = None

    def conv(
        self,
        x: Tensor,
        name: str,
        filters: int,
        kernel: int,
        stride: int,
        activation: str,
    ) -> Tensor:
        """Convolution, BatchNorm, activation ("linear" for none)."""
        x, padding = self._pad(x, name, kernel, 1)
        x = tf_keras.layers.Conv2D(
            filters,
            kernel,
            stride,
            padding,
            use_bias=self.lowering is not None,
            kernel_initializer=_he_fan_out(),
            name=name,
        )(x)
        return self.activation(self._batch_norm(x, name), name, activation)

    def depthwise(
        self, x: Tensor, name: str, kernel: int, stride: int, dilation: int, activation: str
    ) -> Tensor:
        """Depthwise convolution, BatchNorm, activation."""
        x, padding = self._pad(x, name, kernel, dilation)
        x = tf_keras.layers.DepthwiseConv2D(
            kernel,
            stride,
            padding,
            dilation_rate=dilation,
            use_bias=self.lowering is not None,
            depthwise_initializer=_he_fan_out(),
            name=name,
        )(x)
        return self.activation(self._batch_norm(x, name), name, activation)

    def dense(
        self, x: Tensor, name: str, units: int, activation: str, initializer: Any = None
    ) -> Tensor:
        """A dense layer on pooled features, written as a 1x1 convolution with a bias."""
        x = tf_keras.layers.Conv2D(
            units, 1, kernel_initializer=initializer or _he_fan_out(), name=name
        )(x)
        return self.activation(x, name, activation)

    def squeeze_excite(self, x: Tensor, name: str, width: int) -> Tensor:
        """Channels of `x` scaled by a gate from their means (section 5.3)."""
        gate = tf_keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
        gate = self.dense(gate, f"{name}_conv", width, "relu")
        gate = self.dense(gate, f"{name}_conv_1", x.shape[-1], self.gate)
        return tf_keras.layers.Multiply(name=f"{name}_multiply")([x, gate])

    def inverted_residual(self, x: Tensor, placed: PlacedBlock) -> tuple[Tensor, dict[str, Tensor]]:
        """One block, and the tensors inside it that other networks tap, by layer name."""
        block, name, block_input, inside = placed.block, placed.name, x, {}
        if placed.has_expansion:
            x = self.conv(x, f"{name}_expand", block.expansion, 1, 1, block.activation)
            inside[f"{name}_expand"] = x
        x = self.depthwise(
            x, f"{name}_depthwise", block.kernel, placed.stride, placed.dilation, block.activation
        )
        inside[f"{name}_depthwise"] = x
        if placed.squeeze_width:
            x = self.squeeze_excite(x, f"{name}_squeeze_excite", placed.squeeze_width)
        x = self.conv(x, f"{name}_project", block.filters, 1, 1, "linear")
        if placed.residual:
            x = tf_keras.layers.Add(name=f"{name}_add")([block_input, x])
        return x, inside

    def activation(self, x: Tensor, name: str, activation: str) -> Tensor:
        layers = tf_keras.layers
        match activation:
            case "linear":
                return x
            case "relu":
                return layers.ReLU(name=f"{name}_relu")(x)
            case "relu6":
                return layers.ReLU(6.0, name=f"{name}_relu6")(x)
            case "swish":
                return layers.Activation("swish", name=f"{name}_swish")(x)
            case "sigmoid":
                return layers.Activation("sigmoid", name=f"{name}_sigmoid")(x)
            case "hard_sigmoid" if self.lowering:
                return layers.ReLU(6.0, name=f"{name}_relu6")(x)
            case "hard_sigmoid":
                return HardSigmoid(name=f"{name}_hard_sigmoid")(x)
            case "hard_swish" if self.lowering == "equalized" and name == STEM:
                gate = layers.DepthwiseConv2D(1, name=f"{name}_gate")(x)
                gate = layers.ReLU(6.0, name=f"{name}_gate_relu6")(gate)
                return layers.Multiply(name=f"{name}_hard_swish")([gate, x])
            case "hard_swish" if self.lowering in ("composite", "equalized"):
                gate = ShiftedReLU6(name=f"{name}_shifted_relu6")(x)
                return layers.Multiply(name=f"{name}_hard_swish")([gate, x])
            case "hard_swish":
                return HardSwish(name=f"{name}_hard_swish")(x)
        raise ValueError(f"Unknown activation {activation!r}")

    def _batch_norm(self, x: Tensor, name: str) -> Tensor:
        if self.lowering:
            return x
        return tf_keras.layers.BatchNormalization(
            epsilon=self.batch_norm_epsilon, name=f"{name}_bn"
        )(x)

    def _pad(self, x: Tensor, name: str, kernel: int, dilation: int) -> tuple[Tensor, str]:
        margin = (kernel - 1) // 2 * dilation
        if self.padding == "same" or margin == 0:
            return x, "same"
        return tf_keras.layers.ZeroPadding2D(margin, name=f"{name}_pad")(x), "valid"


def _he_fan_out() -> Any:
    return tf_keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
