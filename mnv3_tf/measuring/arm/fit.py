"""From published latencies to two constants a core: cycles an instruction, nanoseconds a byte.

An inference of I instructions and W bytes of weights, read once each, takes
`cycles * I / GHz + ns_per_byte * W`. Every core has the two for each precision and each runtime's
kernels. Their logarithms have normal priors: about those of its kind (big or little) with that
precision and runtime, moved by what is the core's own in all of them. So what a core's few points
leave open the other cores decide, and its own other points. Phones of one core differ by a factor.

Errors are of points left out: all of a network, of a family of networks, or of a core with that
precision and runtime. The same with MACs in place of instructions and bytes shows what counting is
worth.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.optimize import least_squares  # type: ignore[import-untyped]

from mnv3_tf.measuring.arm.anchors import Point
from mnv3_tf.measuring.arm.constants import Constants
from mnv3_tf.measuring.arm.cores import Core

Array = Any

NOISE = 0.03
"""Of a latency about the two constants, as a part of it. Outliers weigh less than its square."""
OWN, CORE, PHONE = (0.05, 0.1), (0.4, 0.4), 0.1
KIND = (1.0, 0.3)
"""Spreads of logarithms, of cycles and of bytes: of a core's constants with one precision and
runtime about what its kind and the core itself let expect, of cores about their kind, of kinds
about `START` (a byte comes at much the same pace whatever computes on it), and of phones."""
START = (0.7, 0.25)
"""Cycles an instruction and nanoseconds a byte."""

Group = tuple[str, str, str]
"""Core, precision and runtime."""


def group_of(point: Point) -> Group:
    one = point.published
    return one.core.name, one.network.quantize, one.network.runtime


Measure = Callable[[Point], tuple[float, float]]
"""What a point's time is taken to grow with: instructions and bytes, or something simpler."""


def by_instructions(point: Point) -> tuple[float, float]:
    return point.instructions, point.weight_bytes


def by_macs(point: Point) -> tuple[float, float]:
    """MACs alone; a byte weighs nothing."""
    return point.macs, 0.0


class Fit:
    """The constants that the points let expect."""

    def __init__(self, points: Sequence[Point], measure: Measure = by_instructions) -> None:
        self._groups, self._kinds = _Numbers[Group](), _Numbers[tuple[object, ...]]()
        self._cores, self._phones = _Numbers[int](), _Numbers[tuple[str, str]]()
        group = [self._groups[group_of(point)] for point in points]
        phone = [self._phones[_phone(point)] for point in points]
        cores = {point.published.core.name: point.published.core for point in points}
        kind = [self._kinds[_kind(cores[name], q, runtime)] for name, q, runtime in self._groups]
        core = [self._cores[cores[name].part] for name, *_ in self._groups]
        self._sizes = np.array([len(self._groups), len(self._kinds), len(self._cores)])

        begin = np.zeros(2 * self._sizes.sum() + len(self._phones))
        for pair in self._divided(begin)[:2]:
            pair[:] = np.log(START)[:, np.newaxis]
        priors = self._priors(np.array(kind), np.array(core))
        work = np.array([measure(point) for point in points], float).T / 1e6
        work[0] /= [point.published.ghz for point in points]
        taken = np.log([point.published.ms for point in points])
        centred = _centred([name for name, _ in self._phones])

        def residuals(values: Array) -> Array:
            groups, *_, phones = self._divided(values)
            logs = np.log((np.exp(groups[:, group]) * work).sum(0)) + (centred @ phones)[phone]
            return np.concatenate([_soft((logs - taken) / NOISE)[0], priors @ (values - begin)])

        def slopes(values: Array) -> Array:
            groups, *_, phones = self._divided(values)
            terms = np.exp(groups[:, group]) * work
            data = np.zeros((len(points), len(values)))
            for of_term, share in zip(self._divided(data.T)[0], terms / terms.sum(0), strict=True):
                of_term[group, range(len(points))] = share
            self._divided(data.T)[-1][:] = centred[phone].T
            logs = np.log(terms.sum(0)) + (centred @ phones)[phone]
            weight = _soft((logs - taken) / NOISE)[1] / NOISE
            return np.concatenate([weight[:, np.newaxis] * data, priors])

        found = self._divided(least_squares(residuals, begin, slopes).x)
        self._of_groups, self._of_kinds, self._of_cores, of_phones = found
        self._of_phones = centred @ of_phones

    def _divided(self, values: Array) -> list[Array]:
        """Views of what is one after the other: of groups, kinds and cores, (2, number), each the
        logarithms of cycles and of nanoseconds; and of phones. All have the other dimensions too.
        """
        *pairs, phones = np.split(values, 2 * np.cumsum(self._sizes))
        return [*(pair.reshape(2, -1, *values.shape[1:]) for pair in pairs), phones]

    def _priors(self, kind: Array, core: Array) -> Array:
        """What, times the distance from the beginning, has a deviation of 1: a group's constants
        are about those of its kind and what is the core's own together, all others about there.
        """
        spreads = np.repeat([*OWN, *KIND, *CORE], np.repeat(self._sizes, 2))
        spreads = np.concatenate([spreads, np.full(len(self._phones), PHONE)])
        priors = np.eye(len(spreads))
        groups, kinds, cores, _ = self._divided(np.arange(len(spreads)))
        for rows, of_kinds, of_cores in zip(groups, kinds, cores, strict=True):
            priors[rows, of_kinds[kind]] = priors[rows, of_cores[core]] = -1
        return priors / spreads[:, np.newaxis]

    def constants(self, core: Core, quantize: str, runtime: str) -> Constants | None:
        """Of a core with points of that, else borrowed; None where no core of its kind has any."""
        group, kind = (core.name, quantize, runtime), _kind(core, quantize, runtime)
        if group in self._groups:
            return _constants(self._of_groups[:, self._groups[group]])
        if kind not in self._kinds:
            return None
        logs = self._of_kinds[:, self._kinds[kind]]
        if core.part in self._cores:
            logs = logs + self._of_cores[:, self._cores[core.part]]
        return _constants(logs)

    def phone_factor(self, point: Point) -> float:
        """How much slower its phone is than others of that core; 1 of a phone without points."""
        phone = _phone(point)
        return float(np.exp(self._of_phones[self._phones[phone]])) if phone in self._phones else 1.0

    @property
    def groups(self) -> list[Group]:
        return list(self._groups)


Name = TypeVar("Name")


class _Numbers(dict[Name, int]):
    """Numbers names in the order in which they are asked for."""

    def __missing__(self, name: Name) -> int:
        self[name] = len(self)
        return self[name]


def _kind(core: Core, quantize: str, runtime: str) -> tuple[object, ...]:
    """Kernels with dot products are a kind of their own."""
    return core.kind, quantize, runtime, core.dot and quantize == "int8"


def _phone(point: Point) -> tuple[str, str]:
    return point.published.core.name, f"{point.published.phone} {point.published.ghz:g}"


def _centred(cores: Sequence[str]) -> Array:
    """Takes off phones' factors the mean of their core's: its constants are in their middle."""
    alike = np.equal.outer(cores, cores).astype(float)
    return np.eye(len(alike)) - alike / alike.sum(1, keepdims=True)


def _constants(logs: Array) -> Constants:
    return Constants(*map(float, np.exp(logs)))


def _soft(residuals: Array) -> tuple[Array, Array]:
    """Residuals whose squares sum to 2 (sqrt(1 + r^2) - 1), and their slopes: an outlier has but a
    linear say.
    """
    root = np.sqrt(1 + residuals**2)
    # r / sqrt(root + 1) times sqrt(2) is sqrt(2 (root - 1)) with its sign, and finite at 0.
    slopes = np.sqrt((root + 1) / 2) / root
    return residuals * np.sqrt(2 / (root + 1)), slopes


@dataclass(frozen=True)
class LeftOut:
    """A point, and the milliseconds that the others let expect."""

    point: Point
    ms: float

    @property
    def log_error(self) -> float:
        return float(np.log(self.ms / self.point.published.ms))


def left_out(
    points: Sequence[Point], part_of: Callable[[Point], Hashable], measure: Measure
) -> Iterator[LeftOut]:
    """Every point, as predicted without all that are of the same part."""
    for part in dict.fromkeys(map(part_of, points)):
        rest = [point for point in points if part_of(point) != part]
        if not rest:
            continue
        fit = Fit(rest, measure)
        for point in points:
            if part_of(point) == part:
                one, (instructions, weights) = point.published, measure(point)
                found = fit.constants(one.core, one.network.quantize, one.network.runtime)
                if found:
                    ms = found.ms(instructions, weights, one.ghz) * fit.phone_factor(point)
                    yield LeftOut(point, ms)


PARTS: dict[str, Callable[[Point], Hashable]] = {
    "network": lambda point: point.published.network.name,
    "family": lambda point: point.published.network.family,
    "core": group_of,
}
"""What is left out at a time."""
