"""All constants from all points, and how far to trust them: from what was left out of the fit."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from mnv3_tf.measuring.arm import fit
from mnv3_tf.measuring.arm.anchors import BUILTIN, XNNPACK, Point
from mnv3_tf.measuring.arm.constants import CoreConstants, Errors, Fitted
from mnv3_tf.measuring.arm.cores import CORES
from mnv3_tf.measuring.arm.fit import Fit, LeftOut

HELD = 0.9
"""The part of left-out points that an interval is to hold."""
UNKNOWN = math.log(2)
"""Of an interval where nothing could be left out: half to twice."""
ENOUGH = 8
"""Points of a core, with a precision and runtime, from which its own errors make its interval."""
DIGITS = 5
"""Fewer than computers differ in."""

MEASURES = {"instructions": fit.by_instructions, "macs": fit.by_macs}


def make(points: Sequence[Point], counted_with: str) -> Fitted:
    """Fits all points, then without each part of them."""
    whole = Fit(points)
    missed = {
        (part, by): list(fit.left_out(points, part_of, measure))
        for part, part_of in fit.PARTS.items()
        for by, measure in MEASURES.items()
    }
    return {
        "counted_with": counted_with,
        "constants": list(_constants(whole, points, missed)),
        "errors": [row for (part, by), some in missed.items() for row in _errors(part, by, some)],
    }


Missed = dict[tuple[str, str], list[LeftOut]]


def _constants(whole: Fit, points: Sequence[Point], missed: Missed) -> Iterable[CoreConstants]:
    for core in CORES.values():
        for quantize in ("none", "int8"):
            for runtime in (XNNPACK, BUILTIN):
                found = whole.constants(core, quantize, runtime)
                if found is None:
                    continue
                group = (core.name, quantize, runtime)
                own = [point for point in points if fit.group_of(point) == group]
                instructions = [point.instructions for point in own] or [0]
                yield {
                    "core": core.name,
                    "quantize": quantize,
                    "runtime": runtime,
                    "cycles": round(found.cycles, DIGITS),
                    "ns_per_byte": round(found.ns_per_byte, DIGITS),
                    "grade": "anchored" if own else "borrowed",
                    "points": len(own),
                    "families": sorted({point.published.network.family for point in own}),
                    "least": min(instructions),
                    "most": max(instructions),
                    "factor": round(math.exp(_half_width(group, bool(own), missed)), DIGITS),
                }


def _half_width(group: fit.Group, anchored: bool, missed: Missed) -> float:
    """Of an interval, in logarithms.

    From the errors of the group's own left-out networks where they are enough, else of those of
    all cores with its precision and runtime; of a borrowed one, of whole cores left out.
    """
    some = missed["network" if anchored else "core", "instructions"]
    alike = [one for one in some if fit.group_of(one.point)[1:] == group[1:]]
    own = [one for one in alike if fit.group_of(one.point) == group]
    return bound(own if len(own) >= ENOUGH else alike or some)


def bound(some: Sequence[LeftOut]) -> float:
    """What `HELD` of further points would stay below: a quantile with one point more."""
    errors = sorted(abs(one.log_error) for one in some)
    if not errors:
        return UNKNOWN
    return errors[min(len(errors), math.ceil(HELD * (len(errors) + 1))) - 1]


def _errors(part: str, by: str, some: Sequence[LeftOut]) -> Iterable[Errors]:
    groups: dict[tuple[str, str, str | None], list[LeftOut]] = {}
    for one in some:
        core, quantize, runtime = fit.group_of(one.point)
        for name in (None, core):
            groups.setdefault((quantize, runtime, name), []).append(one)
    for (quantize, runtime, name), missed in groups.items():
        errors = [abs(math.expm1(one.log_error)) for one in missed]
        yield {
            "left_out": part,
            "by": by,
            "quantize": quantize,
            "runtime": runtime,
            "core": name,
            "points": len(missed),
            "median": round(float(np.median(errors)), DIGITS),
            "p90": round(float(np.quantile(errors, HELD)), DIGITS),
            "worst": round(max(errors), DIGITS),
            "held": _held(missed) if by == "instructions" else None,
        }


def _held(missed: Sequence[LeftOut]) -> float | None:
    """The part of points within the bound that the others make."""
    if len(missed) < 2:
        return None
    within = [
        abs(one.log_error) <= bound([other for other in missed if other is not one])
        for one in missed
    ]
    return round(float(np.mean(within)), DIGITS)
