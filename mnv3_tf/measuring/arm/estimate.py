"""From what was counted to milliseconds, as far as published measurements carry."""

from dataclasses import dataclass
from typing import Literal

from mnv3_tf.measuring.arm.anchors import BUILTIN, XNNPACK
from mnv3_tf.measuring.arm.constants import Constants, CoreConstants, read
from mnv3_tf.measuring.arm.cores import Device
from mnv3_tf.measuring.arm.counting import Count

Grade = Literal["anchored", "borrowed", "none"]
"""Milliseconds stand on points of this core, precision and runtime; on those of other kernels or
other cores; or there are none, and instructions and ratios alone hold."""

COMPUTES_IN = {"none": "none", "float16": "none", "int8": "int8"}
"""The precision whose points a file stands on: float16 is unpacked before it runs. Files of other
kinds mix kernels that no point has."""

KERNELS = {XNNPACK: "XNNPACK's kernels", BUILTIN: "TFLite's built-in kernels"}
PRECISIONS = {"none": "float", "int8": "int8"}
FAMILIES = {
    "v1": "MobileNetV1",
    "v2": "V2",
    "large": "V3-Large",
    "small": "V3-Small",
    "mnasnet_a1": "MnasNet-A1",
}


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
    quantize, runtime = COMPUTES_IN.get(count.quantize), XNNPACK if delegate else BUILTIN
    wanted = (device.core.name, quantize, runtime)
    for row in read()["constants"]:
        if (row["core"], row["quantize"], row["runtime"]) == wanted:
            fitted = Constants(row["cycles"], row["ns_per_byte"])
            found = fitted.ms(count.instructions, count.weight_bytes, device.ghz)
            low, high = found / row["factor"], found * row["factor"]
            return Estimate(found, low, high, row["grade"], _extrapolated(row, count))
    return None


def _extrapolated(row: CoreConstants, count: Count) -> str | None:
    what = f"{PRECISIONS[row['quantize']]} by {KERNELS[row['runtime']]} on {row['core']}"
    if row["grade"] == "borrowed":
        return f"no measurement of {what} is known; its constants are of other cores or kernels"
    if len(row["families"]) < 3:
        of = " and ".join(FAMILIES[family] for family in row["families"])
        return f"what is published of {what} is {of} alone ({row['points']} points)"
    if not row["least"] / 2 <= count.instructions <= row["most"] * 2:
        return (
            f"{count.instructions / 1e6:.1f} million instructions are far from those of what is "
            f"published of {what}, {row['least'] / 1e6:.0f} to {row['most'] / 1e6:.0f}"
        )
    return None


PLAIN = "one instruction a cycle"
"""What takes the place of an estimate where somebody needs a number anyway, as a search does: its
ratios are those of instructions."""


def microseconds(count: Count, device: Device, delegate: bool = True) -> float:
    """The estimate's, or else PLAIN's."""
    found = estimate(count, device, delegate)
    return count.instructions / (1e3 * device.ghz) if found is None else found.ms * 1e3


def basis(device: Device) -> str:
    """What `microseconds` by XNNPACK stands on: "float anchored, int8 one instruction a cycle"."""
    grades = {
        row["quantize"]: row["grade"]
        for row in read()["constants"]
        if (row["core"], row["runtime"]) == (device.core.name, XNNPACK)
    }
    return ", ".join(f"{name} {grades.get(one, PLAIN)}" for one, name in PRECISIONS.items())
