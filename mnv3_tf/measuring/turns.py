"""Bursts of inferences in interleaved rounds, so that a slow moment hits all models alike."""

import random
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.progress import track

from mnv3_tf.measuring.statistics import Rounds
from mnv3_tf.tflite import runtime
from mnv3_tf.tflite.runtime import TFLiteModel

FEWEST_INVOKES, MOST_INVOKES = 5, 500
UNTIMED_INVOKES = 2


def take_turns(
    models: Sequence[TFLiteModel],
    counts: Sequence[int],
    rounds: int,
    seed: int = 0,
    with_bar: bool = True,
) -> list[Rounds]:
    """Each model runs its count of inferences in every round."""
    timings = [np.empty((rounds, count)) for count in counts]
    order = plan(len(models), rounds, seed)
    console = Console(stderr=True)
    shown = track(order, "Measuring", console=console, transient=True, disable=not with_bar)
    for number, turns in enumerate(shown):
        for turn in turns:
            invoke = models[turn].invoke
            # The models before this one have taken the caches.
            runtime.sample(invoke, UNTIMED_INVOKES)
            timings[turn][number] = runtime.sample(invoke, counts[turn])
    return timings


def plan(models: int, rounds: int, seed: int) -> list[list[int]]:
    """For each round, the order in which the models take their turns."""
    shuffle = random.Random(seed)
    return [shuffle.sample(range(models), models) for _ in range(rounds)]


def invokes_per_burst(expected_us: float, burst_ms: float) -> int:
    return max(FEWEST_INVOKES, min(MOST_INVOKES, round(burst_ms * 1e3 / expected_us)))
