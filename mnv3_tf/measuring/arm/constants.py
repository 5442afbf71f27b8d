"""The fitted constants of every core and how far to trust them: constants.json, made by
`python -m benchmark arm --fit` and read by `estimate`."""

import functools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TypedDict, cast

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.files import read_object, write_json
from mnv3_tf.measuring.arm import fit
from mnv3_tf.measuring.arm.anchors import BUILTIN, HERE, XNNPACK, Point
from mnv3_tf.measuring.arm.cores import CORES
from mnv3_tf.measuring.arm.fit import Fit, LeftOut

REMEDY = "make it with python -m benchmark arm --fit"
FITTED = HERE / "constants.json"
HELD = 0.9
"""The part of left-out points that an interval is to hold."""
UNKNOWN = math.log(2)
"""Of an interval where nothing could be left out: half to twice."""
ENOUGH = 8
"""Points of a core, with a precision and runtime, from which its own errors make its interval."""

Known = Literal["anchored", "borrowed"]


class CoreConstants(TypedDict):
    """`grade` is "anchored" with points of this core, precision and runtime, `points` so many, of
    the `families`; their instructions go from `least` to `most`, 0 of a borrowed one.

    An interval goes from ms / `factor` to ms * `factor`.
    """

    core: str
    quantize: str
    runtime: str
    cycles: float
    ns_per_byte: float
    grade: Known
    points: int
    families: list[str]
    least: int
    most: int
    factor: float


class Errors(TypedDict):
    """Of points left out, of a precision and runtime: parts of the published time.

    `core` is None for all cores together. `held` is the part within the interval that all others
    make, None where `by` is "macs", which has none.
    """

    left_out: str
    by: str
    quantize: str
    runtime: str
    core: str | None
    points: int
    median: float
    p90: float
    worst: float
    held: float | None


class Fitted(TypedDict):
    counted_with: str
    constants: list[CoreConstants]
    errors: list[Errors]


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


def write(found: Fitted, path: Path = FITTED) -> None:
    write_json(path, found)


@functools.cache
def read(path: Path = FITTED) -> Fitted:
    """Raises UserError where they were not fitted."""
    found = read_object(path, REMEDY)
    if found is None:
        raise UserError(f"There is no {path}; {REMEDY}.")
    return cast(Fitted, found)


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
                    "cycles": found.cycles,
                    "ns_per_byte": found.ns_per_byte,
                    "grade": "anchored" if own else "borrowed",
                    "points": len(own),
                    "families": sorted({point.published.network.family for point in own}),
                    "least": min(instructions),
                    "most": max(instructions),
                    "factor": math.exp(_half_width(group, bool(own), missed)),
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
            "median": float(np.median(errors)),
            "p90": float(np.quantile(errors, HELD)),
            "worst": max(errors),
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
    return float(np.mean(within))
