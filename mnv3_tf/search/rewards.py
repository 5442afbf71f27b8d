"""What a search maximises: accuracy, weighed against latency. No TensorFlow here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mnv3_tf.errors import UserError

STRENGTHS: Mapping[str, float] = {"mnasnet": -0.07, "absolute": -0.1}
"""Of each kind, the usual strength: MobileNetV3-Large's exponent, which was -0.15 for Small, and
the default of TuNAS' `mobile_architecture_search.py`."""


def mnasnet(accuracy: float, latency: float, target: float, exponent: float) -> float:
    """Accuracy times (latency / target) to `exponent`.

    Tan et al. 2019, section 3, with a soft constraint; exponents in Howard et al. 2019, section
    4.1: at -0.07, twice the latency is worth 5 % more accuracy.
    """
    return float(accuracy * (latency / target) ** exponent)


def absolute(accuracy: float, latency: float, target: float, slope: float) -> float:
    """Accuracy plus `slope` for each part of the target by which it is missed.

    Bender et al. 2020 (TuNAS). The best networks have the target's latency, to which
    the other reward holds none.
    """
    return accuracy + slope * abs(latency / target - 1)


KINDS = {"mnasnet": mnasnet, "absolute": absolute}


@dataclass(frozen=True)
class Reward:
    """Of a network, from its accuracy (0 to 1) and its latency in the unit of `target`.

    `strength` is the exponent of "mnasnet" or the slope of "absolute", either below 0. Raises
    UserError for values out of range.
    """

    kind: str
    target: float
    strength: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"Unknown reward {self.kind!r}; choose one of {', '.join(KINDS)}.")
        if not 0 < self.target < math.inf:
            raise UserError(
                f"The reward's target is {self.target}; give a latency above 0, as that of a "
                "network like those you want."
            )
        if not -math.inf < self.strength < 0:
            raise UserError(
                f"The reward's strength is {self.strength}; give one below 0, as "
                f"{STRENGTHS[self.kind]}, so that latency counts against a network."
            )

    def __call__(self, accuracy: float, latency: float) -> float:
        if not 0 < latency < math.inf:
            raise UserError(f"A latency of {latency} has no reward; it must be above 0.")
        return KINDS[self.kind](accuracy, latency, self.target, self.strength)
