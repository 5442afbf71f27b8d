"""From what was counted to milliseconds, as far as published measurements carry."""

from dataclasses import dataclass
from typing import Literal

from mnv3_tf.measuring.arm.cores import Device
from mnv3_tf.measuring.arm.counting import Count

Grade = Literal["anchored", "borrowed", "none"]
"""Milliseconds stand on points of this core, dtype and runtime; on those of other kernels, another
dtype or other cores; or there are none, and instructions and ratios alone hold."""


@dataclass(frozen=True)
class Estimate:
    """`low` and `high` bound nine tenths of networks that were left out of the fit.

    `extrapolated` says in words what the points do not cover, None where they do.
    """

    ms: float
    low: float
    high: float
    grade: Grade
    extrapolated: str | None = None


def estimate(count: Count, device: Device, delegate: bool = True) -> Estimate | None:
    """Of an inference by XNNPACK, or by TFLite's built-in kernels; None of what has no points."""
    return None


PLAIN = "one instruction a cycle"
"""What takes the place of an estimate where somebody needs a number anyway, as a search does: its
ratios are those of instructions."""


def microseconds(count: Count, device: Device, delegate: bool = True) -> float:
    """The estimate's, or else PLAIN's."""
    found = estimate(count, device, delegate)
    return count.instructions / (1e3 * device.ghz) if found is None else found.ms * 1e3
