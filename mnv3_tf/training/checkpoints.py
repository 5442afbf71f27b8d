"""Saving and restoring all that training goes on from."""

import time
from pathlib import Path
from typing import Any

import tensorflow as tf

MINUTES = 5.0
"""A checkpoint is due at least this often."""


class State(tf.Module):
    """Where a run is, besides weights and optimisers.

    `step` counts training steps done, `epochs` those trained and evaluated. `loss_sum` and
    `seconds` are those of the epoch under way; `wall_seconds` is the time that the run has taken,
    stops left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.epochs = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.loss_sum = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.wall_seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    @tf.function
    def finish_epoch(self) -> None:
        """In one call, so that an interrupt finds all of it done or nothing."""
        self.epochs.assign_add(1)
        self.loss_sum.assign(0.0)
        self.seconds.assign(0.0)


class Checkpoints:
    """The last two checkpoints of a run, in `folder`.

    They are due every `every_steps` steps (0: never for that reason) and every five minutes; the
    loop adds one at the end of each epoch. TensorFlow renames its index into place after a save,
    so that a kill at any moment leaves the one before.
    """

    def __init__(self, folder: Path, every_steps: int, **trackables: Any) -> None:
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(**trackables), str(folder), max_to_keep=2
        )
        self._every_steps = every_steps
        self._last_time = time.monotonic()

    def restore(self) -> bool:
        """Loads the last checkpoint; False where there is none.

        Raises an error where it does not fit the model and its optimisers.
        """
        if self._manager.latest_checkpoint is None:
            return False
        status = self._manager.checkpoint.restore(self._manager.latest_checkpoint)
        status.assert_existing_objects_matched()
        return True

    def save_if_due(self, step: int) -> None:
        by_step = self._every_steps and step % self._every_steps == 0
        if by_step or time.monotonic() - self._last_time > 60.0 * MINUTES:
            self.save()

    def save(self) -> None:
        """Under a new name each time: nothing is overwritten that a kill could leave in pieces."""
        self._manager.save()
        self._last_time = time.monotonic()
