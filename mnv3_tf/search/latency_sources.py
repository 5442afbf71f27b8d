"""What a network costs, for a search: from a latency table, counted, or measured."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mnv3_tf.errors import UserError
from mnv3_tf.measuring.timers import Timer, measure
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.latency_model import LatencyTable

UNITS: Mapping[str, Mapping[str, float]] = {
    "µs": {"us": 1.0, "µs": 1.0, "ms": 1e3},
    "MAdds": {"M": 1e6, "G": 1e9},
}
"""How a target may be written in each unit."""


class LatencySource(Protocol):
    """What a search asks for latencies, in `unit`: "µs" or "MAdds"."""

    @property
    def unit(self) -> str: ...

    @property
    def conditions(self) -> Mapping[str, Any]:
        """Of what the numbers are."""
        ...

    def of(self, specs: Sequence[NetworkSpec]) -> list[float]:
        """Of each network. Raises UserError for one whose latency cannot be known."""
        ...


@dataclass(frozen=True)
class CountedLatency:
    """Multiply-adds, which latency follows badly (Howard et al. 2019, Figures 1 and 7)."""

    unit = "MAdds"

    @property
    def conditions(self) -> Mapping[str, Any]:
        return {"latency": "madds"}

    def of(self, specs: Sequence[NetworkSpec]) -> list[float]:
        return [float(cost(spec).madds) for spec in specs]


@dataclass(frozen=True)
class TableLatency:
    """Predicted from a latency table; `quantize` is "none" or "int8"."""

    table: LatencyTable
    quantize: str
    unit = "µs"

    def __post_init__(self) -> None:
        if self.quantize not in self.table.grids:
            raise UserError(
                f"The latency table has no {self.quantize!r} but "
                f"{', '.join(map(repr, self.table.grids))}; choose --quantize among them, or "
                "measure it again with python -m benchmark latency_table."
            )

    @property
    def conditions(self) -> Mapping[str, Any]:
        return {"latency": "table", "quantize": self.quantize, **self.table.conditions}

    def of(self, specs: Sequence[NetworkSpec]) -> list[float]:
        return [self.table.network_us(spec, self.quantize) for spec in specs]


class MeasuredLatency:
    """Each network's own .tflite file, timed.

    Every time the networks take turns with `reference`, by which they are scaled: a machine that
    is slower than it was an hour ago does not look like a network that is.
    """

    unit = "µs"

    def __init__(
        self, timer: Timer, reference: NetworkSpec, write: Callable[[NetworkSpec], bytes]
    ) -> None:
        """`write` gives the file of a network."""
        self.conditions: Mapping[str, Any] = {"latency": "measured", **timer.conditions}
        self._timer, self._write, self._reference = timer, write, write(reference)
        self._reference_us: float | None = None

    def of(self, specs: Sequence[NetworkSpec]) -> list[float]:
        now, *found = measure(self._timer, [self._reference, *map(self._write, specs)])
        if self._reference_us is None:
            self._reference_us = now
        return [us * self._reference_us / now for us in found]


def parse_target(text: str | None, start: float, unit: str, below_start: bool = True) -> float:
    """ "0.75" (of the starting point's latency), "2.4ms", "900us", "40M" (MAdds), in `unit`.

    Raises UserError for anything else, and with `below_start` for what is not below it.
    """
    if not text:
        raise UserError(
            "--target is missing; give a part of the start's latency, as --target=0.75."
        )
    scales = UNITS[unit]
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([a-zA-Zµ]*)", text.strip())
    if not match or match[2] not in ("", *scales):
        raise UserError(
            f"--target={text} is no latency; give a part of the start's (0.75), or a number "
            f"with {' or '.join(scales)}."
        )
    target = float(match[1]) * (scales[match[2]] if match[2] else start)
    if target <= 0 or (below_start and target >= start):
        raise UserError(
            f"--target={text} is {shown(target, unit)}, not below the start's "
            f"{shown(start, unit)}; give a lower one."
        )
    return target


def shown(latency: float, unit: str) -> str:
    """ "2.41 ms", "41.2 M MAdds"."""
    return f"{latency / 1e6:.1f} M MAdds" if unit == "MAdds" else f"{latency / 1e3:.3f} ms"
