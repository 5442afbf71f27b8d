"""Medians and ratios of interleaved timings, with confidence intervals.

Timings within a burst share the machine's mood of that moment, so they are not independent; the
rounds nearly are. The bootstrap therefore draws whole rounds with replacement (a cluster
bootstrap, percentile intervals: Efron and Tibshirani 1993, chapters 8 and 13).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

Rounds = npt.NDArray[np.float64]
"""(rounds, invocations per round), in any unit of time."""

RESAMPLES = 2000
FEWEST_ROUNDS = 5


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float


def median(rounds: Rounds, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """The median of everything, and an interval that allows for rounds that differ."""
    draws = _draws(len(rounds), seed)
    medians = np.array([np.median(rounds[draw]) for draw in draws])
    return _estimate(float(np.median(rounds)), medians, confidence)


def ratio(rounds: Rounds, baseline: Rounds, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """The median over rounds of median(rounds) / median(baseline), paired round by round.

    What slows down both in the same round cancels.
    """
    if len(rounds) != len(baseline):
        raise ValueError(f"{len(rounds)} rounds cannot be paired with {len(baseline)}.")
    ratios = np.median(rounds, axis=1) / np.median(baseline, axis=1)
    medians = np.median(ratios[_draws(len(ratios), seed)], axis=1)
    return _estimate(float(np.median(ratios)), medians, confidence)


def unpaired_ratio(
    rounds: Rounds, baseline: Rounds, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """median(rounds) / median(baseline), of two measurements that nothing pairs."""
    value = float(np.median(rounds) / np.median(baseline))
    pairs = zip(_draws(len(rounds), seed), _draws(len(baseline), seed + 1), strict=True)
    ratios = np.array([np.median(rounds[a]) / np.median(baseline[b]) for a, b in pairs])
    return _estimate(value, ratios, confidence)


FULL_PACE = 0.1
"""A quantile of inferences. On a shared machine most of them are slowed by others, by a third and
more for seconds; medians of one measurement and the next then differ by 10 %, while this quantile
mostly stays within 2 %."""


def full_pace(rounds: Rounds, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """What an inference takes while nobody slows the machine."""
    resampled = [np.quantile(rounds[draw], FULL_PACE) for draw in _draws(len(rounds), seed)]
    return _estimate(float(np.quantile(rounds, FULL_PACE)), np.array(resampled), confidence)


def full_pace_ratio(
    rounds: Rounds, baseline: Rounds, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Of the two at full pace; rounds are drawn together, as they were taken."""
    value = float(np.quantile(rounds, FULL_PACE) / np.quantile(baseline, FULL_PACE))
    resampled = [
        np.quantile(rounds[draw], FULL_PACE) / np.quantile(baseline[draw], FULL_PACE)
        for draw in _draws(len(rounds), seed)
    ]
    return _estimate(value, np.array(resampled), confidence)


def headline(rounds: Rounds, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """The one figure that stands for a file's latency wherever a single one is taken.

    Of single inferences it is the full pace. A phone gives one figure a round, from a process of
    its own that nobody else slows down, and of a handful of those a low quantile would be the
    luckiest: there it is the median over rounds.
    """
    estimate = median if rounds.shape[1] == 1 else full_pace
    return estimate(rounds, confidence, seed)


def headline_ratio(rounds: Rounds, baseline: Rounds) -> Estimate:
    """Of the headlines of two that took turns."""
    return (ratio if rounds.shape[1] == 1 else full_pace_ratio)(rounds, baseline)


class HeadlineRow(TypedDict):
    """A file's times in results, in microseconds, each with its interval of 95 % confidence.

    Rows without single inferences, and those of older results, have the median alone.
    """

    median_us: float
    ci_us: list[float]
    full_pace_us: NotRequired[float]
    full_pace_ci_us: NotRequired[list[float]]


@dataclass(frozen=True)
class Headline:
    """The headline of a row in results; `statistic` is what it is in words."""

    us: float
    interval: tuple[float, float]
    statistic: str


def headline_of(row: HeadlineRow) -> Headline:
    if "full_pace_us" not in row:
        low, high = row["ci_us"]
        return Headline(row["median_us"], (low, high), "median")
    low, high = row["full_pace_ci_us"]
    return Headline(row["full_pace_us"], (low, high), "full pace")


def half_width(value: float, interval: Sequence[float]) -> float:
    """Of a value's interval, in percent of the value."""
    low, high = interval
    return 50 * (high - low) / value


class RoundFigures(TypedDict):
    """Of a file's rounds: the 95th percentile of all inferences, how much the rounds differ, and
    the median of each. Times are in microseconds.
    """

    p95_us: float
    spread: float
    rounds_us: list[float]


def figures_of(rounds: Rounds) -> RoundFigures:
    return {
        "p95_us": float(np.percentile(rounds, 95)),
        "spread": spread(rounds),
        "rounds_us": np.median(rounds, axis=1).round(3).tolist(),
    }


def spread(rounds: Rounds) -> float:
    """How much rounds differ: 90th minus 10th percentile of their medians, by the median."""
    medians = np.median(rounds, axis=1)
    low, middle, high = np.percentile(medians, [10, 50, 90])
    return float((high - low) / middle)


def _draws(rounds: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, rounds, (RESAMPLES, rounds))


def _estimate(value: float, resampled: npt.NDArray[np.float64], confidence: float) -> Estimate:
    tail = 50 * (1 - confidence)
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return Estimate(value, float(low), float(high))
