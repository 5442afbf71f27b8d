"""What a user sees while training: a bar on a terminal, else a line per epoch."""

import sys
import time
from types import TracebackType
from typing import Any


class Progress:
    """A context manager around the loop; `epochs` and `total_steps` are those of the whole run."""

    def __init__(self, epochs: int, total_steps: int, step: int) -> None:
        self._epochs = epochs
        self._bar: Any = None
        self._pace: tuple[float, int] | None = None
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

    def step(self, epoch: int, step: int, loss: float, images: int) -> None:
        """After each training step of `images` pictures."""
        if not self._bar:
            return
        now = time.monotonic()
        if self._pace:
            latest = images / max(1e-9, now - self._pace[0])
            # A slow average: single steps vary too much to be read.
            smooth = 0.95 if self._images_per_s else 0.0
            self._images_per_s = smooth * self._images_per_s + (1 - smooth) * latest
        self._pace = (now, step)
        self._bar.update(
            self._task,
            completed=step,
            loss=loss,
            pace=self._images_per_s,
            description=f"epoch {epoch}/{self._epochs}",
        )

    def epoch(self, row: dict[str, Any]) -> None:
        """After each epoch, with its line of metrics.jsonl."""
        parts = [f"epoch {row['epoch']}/{self._epochs}", f"loss {row['train_loss']:.4f}"]
        if row["val_top1"] is not None:
            parts += [f"val loss {row['val_loss']:.4f}", f"val top-1 {row['val_top1']:.4f}"]
        parts += [f"{row['images_per_s']:.0f} images/s"]
        line = "  ".join(parts)
        if self._bar:
            self._bar.console.print(line, highlight=False)
            # Evaluation and writing are not part of the pace.
            self._pace = None
        else:
            print(line, flush=True)
