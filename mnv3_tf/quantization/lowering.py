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
from mnv3_tf.layers import STEM
from mnv3_tf.models import build
from mnv3_tf.networks.activations import Lowering, activation
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import IMAGE, Add, Convolution, Depthwise, Multiply
from mnv3_tf.tasks.specs import Spec, for_phones
from mnv3_tf.weights.layer_arrays import LayerArrays, LayerWeights

Gain = Any  # a number, or one for each channel (C,)
ChannelGains = Mapping[str, np.ndarray]


def lowered_model(
    spec: Spec,
    trained: tf_keras.Model,
    lowering: Lowering,
    channel_gains: ChannelGains | None = None,
) -> tf_keras.Model:
    """The trained network without BatchNorm, ready for conversion, with the same answers.

    `channel_gains` scale channels each by itself, for whoever quantises them together: factors
    (C,) by the convolution that makes the tensor.
    """
    model = build(for_phones(spec), lowering)
    folded = lower_weights(spec, weight_files.collect(trained), lowering, channel_gains)
    weight_files.assign_layers(model, folded)
    return model


def lower_weights(
    spec: Spec,
    trained: LayerWeights,
    lowering: Lowering,
    channel_gains: ChannelGains | None = None,
) -> LayerArrays:
    """{layer: {"kernel", "bias"}} for `build(for_phones(spec), lowering)`.

    Raises UserError for weights that are not finite.
    """
    network, chosen = spec.backbone, channel_gains or {}
    listed = operators(for_phones(spec))
    # What an ADD adds to something must have its gain.
    added_to = {op.reads[1]: op.reads[0] for op in listed if isinstance(op, Add)}
    gains: dict[str, Gain] = {IMAGE: 1.0}
    folded: LayerArrays = {}
    for op in listed:
        read = gains[op.reads[0]]
        if isinstance(op, Convolution):
            kind = activation(op.activation)
            own = gains[added_to[op.name]] if op.name in added_to else chosen.get(op.name, 1.0)
            kernel, bias = _without_batch_norm(trained, op, network.batch_norm_epsilon)
            _require_finite(op.name, kernel, bias)
            # A kernel has the channels that it reads in its last axis but one, a depthwise one too.
            kernel = kernel / np.reshape(read, (-1, 1))
            kernel = kernel * np.reshape(own, (-1, 1) if isinstance(op, Depthwise) else (-1,))
            folded[op.name] = {
                "kernel": kernel.astype(np.float32),
                "bias": _not_constant(((bias + kind.shift) * own).astype(np.float32)),
            }
            gains[op.name] = own * (kind.gain if lowering == "fused" else kind.composite_gain)
        elif isinstance(op, Multiply):
            gains[op.name] = read * gains[op.reads[1]]
        else:
            gains[op.name] = read
    if lowering == "equalized" and network.stem.activation == "hard_swish":
        stem_gain = chosen.get(STEM, np.ones(network.stem.filters))
        folded[f"{STEM}_gate"] = {
            "kernel": (1 / stem_gain).reshape(1, 1, -1, 1).astype(np.float32),
            "bias": _not_constant(np.full(network.stem.filters, 3.0, np.float32)),
        }
    return folded


def _require_finite(name: str, kernel: np.ndarray, bias: np.ndarray) -> None:
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise UserError(
            f"The weights of layer {name} are not finite; they are damaged, so train or "
            "download them again."
        )


def _not_constant(bias: np.ndarray) -> np.ndarray:
    """The bias, with one value a little off where all are equal and not zero.

    TensorFlow 2.21's converter writes a bias whose values are all the same as one value, and
    quantises it by the scale of the first channel alone. A gate's +3 on a fresh bias is such.
    """
    if bias[0] != 0 and (bias == bias[0]).all() and len(bias) > 1:
        bias[0] = np.nextafter(bias[0], np.float32(np.inf))
    return bias


def _without_batch_norm(
    trained: LayerWeights, op: Convolution, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias in float64 with the BatchNorm that follows, if any, folded in."""
    name = op.name
    kernel = trained[name]["kernel"].astype(np.float64)
    if f"{name}_bn" not in trained:
        return kernel, trained[name]["bias"].astype(np.float64)
    norm = {key: value.astype(np.float64) for key, value in trained[f"{name}_bn"].items()}
    scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + epsilon)
    per_channel = scale[:, None] if isinstance(op, Depthwise) else scale
    return kernel * per_channel, norm["beta"] - norm["moving_mean"] * scale
