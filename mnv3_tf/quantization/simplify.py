"""The same network with less in it: squeeze-excite parts that training has switched off.

Weight decay drives a gate that never helped to a constant: its kernel decays to nothing and its
bias stays, or it rests far within the flat part of the hard sigmoid. The released Small has a
branch of 120 such gates, and int8 fares badly with it: the scale of a tensor that is always zero
means nothing, and XNNPACK refuses the file. A constant factor of a channel belongs in the
projection's kernel instead, where it costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.weights.layer_arrays import LayerArrays, LayerWeights

LARGEST_MEAN = 100.0
"""No channel's mean over a picture is larger; over photographs the released Small's reach 25."""

LOWEST_MEAN = -0.375
"""The least value of h-swish; swish and the ReLUs stay above it."""

TOLERANCE = 1e-4
"""What a constant gate (0 to 1) may still change by, if every channel's mean were the largest.

On photographs means are far smaller, and what is lost is below 1e-6, near float32's rounding. In
the released Small this bound is 0 for 201 gates and 4.5e-5 for one (seen: 3e-7), which go;
1.9e-4 to 2.1e-4 for three (seen: 2e-5), which stay; and 0.05 to 1 for all others. For hidden
units, times the largest weight that reads them, it is 0 for 12, and 32 in the dead branch, then
0.008 and more.
"""


@dataclass(frozen=True)
class Simplified:
    """A network, its weights by layer and variable, and what was removed, for a report.

    `notes` has "squeeze_excite_removed", a list of blocks; "constant_gates" and
    "constant_hidden", how many by block, of branches that stay.
    """

    spec: NetworkSpec
    weights: LayerArrays
    notes: dict[str, Any]


REST = {"hard_sigmoid": (4.0, 1.0), "sigmoid": (0.0, 0.5)}
"""Bias of a gate that was folded away, and the gate's value then, which int8 computes exactly.

relu6(x + 3) ends at 6, the last step of its range, and is flat from 3 on; the 1 beyond keeps it
there whatever is rounded. TFLite's int8 sigmoid has steps of 1/256, up to 255/256: it has no 1,
but gives 1/2 at 0, which every range holds.
"""


@dataclass
class _Branch:
    """A squeeze-excite branch in float64: kernels (in, out) and biases (out,)."""

    squeeze: np.ndarray
    squeeze_bias: np.ndarray
    excite: np.ndarray
    excite_bias: np.ndarray

    def hidden_bounds(self, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and most that each hidden unit can be, (hidden,), for the largest `means`."""
        up, down = np.maximum(self.squeeze, 0), np.minimum(self.squeeze, 0)
        least = self.squeeze_bias + means @ down + LOWEST_MEAN * up.sum(0)
        most = self.squeeze_bias + means @ up + LOWEST_MEAN * down.sum(0)
        return np.maximum(least, 0), np.maximum(most, 0)


def simplify(spec: NetworkSpec, weights: LayerWeights) -> Simplified:
    """Takes constant squeeze-excite units, gates and whole branches out of a trained network.

    `weights` are {layer: {variable: array}} with BatchNorm, as `mnv3_tf.weights.collect` gives
    them; they are not changed. The logits of the result are the same but for rounding. With
    nothing to take out, the same spec and equal weights come back. A branch with weights that
    are not finite stays as it is, for `lowering` to name them.
    """
    slimmer, simplified = spec, {layer: dict(values) for layer, values in weights.items()}
    removed: list[str] = []
    constant_gates: dict[str, int] = {}
    constant_hidden: dict[str, int] = {}
    listed = operators(spec)
    for index, placed in enumerate(spec.placed_blocks()):
        if not placed.squeeze_width:
            continue
        name, parts = placed.name, {op.role: op.name for op in listed if op.stage == placed.name}
        first, second, project = parts["squeeze"], parts["excite"], parts["project"]
        branch = _Branch(*_in_float64(weights[first]), *_in_float64(weights[second]))
        means = _largest_means(weights[f"{parts['depthwise']}_bn"])
        if not all(np.isfinite(values).all() for values in (means, *vars(branch).values())):
            continue
        hidden = _fold_constant_hidden(branch, means)
        constant, factor = _constant_gates(branch, means, spec.gate)
        if constant.all():
            slimmer = slimmer.with_block(index, squeeze=0.0)
            del simplified[first], simplified[second]
            removed.append(name)
        elif constant.any() or hidden.any():
            branch.excite[:, constant] = 0
            branch.excite_bias[constant], rest = REST[spec.gate]
            factor = factor / rest
            simplified[first] = _like(weights[first], branch.squeeze, branch.squeeze_bias)
            simplified[second] = _like(weights[second], branch.excite, branch.excite_bias)
            constant_gates |= {name: int(constant.sum())} if constant.any() else {}
            constant_hidden |= {name: int(hidden.sum())} if hidden.any() else {}
        if constant.any():
            kernel = weights[project]["kernel"]
            scale = np.where(constant, factor, 1.0)[:, None]
            simplified[project]["kernel"] = (kernel * scale).astype(kernel.dtype)
    notes = {
        "squeeze_excite_removed": removed,
        "constant_gates": constant_gates,
        "constant_hidden": constant_hidden,
    }
    return Simplified(slimmer, simplified, notes)


def _largest_means(norm: Mapping[str, np.ndarray]) -> np.ndarray:
    """A generous bound of each channel's mean over a picture, (channels,).

    After BatchNorm a channel keeps about its beta and gamma, but weights with BatchNorm folded
    in say nothing there; hence no bound is below `LARGEST_MEAN`.
    """
    return np.maximum(LARGEST_MEAN, np.abs(norm["beta"]) + 10 * np.abs(norm["gamma"]))


def _fold_constant_hidden(branch: _Branch, means: np.ndarray) -> np.ndarray:
    """Moves hidden units that hardly matter into the gates' biases; which ones, (hidden,).

    Such a unit is then always zero, and unread. Its bias is -1, not 0, because the bias alone
    gives a kernel of zeros its int8 scale (`scheme.least_limits`), and 0 would leave it none.
    """
    least, most = branch.hidden_bounds(means)
    constant = (most - least) * np.abs(branch.excite).max(1) <= TOLERANCE
    value = np.maximum(branch.squeeze_bias[constant], 0)
    branch.excite_bias += value @ branch.excite[constant]
    branch.excite[constant] = 0
    branch.squeeze[:, constant] = 0
    branch.squeeze_bias[constant] = -1
    return constant


def _constant_gates(branch: _Branch, means: np.ndarray, gate: str) -> tuple[np.ndarray, np.ndarray]:
    """Which gates hardly change, and what each is where no hidden unit is active; (channels,)."""
    _, most = branch.hidden_bounds(means)
    low = _gate(branch.excite_bias + most @ np.minimum(branch.excite, 0), gate)
    high = _gate(branch.excite_bias + most @ np.maximum(branch.excite, 0), gate)
    return high - low <= TOLERANCE, _gate(branch.excite_bias, gate)


def _gate(x: np.ndarray, gate: str) -> np.ndarray:
    if gate == "hard_sigmoid":
        return np.clip(x + 3, 0, 6) / 6
    return 0.5 + 0.5 * np.tanh(x / 2)  # 1 / (1 + exp(-x)) without its overflow


def _in_float64(layer: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Copies of a 1x1 convolution's kernel, as a matrix, and of its bias."""
    kernel = layer["kernel"]
    return kernel.reshape(kernel.shape[-2:]).astype(np.float64), layer["bias"].astype(np.float64)


def _like(
    layer: Mapping[str, np.ndarray], kernel: np.ndarray, bias: np.ndarray
) -> dict[str, np.ndarray]:
    """`kernel` and `bias` in the shapes and types of `layer`."""
    return {
        "kernel": kernel.reshape(layer["kernel"].shape).astype(layer["kernel"].dtype),
        "bias": bias.astype(layer["bias"].dtype),
    }
