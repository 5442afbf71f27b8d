"""Where .tflite files are timed: this computer, a phone, or a modelled ARM core."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from mnv3_tf.measuring import statistics, turns
from mnv3_tf.measuring.arm.cores import is_arm
from mnv3_tf.measuring.arm.counted_timer import CountedTimer
from mnv3_tf.measuring.machine import Conditions, describe_machine
from mnv3_tf.measuring.phone.timer import PhoneTimer
from mnv3_tf.tflite import runtime

HOST = "host"
"""The device that this computer is."""

BURST_MS = 60.0
"""How long a network runs at a turn."""


class Timer(Protocol):
    """Where files are timed: this computer, a phone, or a modelled ARM core."""

    conditions: Conditions

    def time(self, paths: Sequence[Path], burst_ms: float) -> list[float]:
        """Microseconds of each file."""
        ...


def measure(timer: Timer, contents: Sequence[bytes]) -> list[float]:
    """Microseconds of each .tflite file, which take turns."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.tflite" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return timer.time(paths, BURST_MS)


class HostTimer:
    """This computer, in interleaved rounds."""

    def __init__(self, threads: int, rounds: int) -> None:
        machine = describe_machine(os.getloadavg())
        self.conditions: Conditions = {
            "device": machine["cpu"],
            "threads": threads,
            "delegate": "xnnpack",
            "runtime": f"ai-edge-litert {machine['versions']['ai-edge-litert']}",
            "rounds": rounds,
        }
        self._threads, self._rounds = threads, rounds

    def time(self, paths: Sequence[Path], burst_ms: float) -> list[float]:
        models = [runtime.TFLiteModel(path, self._threads) for path in paths]
        counts = []
        for model in models:
            runtime.sample(model.invoke, turns.UNTIMED_INVOKES)
            expected = float(np.median(runtime.sample(model.invoke, turns.FEWEST_INVOKES)))
            counts.append(turns.invokes_per_burst(expected, burst_ms))
        timings = turns.take_turns(models, counts, self._rounds, with_bar=False)
        return [statistics.headline(rounds).value for rounds in timings]


def open_timer(
    device: str | None, adb: str | None, binary: str | None, threads: int, rounds: int
) -> Timer:
    """`device` is "host" or None for this computer, a phone's serial, or "arm:" and a core."""
    if device is None or device == HOST:
        return HostTimer(threads, rounds)
    if is_arm(device):
        return CountedTimer(device, threads)
    return PhoneTimer(device, adb, binary, threads, rounds)
