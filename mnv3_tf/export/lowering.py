"""Weights of the lowered network, which computes what the trained one does.

Lowering is exact but for rounding. BatchNorm goes into the kernel and a bias. The hard-sigmoid
gate loses its +3 to the bias before it and its 1/6 to the projection after it, and a composite
h-swish loses its 1/6 to whatever convolution reads it; so a tensor of the lowered network is the
trained one's times a gain of 1, 6 or 36, which the next kernel takes out again.

The "equalized" lowering also scales the stem's channels, each by a factor of its own: with
y = x * relu6(x + 3), s y is (s x) * relu6(x + 3), and the gate's own convolution undoes the s.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tf_keras

from mnv3_tf import weights as weight_files
from mnv3_tf.errors import UserError
from mnv3_tf.layers import STEM, Lowering
from mnv3_tf.models import build_classifier
from mnv3_tf.spec import NetworkSpec

LayerWeights = Mapping[str, Mapping[str, np.ndarray]]
Folded = dict[str, dict[str, np.ndarray]]
Gain = Any  # a number, or one for each channel (C,)
ChannelGains = Mapping[str, np.ndarray]


def lowered_classifier(
    spec: NetworkSpec,
    trained: tf_keras.Model,
    lowering: Lowering,
    channel_gains: ChannelGains | None = None,
) -> tf_keras.Model:
    """The trained classifier without BatchNorm, ready for conversion, with the same logits.

    `channel_gains` scale channels each by itself, for whoever quantises them together: factors
    (C,) by the convolution that makes the tensor.
    """
    model = build_classifier(spec, lowering)
    folded = lower_weights(spec, weight_files.collect(trained), lowering, channel_gains)
    weight_files.assign_layers(model, folded)
    return model


def lower_weights(
    spec: NetworkSpec,
    trained: LayerWeights,
    lowering: Lowering,
    channel_gains: ChannelGains | None = None,
) -> Folded:
    """{layer: {"kernel", "bias"}} for `build_classifier(spec, lowering)`.

    Raises UserError for weights that are not finite.
    """
    gains = {"hard_swish": 1.0 if lowering == "fused" else 6.0}
    gate_gain = 6.0 if spec.gate == "hard_sigmoid" else 1.0
    folded: Folded = {}

    def fold(name: str, gain_in: Gain, gain_out: Gain = 1.0, shift: float = 0.0) -> None:
        kernel, bias = _without_batch_norm(trained, name, spec.batch_norm_epsilon)
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise UserError(
                f"The weights of layer {name} are not finite; they are damaged, so train or "
                "download them again."
            )
        # A kernel has the channels that it reads in its last axis but one, a depthwise one too.
        kernel = kernel / np.reshape(gain_in, (-1, 1))
        out_axis = (-1, 1) if name.endswith("_depthwise") else (-1,)
        kernel = kernel * np.reshape(gain_out, out_axis)
        folded[name] = {
            "kernel": kernel.astype(np.float32),
            "bias": _not_constant(((bias + shift) * gain_out).astype(np.float32)),
        }

    chosen = channel_gains or {}
    gain: Gain = gains.get(spec.stem.activation, 1.0)
    stem_gain = chosen.get(STEM, np.ones(spec.stem.filters))
    if lowering == "equalized" and spec.stem.activation == "hard_swish":
        folded[f"{STEM}_gate"] = {
            "kernel": (1 / stem_gain).reshape(1, 1, -1, 1).astype(np.float32),
            "bias": _not_constant(np.full(spec.stem.filters, 3.0, np.float32)),
        }
    fold(STEM, 1.0, stem_gain)
    gain = gain * stem_gain
    for placed in spec.placed_blocks():
        name, block_gain = placed.name, gains.get(placed.block.activation, 1.0)
        block_input_gain = gain
        if placed.has_expansion:
            own = chosen.get(f"{name}_expand", 1.0)
            fold(f"{name}_expand", gain, own)
            gain = block_gain * own
        own = chosen.get(f"{name}_depthwise", 1.0)
        fold(f"{name}_depthwise", gain, own)
        gain = block_gain * own
        if placed.squeeze_width:
            fold(f"{name}_squeeze_excite_conv", gain)
            shift = 3.0 if spec.gate == "hard_sigmoid" else 0.0
            fold(f"{name}_squeeze_excite_conv_1", 1.0, shift=shift)
            gain = gain * gate_gain
        # A residual adds the block's input as it is, gain and all.
        own = block_input_gain if placed.residual else chosen.get(f"{name}_project", 1.0)
        fold(f"{name}_project", gain, own)
        gain = own
    fold("conv_1", gain)
    gain = gains.get(spec.last_activation, 1.0)
    if spec.hidden:
        fold("conv_2", gain)
        gain = gains.get(spec.last_activation, 1.0)
    fold("logits", gain)
    return folded


def _not_constant(bias: np.ndarray) -> np.ndarray:
    """The bias, with one value a little off where all are equal and not zero.

    TensorFlow 2.21's converter writes a bias whose values are all the same as one value, and
    quantises it by the scale of the first channel alone. A gate's +3 on a fresh bias is such.
    """
    if bias[0] != 0 and (bias == bias[0]).all() and len(bias) > 1:
        bias[0] = np.nextafter(bias[0], np.float32(np.inf))
    return bias


def _without_batch_norm(
    trained: LayerWeights, name: str, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias in float64 with the BatchNorm that follows, if any, folded in."""
    kernel = trained[name]["kernel"].astype(np.float64)
    if f"{name}_bn" not in trained:
        return kernel, trained[name]["bias"].astype(np.float64)
    norm = {key: value.astype(np.float64) for key, value in trained[f"{name}_bn"].items()}
    scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + epsilon)
    per_channel = scale[:, None] if name.endswith("_depthwise") else scale
    return kernel * per_channel, norm["beta"] - norm["moving_mean"] * scale
