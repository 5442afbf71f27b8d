"""The logs of `logs/`, one of every format that the binary was known to print."""

from pathlib import Path
from typing import Any

LOGS = Path(__file__).parent / "logs"
NAMES = sorted(path.name for path in LOGS.glob("*.txt"))
SUMMARY = (
    "INFO: Inference timings in us: Init: 5, First inference: 9, Warmup (avg): 8.5, "
    "Inference (avg): 7.25"
)
"""A last line, as TFLite prints it."""

ONE = "count=4 first=9 curr=8 min=8 max=9 avg={} std=0"
"""What is measured of some inferences, on one line; takes their mean."""


def read(name: str) -> str:
    return (LOGS / name).read_text()


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """All but the warnings."""
    return {key: value for key, value in result.items() if key != "warnings"}
