"""A modelled ARM core as the place where a latency table's files are timed: they are counted."""

from collections.abc import Sequence
from pathlib import Path

from mnv3_tf.errors import UserError
from mnv3_tf.measuring.arm import cores, installation
from mnv3_tf.measuring.arm.counting import Counter
from mnv3_tf.measuring.arm.estimate import basis, microseconds
from mnv3_tf.measuring.machine import Conditions


class CountedTimer:
    """`device` is "arm:" and a name of `cores.DEVICES`.

    Raises UserError for another name, for more than one thread, and where the machine is not set
    up.
    """

    def __init__(self, device: str, threads: int = 1) -> None:
        self._device = cores.find(device)
        if threads != 1:
            raise UserError(
                f"--threads={threads} cannot be counted on --device={device}; give --threads=1."
            )
        self._counter = Counter(installation.open_emulator())
        self.conditions: Conditions = {
            "device": device,
            "threads": 1,
            "delegate": "xnnpack",
            "runtime": installation.runtime(),
            "rounds": 1,
            "counted": basis(self._device),
        }

    def time(self, paths: Sequence[Path], burst_ms: float) -> list[float]:
        """Microseconds of each file; nothing is repeated, since counts do not vary."""
        counts = self._counter.count(paths, self._device.core)
        return [microseconds(count, self._device) for count in counts]
