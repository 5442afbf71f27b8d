"""Latencies without a measurement."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnv3_tf.measuring import latency


@pytest.fixture
def fake_latency(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, list[float]]], None]:
    """(microseconds of each round by a file's stem): what is measured from now on."""

    def give(medians: dict[str, list[float]]) -> None:
        def benchmark_latency(paths: list[str], settings: latency.HostSettings) -> dict[str, Any]:
            models = [
                {
                    "median_us": float(np.median(medians[Path(path).stem])),
                    "ci_us": [900.0, 1100.0],
                    "full_pace_us": float(min(medians[Path(path).stem])) / 2,
                    "full_pace_ci_us": [450.0, 550.0],
                    "p95_us": 1200.0,
                    "samples": 10,
                    "spread": 0.01,
                    "rounds_us": medians[Path(path).stem],
                }
                for path in paths
            ]
            return {
                "date": "today",
                "machine": {"cpu": "A processor"},
                "settings": vars(settings),
                "models": models,
                "warnings": ["busy."],
            }

        monkeypatch.setattr(latency, "benchmark_latency", benchmark_latency)

    return give
