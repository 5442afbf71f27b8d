"""What was timed of operators and networks, so that nothing is timed twice."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.journal import Journal
from mnv3_tf.measuring.machine import Conditions
from mnv3_tf.measuring.timers import Timer
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.tflite import skeleton

if TYPE_CHECKING:
    from mnv3_tf.networks.graph import Operator

CHUNK = 60  # files timed side by side


@dataclass(frozen=True)
class TimingJob:
    """An operator or a network to be timed; `name` tells it from all others."""

    name: str
    what: "Operator | NetworkSpec"
    quantize: skeleton.Precision
    burst_ms: float

    def content(self) -> bytes:
        if isinstance(self.what, NetworkSpec):
            return skeleton.network(self.what, self.quantize)
        return skeleton.single(self.what, self.quantize)


class TimingLine(TypedDict, total=False):
    """The first line has the conditions, each other one a job's microseconds."""

    conditions: Conditions
    name: str
    us: float


class Timings:
    """A line of `path` for each file that was timed.

    Raises UserError where the file is of other conditions.
    """

    def __init__(self, path: Path, timer: Timer) -> None:
        self._journal, self._timer = Journal[TimingLine](path), timer
        entries = self._journal.entries()
        if not entries:
            self._journal.add({"conditions": timer.conditions})
        elif (theirs := entries[0].get("conditions")) != timer.conditions:
            raise UserError(
                f"{path} was measured under {theirs}, not {timer.conditions}; remove it, or give "
                "another --out."
            )
        self._known = {entry["name"]: float(entry["us"]) for entry in entries[1:]}

    def of(self, jobs: Sequence[TimingJob], doing: str) -> list[float]:
        """Microseconds of each job; what is not known yet is timed, and kept."""
        from rich.console import Console
        from rich.progress import track

        missing = [job for job in jobs if job.name not in self._known]
        # Mixed, so that a slow minute of the machine does not hit one kind of operator alone.
        order = np.random.default_rng(0).permutation(len(missing))
        chunks = [
            [missing[number] for number in order[start : start + CHUNK]]
            for start in range(0, len(missing), CHUNK)
        ]
        for chunk in track(chunks, doing, console=Console(stderr=True), transient=True):
            with tempfile.TemporaryDirectory() as folder:
                paths = [Path(folder) / f"{number}.tflite" for number in range(len(chunk))]
                for path, job in zip(paths, chunk, strict=True):
                    path.write_bytes(job.content())
                times = self._timer.time(paths, chunk[0].burst_ms)
            found = {job.name: us for job, us in zip(chunk, times, strict=True)}
            self._journal.add(*(TimingLine(name=name, us=us) for name, us in found.items()))
            self._known |= found
        return [self._known[job.name] for job in jobs]
