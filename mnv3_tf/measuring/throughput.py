"""How many pictures a second several ways of working get through, compared fairly.

A turn lasts long enough to be steady; the ways take turns in rounds, in an order shuffled anew,
so that a slow moment of the machine hits all of them.
"""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from mnv3_tf.files import write_json
from mnv3_tf.measuring import statistics
from mnv3_tf.measuring.machine import Made, made_by
from mnv3_tf.ui import tables

Turn = Callable[[], float]
"""Does its work and returns the seconds that a picture took."""

COLUMNS = ("", "images/s", "speed", "95 %")


class Pace(TypedDict):
    """`ratio` is of the speed to the first way's, paired by round; intervals are of 95 %.

    `cost_percent` is the time that the way takes more than a plain view.
    """

    name: str
    images_per_s: float
    images_per_s_ci: list[float]
    ratio: float
    ratio_ci: list[float]
    cost_percent: NotRequired[float]


class Paces(Made):
    """The results.json of `benchmark train_step` and `input_pipeline`."""

    rows: list[Pace]


def compare(turns: Mapping[str, Turn], rounds: int, seed: int = 0) -> list[Pace]:
    """A row for each; the first turn of each is not counted."""
    from rich.console import Console
    from rich.progress import track

    order = random.Random(seed)
    for turn in turns.values():
        turn()
    seconds = {name: np.empty((rounds, 1)) for name in turns}
    names = list(turns)
    for number in track(range(rounds), "Measuring", console=Console(stderr=True), transient=True):
        order.shuffle(names)
        for name in names:
            seconds[name][number] = turns[name]()
    first = seconds[next(iter(turns))]
    rows: list[Pace] = []
    for name, taken in seconds.items():
        pace, ratio = statistics.median(taken), statistics.ratio(first, taken)
        rows.append(
            {
                "name": name,
                "images_per_s": 1 / pace.value,
                "images_per_s_ci": [1 / pace.high, 1 / pace.low],
                "ratio": ratio.value,
                "ratio_ci": [ratio.low, ratio.high],
            }
        )
    return rows


def report(title: str, command: str, rows: Sequence[Pace]) -> Paces:
    """Prints a table; returns what `--json` prints."""
    tables.show(title, COLUMNS, [_line(row) for row in rows])
    return {**made_by(command, os.getloadavg()), "rows": list(rows)}


def write(results: Paces, out: str | Path) -> None:
    """OUT/results.json."""
    write_json(Path(out) / "results.json", results)


def timed(work: Callable[[], object], images: int) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) / images


def _line(row: Pace) -> tuple[str, ...]:
    low, high = row["ratio_ci"]
    return (
        row["name"],
        f"{row['images_per_s']:.1f}",
        f"{row['ratio']:.3f}",
        f"{low:.3f}-{high:.3f}",
    )
