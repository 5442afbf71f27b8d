"""How long a run is, in steps and in epochs."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How long to train: the last epoch is shorter where `total_steps` ends in its middle."""

    steps_per_epoch: int
    total_steps: int

    @property
    def epochs(self) -> int:
        return math.ceil(self.total_steps / self.steps_per_epoch)

    def epoch_of(self, step: int) -> int:
        """The epoch, counted from 1, that step number `step` (from 0) belongs to."""
        return step // self.steps_per_epoch + 1

    def ends_epoch(self, steps_done: int) -> bool:
        return steps_done % self.steps_per_epoch == 0 or steps_done == self.total_steps

    def epochs_done(self, steps_done: int) -> int:
        return self.epochs if steps_done == self.total_steps else steps_done // self.steps_per_epoch

    def steps_in(self, epoch: int) -> int:
        done_before = (epoch - 1) * self.steps_per_epoch
        return min(self.steps_per_epoch, self.total_steps - done_before)
