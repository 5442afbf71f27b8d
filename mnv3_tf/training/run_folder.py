"""The files of a run, and whether a run may start, go on or is done."""

import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from mnv3_tf.data.sources import Origin, place_of
from mnv3_tf.errors import UserError
from mnv3_tf.files import BEST_WEIGHTS, atomic_write, read_object, write_json
from mnv3_tf.tasks import TASKS, Metric

REMEDY = "train again with --overwrite"


class EpochRow(TypedDict):
    """A line of metrics.jsonl, which has the task's `val_columns` too: see `by_column`.

    `per_class` is `Task.per_class` of each class, of tasks that have it.
    """

    epoch: int
    step: int
    train_loss: float
    lr: float
    images_per_s: float
    unreadable: int
    per_class: NotRequired[list[float | None]]


class RecordedPlan(TypedDict):
    steps_per_epoch: int
    total_steps: int
    epochs: int


class RecordedDataset(TypedDict):
    name: str
    class_names: list[str]
    num_classes: int
    train_images: int
    val_images: int


class Preprocessing(TypedDict):
    """`resolution` is a side, or height and width; `view` as
    evaluation sees pictures, which older versions call `resize` (`pixels.recorded_view`)."""

    color: str
    range: list[float]
    resolution: Any
    view: Any


class Recorded(TypedDict):
    """What run.json holds: every resolved setting, and what an export needs to know.

    `settings` are those of `TrainSettings.configuration`, of older versions without the later
    ones; `recipe` the fields of `Recipe`; `notes` what was told of the data, which older versions
    lack; `started` is a date; `place` is `Origin.place`.
    """

    settings: dict[str, Any]
    recipe: dict[str, Any]
    plan: RecordedPlan
    dataset: RecordedDataset
    preprocessing: Preprocessing
    notes: list[str]
    seed: int
    spec_hash: str
    versions: dict[str, str]
    started: str
    place: NotRequired[str]


class RunSummary(TypedDict):
    """What summary.json holds besides the task's `val_columns`: those of the best epoch.

    They are from 0 to 1 but for val_loss, and None without a validation set; what
    `outcome.final_figures` gives stands beside them. `epochs` and `steps` were done; `ended_by` is
    "plan", "patience" or "time_limit".
    """

    task: str
    model: str
    resolution: Any
    num_classes: int
    params: int
    madds: int
    epochs: int
    steps: int
    best_epoch: int
    images_per_s: float
    wall_s: float
    skipped: int
    unreadable: int
    val_images: int
    ended_by: str


class RunFolder:
    """`--out`: run.json, spec.json, metrics.jsonl, checkpoints/, best.weights.h5 and so on.

    run.json is the first to be written and the last to be removed, so a folder with any of the
    others and without it is not ours. summary.json exists when the run is finished.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.run = self.path / "run.json"
        self.spec = self.path / "spec.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.best_weights = self.path / BEST_WEIGHTS
        self.tensorboard = self.path / "tensorboard"
        self.curves = self.path / "curves.png"
        self.confusion = self.path / "confusion.png"
        self.mistakes = self.path / "mistakes.html"
        self.summary = self.path / "summary.json"

    def check(self) -> None:
        """Raises UserError where the folder is someone else's or cannot be written.

        A folder that was not there before is not there afterwards.
        """
        if not self.run.exists():
            for path in self._products():
                if path.exists():
                    raise UserError(
                        f"{path} exists, but {self.run} does not, so this is not the folder of "
                        "a run; choose another --out."
                    )
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise UserError(
                f"Cannot write to --out={self.path}: {error.strerror}; "
                "choose a folder that you can write to."
            ) from None
        finally:
            for folder in made:
                if folder.is_dir():
                    folder.rmdir()

    def recorded(self) -> Recorded | None:
        """What run.json says; None where no run has been started here."""
        return cast("Recorded | None", read_object(self.run, REMEDY))

    def summarized(self) -> RunSummary | None:
        """What summary.json says; None where the run is not finished."""
        return cast("RunSummary | None", read_object(self.summary, REMEDY))

    def finish(self, summary: RunSummary) -> None:
        write_json(self.summary, summary)

    def begin(self, record: Recorded) -> None:
        """Starts anew: what an earlier run left is removed."""
        for path in (*self._products(), self.run):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.sweep()
        write_json(self.run, record)

    def sweep(self) -> None:
        """Removes the temporary files of writers that were killed."""
        for path in (self.run, *self._products()):
            for left_over in self.path.glob(f".{path.stem}-*{path.suffix}"):
                left_over.unlink()
        for left_over in self.checkpoints.glob("*_temp"):
            shutil.rmtree(left_over)

    def copied_to(self, path: str | Path) -> "RunFolder":
        """Another folder with all that a run goes on from."""
        other = RunFolder(path)
        if self.metrics.exists():
            shutil.copy(self.metrics, other.metrics)
        if self.checkpoints.exists():
            shutil.copytree(self.checkpoints, other.checkpoints)
        return other

    def read_metrics(self) -> list[EpochRow]:
        if not self.metrics.exists():
            return []
        return [json.loads(line) for line in self.metrics.read_text().splitlines()]

    def write_metrics(self, rows: list[EpochRow]) -> None:
        with atomic_write(self.metrics) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def _products(self) -> tuple[Path, ...]:
        return (
            self.summary,
            self.metrics,
            self.checkpoints,
            self.best_weights,
            self.tensorboard,
            self.curves,
            self.confusion,
            self.mistakes,
            self.spec,
        )


def as_json(tree: Mapping[str, Any]) -> dict[str, Any]:
    """As it will be read back (tuples become lists), so that the two can be compared."""
    found: dict[str, Any] = json.loads(json.dumps(tree))
    return found


def by_column(row: EpochRow | RunSummary) -> Mapping[str, float | None]:
    """The figures, those of the task's `val_columns` among them."""
    return cast(Mapping[str, float | None], row)


def origin_of(recorded: Recorded) -> Origin:
    """The set that the run was trained on."""
    settings = recorded["settings"]
    place = recorded.get("place") or place_of(settings["dataset"])
    return Origin(settings["dataset"], place, settings["data_dir"], recorded["seed"])


def score_of(row: EpochRow | RunSummary) -> Metric:
    """The metric that decides which epoch is the best, of a row of metrics.jsonl or a summary."""
    return next(task.score for task in TASKS.values() if task.score.column in row)


def best_row(rows: Sequence[EpochRow]) -> EpochRow | None:
    """The row whose weights are the best: the highest of its score, of equals that of the lower
    val loss, of equals in this too the first.

    Where no row has a score, without a validation set or with one that tells nothing, the last row
    counts.
    """
    if not rows:
        return None
    column = score_of(rows[-1]).column
    scored = [row for row in rows if by_column(row)[column] is not None]
    if not scored:
        return rows[-1]
    return max(scored, key=lambda row: (by_column(row)[column] or 0.0, -_loss(row)))


def _loss(row: EpochRow) -> float:
    loss = by_column(row).get("val_loss")
    return math.inf if loss is None or math.isnan(loss) else loss
