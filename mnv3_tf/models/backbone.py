"""Everything before the pooling, with taps for detection and segmentation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tf_keras

from mnv3_tf.errors import UserError
from mnv3_tf.layers import LayerFactory, Lowering
from mnv3_tf.spec import NetworkSpec


@dataclass(frozen=True)
class Features:
    """Tensors of a backbone, (N, H / stride, W / stride, C).

    `endpoints` has them by layer name: "conv" (the stem), "expanded_conv_12" (a block's output),
    "expanded_conv_12_expand" (inside it, after the expansion's activation),
    "expanded_conv_12_depthwise" (after its activation, before squeeze-excite), "conv_1" (last).
    `by_stride` has the last one at each output stride.
    """

    endpoints: dict[str, Any]
    by_stride: dict[int, Any]

    @property
    def last(self) -> Any:
        return self.endpoints["conv_1"]


def layer_factory(spec: NetworkSpec, lowering: Lowering | None = None) -> LayerFactory:
    return LayerFactory(spec.padding, spec.batch_norm_epsilon, spec.gate, lowering)


def backbone(
    x: Any, spec: NetworkSpec, lowering: Lowering | None = None, output_stride: int = 32
) -> Features:
    """Applies the spec's layers up to the last convolution to `x`, (N, H, W, 3) in [-1, 1]."""
    make, stem = layer_factory(spec, lowering), spec.stem
    if lowering:
        # The range of the pictures is quantised like any other: as the output of a layer.
        x = tf_keras.layers.Activation("linear", name="input")(x)
    x = make.conv(x, "conv", stem.filters, stem.kernel, stem.stride, stem.activation)
    endpoints, by_stride, reached = {"conv": x}, {stem.stride: x}, stem.stride
    for placed in spec.placed_blocks(output_stride):
        x, inside = make.inverted_residual(x, placed)
        endpoints |= inside | {placed.name: x}
        reached = placed.output_stride
        by_stride[reached] = x
    x = make.conv(x, "conv_1", spec.last_conv, 1, 1, spec.last_activation)
    return Features(endpoints | {"conv_1": x}, by_stride | {reached: x})


def create_backbone(
    spec: NetworkSpec,
    taps: Sequence[int | str] | None = None,
    lowering: Lowering | None = None,
    output_stride: int = 32,
    resolution: tuple[int | None, int | None] = (None, None),
) -> tf_keras.Model:
    """A model from pictures (N, H, W, 3) in [-1, 1] to a dictionary of features.

    `taps` are output strides (8) and endpoint names ("expanded_conv_12_expand"); None is every
    output stride. Raises UserError for a tap that the network does not have.
    """
    inputs = tf_keras.Input((*resolution, 3), name="image")
    features = backbone(inputs, spec, lowering, output_stride)
    available: dict[Any, Any] = {**features.by_stride, **features.endpoints}
    chosen = list(features.by_stride) if taps is None else list(taps)
    for tap in chosen:
        if tap not in available:
            known = ", ".join(map(str, available))
            raise UserError(f"{spec.name} has no tap {tap!r}; choose among {known}.")
    outputs = {str(tap): available[tap] for tap in chosen}
    return tf_keras.Model(inputs, outputs, name=f"{spec.name}_backbone".replace(".", "_"))
