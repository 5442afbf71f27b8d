"""A run that ends within a time, and whose schedule ends with it."""

import math

import tensorflow as tf

EVALUATING = 1 / 3
"""Of the time of a training step: what evaluating as many pictures is taken for, until an
evaluation was timed (forward without backward)."""

WINDOW = 50
"""How many of the latest steps say what one takes, about."""


class TimeLimit(tf.Module):
    """Places steps in a plan of `planned` steps so that its end comes when `seconds` are over.

    As long as the plan fits into the time, each step is one of the plan's. Otherwise each takes an
    equal share of what is left of it, so that warm-up, the head's own epochs and the rate's fall
    become shorter alike. `position` is where in the plan the latest step was; `last_step` how many
    steps were done when time was up, -1 before. Both are saved with a run, so that it goes on as it
    would have.

    Time counts training and the evaluations of epochs, the last of which must still fit; each has
    `val_batches`, and `steps_per_epoch` lie between two.
    """

    def __init__(
        self, seconds: float, planned: int, steps_per_epoch: int, val_batches: float
    ) -> None:
        super().__init__()
        self.position = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.last_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self._evaluation = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self._seconds, self._planned = seconds, planned
        self._steps_per_epoch, self._val_batches = steps_per_epoch, val_batches
        self._steps, self._pace = -1, 0.0

    def advance(self, step: int, wall_seconds: float) -> float:
        """The place in the plan of step number `step`, from 0 to below `planned`."""
        if step:
            position = float(self.position)
            left = max(1.0, self.steps_left(step, wall_seconds))
            position += max(1.0, (self._planned - position) / left)
            self.position.assign(min(position, self._planned - 1e-6))
        return float(self.position)

    def trained(self, seconds: float) -> None:
        """After each step that took so long; the first of a process, which compiles, tells less."""
        self._steps += 1
        if self._steps:
            self._pace += (seconds - self._pace) / min(self._steps, WINDOW)

    def evaluated(self, seconds: float) -> None:
        """After each evaluation that took so long, what was compiled for it left out."""
        self._evaluation.assign(seconds)

    def is_up(self, done: int, wall_seconds: float, evaluates: bool = False) -> bool:
        """Whether no step more fits after so many, or the plan is done; as `steps_left`."""
        at_end = float(self.position) + 1e-3 > self._planned - 1
        return at_end or self.steps_left(done, wall_seconds, evaluates) < 1

    def steps_left(self, done: int, wall_seconds: float, evaluates: bool = False) -> float:
        """How many fit after so many, as far as is known: infinite before a pace was seen.

        `evaluates`: an evaluation comes before the next.
        """
        pace = self._pace
        pause = float(self._evaluation) or EVALUATING * pace * self._val_batches
        left = self._seconds - wall_seconds - pause  # the last one must fit
        if left <= 0 or not pace:
            return math.inf if left > 0 else 0.0
        of_epoch = 0 if evaluates else self._steps_per_epoch - done % self._steps_per_epoch
        if left <= of_epoch * pace:
            return left / pace
        epochs, left = divmod(left - of_epoch * pace, self._steps_per_epoch * pace + pause)
        return of_epoch + epochs * self._steps_per_epoch + max(0.0, left - pause) / pace
