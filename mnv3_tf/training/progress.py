"""What a user sees while training: a bar on a terminal, else lines; and TensorBoard's curves."""

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import tensorflow as tf

from mnv3_tf.training.run_folder import EpochRow, by_column, score_of
from mnv3_tf.ui.progress import SECONDS, duration


class Progress:
    """A context manager around the loop; `epochs` and `total_steps` are those of the whole run."""

    def __init__(self, epochs: int, total_steps: int, step: int) -> None:
        self._epochs, self._total_steps = epochs, total_steps
        self._begun = self._said = time.monotonic()
        self._first_step = self._step = step
        self._bar: Any = None
        self._last: float | None = None
        self._images_per_s = 0.0
        if sys.stdout.isatty():
            from rich import progress

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("loss {task.fields[loss]:.3f}"),
                progress.TextColumn("{task.fields[pace]:.0f} images/s"),
                progress.TimeRemainingColumn(elapsed_when_finished=True),
            )
            self._task = self._bar.add_task(
                "training", total=total_steps, completed=step, loss=float("nan"), pace=0.0
            )

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def expect(self, total_steps: int, steps_per_epoch: int) -> None:
        """The run will end after so many steps, as far as is known now."""
        self._total_steps = total_steps
        self._epochs = math.ceil(total_steps / steps_per_epoch)
        if self._bar:
            self._bar.update(self._task, total=total_steps)

    def step(self, epoch: int, step: int, loss: float, images: int) -> None:
        """After each training step of `images` pictures."""
        now = time.monotonic()
        self._step = step
        if self._last is not None:
            latest = images / max(1e-9, now - self._last)
            # A slow average: single steps vary too much to be read.
            smooth = 0.95 if self._images_per_s else 0.0
            self._images_per_s = smooth * self._images_per_s + (1 - smooth) * latest
        self._last = now
        if self._bar:
            self._bar.update(
                self._task,
                completed=step,
                loss=loss,
                pace=self._images_per_s,
                description=f"epoch {epoch}/{self._epochs}",
            )
        elif now - self._said >= SECONDS:
            self.line(
                f"step {step}/{self._total_steps}",
                f"loss {loss:.4f}",
                f"{self._images_per_s:.0f} images/s",
            )

    def epoch(self, row: EpochRow) -> None:
        """After each epoch, with its line of metrics.jsonl."""
        parts = [f"epoch {row['epoch']}/{self._epochs}", f"loss {row['train_loss']:.4f}"]
        score, figures = score_of(row), by_column(row)
        for column, title in (("val_loss", "loss"), (score.column, score.title)):
            if (value := figures.get(column)) is not None:
                parts.append(f"val {title} {value:.4f}")
        self.line(*parts, f"{row['images_per_s']:.0f} images/s")
        # Evaluation and writing are not part of the pace.
        self._last = None

    def line(self, *parts: str) -> None:
        """Says that, and the time left; a bar stays below it."""
        if self._bar:
            self._bar.console.print("  ".join(parts), highlight=False)
            return
        self._said = now = time.monotonic()
        steps_left = self._total_steps - self._step
        if steps_left and self._step > self._first_step:
            seconds = (now - self._begun) * steps_left / (self._step - self._first_step)
            parts = (*parts, f"{duration(seconds)} left")
        print("  ".join(parts), flush=True)


class ScalarWriter:
    """Appends to TensorBoard's event files of a folder: numbers, anything else is left out.

    TensorBoard itself need not be installed.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))
        self._metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
            data_class=1,  # DATA_CLASS_SCALAR of TensorFlow's summary.proto
        )

    def write(self, values: Mapping[str, object], step: int) -> None:
        with self._writer.as_default():
            for name, value in values.items():
                if isinstance(value, float):
                    # tf.summary.scalar does the same, but refuses to without TensorBoard.
                    tensor = tf.constant(value, tf.float32)
                    tf.summary.write(name, tensor, step=step, metadata=self._metadata)
        self._writer.flush()
