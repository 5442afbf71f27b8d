"""Where .tflite files are timed: this computer, or a phone."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnv3_tf.search.latency import Timer


class HostTimer:
    """This computer, in interleaved rounds."""

    def __init__(self, threads: int, rounds: int) -> None:
        from benchmark.latency import describe_machine

        machine = describe_machine(os.getloadavg())
        self.conditions = {
            "device": machine["cpu"],
            "threads": threads,
            "delegate": "xnnpack",
            "runtime": f"ai-edge-litert {machine['versions']['ai-edge-litert']}",
            "rounds": rounds,
        }
        self._threads, self._rounds = threads, rounds

    def time(self, paths: Sequence[Path], burst_ms: float) -> list[float]:
        from benchmark import latency, statistics
        from mnv3_tf.export.runtime import TFLiteModel, sample

        models = [TFLiteModel(path, self._threads) for path in paths]
        counts = []
        for model in models:
            sample(model.invoke, latency.UNTIMED_INVOKES)
            expected = float(np.median(sample(model.invoke, latency.FEWEST_INVOKES)))
            counts.append(latency.invokes_per_burst(expected, burst_ms))
        timings = latency.take_turns(models, counts, self._rounds, with_bar=False)
        return [float(np.quantile(rounds, statistics.FULL_PACE)) for rounds in timings]


def open_timer(
    device: str | None, adb: str | None, binary: str | None, threads: int, rounds: int
) -> Timer:
    """`device` is a phone's serial; None is this computer."""
    if device is None:
        return HostTimer(threads, rounds)
    from benchmark.phone_timer import PhoneTimer

    return PhoneTimer(device, adb, binary, threads, rounds)
