"""Saving and restoring all that training goes on from."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from mnv3_tf.errors import Failure

MINUTES = 5.0
"""A checkpoint is due at least this often."""


class RunState(tf.Module):
    """Where a run is, besides weights and optimisers.

    `step` counts training steps done, `epochs` those trained and evaluated. `loss_sum`, `seconds`
    and `unreadable` (pictures that could not be decoded) are those of the epoch under way;
    `wall_seconds` is the time that the run has taken, stops left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.epochs = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.loss_sum = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.unreadable = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.wall_seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    @tf.function
    def finish_epoch(self) -> None:
        """In one call, so that an interrupt finds all of it done or nothing."""
        self.epochs.assign_add(1)
        self.loss_sum.assign(0.0)
        self.seconds.assign(0.0)
        self.unreadable.assign(0)


class Checkpoints:
    """The last `keep` checkpoints in `folder`.

    They are due every `every_steps` steps (0: never for that reason) and, `by_time`, every five
    minutes. A save writes new names, which the index then names by a rename: whatever happens
    meanwhile, the ones before stay whole.
    """

    def __init__(
        self,
        folder: Path,
        every_steps: int,
        keep: int = 2,
        by_time: bool = True,
        **trackables: Any,
    ) -> None:
        self._folder, self._every_steps, self._by_time = folder, every_steps, by_time
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(**trackables), str(folder), max_to_keep=keep
        )
        self._last_time = time.monotonic()

    def restore(self, say: Callable[[str], None] = print) -> bool:
        """Loads the newest checkpoint that can be read; False where there is none at all.

        Those that are damaged are named by `say` and passed over.

        Raises:
          Failure: all are damaged, or the newest does not fit the model and its optimisers.
        """
        prefixes = self._prefixes()
        for number, prefix in enumerate(prefixes):
            try:
                status = self._manager.checkpoint.restore(prefix)
            except (tf.errors.OpError, ValueError) as error:
                older = [Path(p).name for p in prefixes[number + 1 :]]
                say(
                    f"{prefix} is damaged ({_first_line(error)}); "
                    + (f"trying {older[0]}." if older else "there is none before it.")
                )
                continue
            try:
                status.assert_existing_objects_matched()
            except AssertionError:
                raise Failure(
                    f"{prefix} was saved by another version of this program or for another "
                    "network; train again with --overwrite."
                ) from None
            return True
        if prefixes:
            raise Failure(
                f"No checkpoint in {self._folder} can be read; restore the folder from a copy, or "
                "train again with --overwrite."
            )
        return False

    def due(self, step: int) -> bool:
        if self._every_steps and step % self._every_steps == 0:
            return True
        return self._by_time and time.monotonic() - self._last_time > 60.0 * MINUTES

    def save(self) -> None:
        """Under a new name each time: nothing is overwritten that a kill could leave in pieces.

        Raises Failure where it cannot be written (a full disk); what was saved before stays.
        """
        try:
            self._manager.save()
        except (tf.errors.OpError, OSError) as error:
            last = self._manager.latest_checkpoint
            kept = f"{last} is whole" if last else "none was saved before"
            raise Failure(
                f"Cannot save a checkpoint in {self._folder} ({_first_line(error)}), {kept}; make "
                "room, and the same command goes on from there."
            ) from None
        self._last_time = time.monotonic()

    def _prefixes(self) -> list[str]:
        """Of the checkpoints in the folder, the newest first; the index itself may be damaged."""
        found = {int(path.stem.split("-")[1]): path for path in self._folder.glob("ckpt-*.index")}
        return [str(found[number].with_suffix("")) for number in sorted(found, reverse=True)]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
