"""The activations: what each is made of in TFLite, and what lowering makes of it.

The Keras layers of the same names are in `mnv3_tf.layers.activations`. No TensorFlow here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mnv3_tf.errors import UserError

Lowering = Literal["fused", "composite", "equalized"]
"""How h-swish is written for TFLite: one HARD_SWISH operator, or ADD with RELU6 and then MUL.

"equalized" is "composite" with another gate in the stem: a 1x1 depthwise convolution in place of
the ADD, which lets the stem's channels be scaled each by itself (see `quantization.lowering`).
"""


@dataclass(frozen=True)
class Activation:
    """`title` is its name in figures.

    In TFLite it is `fused` onto the operator before it, or else the operators `then`, one after
    the other, with these `options`; `gated`: what they give is multiplied with what they are given.

    Lowered, it is given `shift` more and its values are `gain` times as large (`composite_gain`
    where h-swish is composite), which the biases and kernels around it make up for.

    A `homogeneous` one scales with what it is given, for factors above 0. A `gate` gives parts,
    from 0 to 1, and is for squeeze-excite alone.
    """

    title: str
    fused: str = "NONE"
    then: tuple[str, ...] = ()
    options: Mapping[str, float] = field(default_factory=dict)
    gated: bool = False
    shift: float = 0.0
    gain: float = 1.0
    composite_gain: float = 1.0
    homogeneous: bool = False
    gate: bool = False

    @property
    def fused_as_it_is(self) -> bool:
        """Whether nothing is left of it beside the operator before, nor has to be made up for."""
        return self.fused != "NONE" and not self.shift


LINEAR = "linear"
ACTIVATIONS: Mapping[str, Activation] = {
    LINEAR: Activation("linear", homogeneous=True),
    "relu": Activation("ReLU", "RELU", homogeneous=True),
    "relu6": Activation("ReLU6", "RELU6"),
    "hard_swish": Activation("h-swish", then=("HARD_SWISH",), composite_gain=6.0),
    "swish": Activation("swish", then=("LOGISTIC",), gated=True),
    "hard_sigmoid": Activation(
        "hard sigmoid", "RELU6", shift=3.0, gain=6.0, composite_gain=6.0, gate=True
    ),
    "sigmoid": Activation("sigmoid", then=("LOGISTIC",), gate=True),
}

GATES = tuple(name for name, activation in ACTIVATIONS.items() if activation.gate)
OF_BLOCKS = tuple(name for name in ACTIVATIONS if name not in (LINEAR, *GATES))
"""What stems, blocks and last stages may have."""


def activation(name: str) -> Activation:
    """Raises UserError for an unknown one, listing those there are."""
    if name not in ACTIVATIONS:
        raise UserError(f"Unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]
