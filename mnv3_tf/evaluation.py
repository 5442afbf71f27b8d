"""Accuracy of whatever predicts: a run folder, a weights file or a .tflite."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv3_tf.data import sources
from mnv3_tf.data.dataset import Dataset
from mnv3_tf.errors import UserError
from mnv3_tf.networks.pixels import InputRange
from mnv3_tf.tasks import TASKS, Resolution, Spec, Task, task_of
from mnv3_tf.tflite.predictor import open_model
from mnv3_tf.training.trained import Trained, load_run, load_weights


@dataclass(frozen=True)
class Scorer:
    """Anything that can be evaluated; `predict` is what `Task.measure` takes."""

    name: str
    task: Task[Any]
    resolution: Resolution
    num_classes: int
    predict: Callable[[Any], Any]
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Evaluation:
    """What `Task.measure` gives on a split, "val" or "train", of the dataset."""

    scorer: Scorer
    dataset: Dataset
    split: str
    measured: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            **self.measured,
            "skipped": len(self.dataset.skipped),
            "skipped_files": self.dataset.skipped,
            "split": self.split,
            "model": self.scorer.name,
            "task": self.scorer.task.name,
            "resolution": self.scorer.resolution,
            "num_classes": self.scorer.num_classes,
            "class_names": self.dataset.class_names,
            "dataset": self.dataset.name,
        }


def load(
    model_file: str,
    network: Callable[[], Spec],
    threads: int = 2,
    input_range: InputRange | None = None,
) -> Scorer:
    """`network` gives the spec that a weights file is of, which takes pixels as `input_range` where
    nothing says so; `threads` run a .tflite."""
    path = Path(model_file)
    if path.is_dir():
        return _of_model(load_run(path))
    if path.suffix == ".tflite":
        return _of_file(path, threads)
    return _of_model(load_weights(network(), model_file, input_range))


def evaluate(scorer: Scorer, dataset: Dataset, batch_size: int) -> Evaluation:
    """On the validation pictures, or where there are none on those for training.

    Raises UserError where a label of the dataset may mean another class to the model.
    """
    name, split = ("val", dataset.val) if dataset.val else ("train", dataset.train)
    if split is None:
        raise UserError(f"{dataset.name} holds no pictures.")
    _require_same_classes(scorer, dataset.name, dataset.class_names)
    batches = split.eval_batches(batch_size, scorer.resolution)
    measured = scorer.task.measure(scorer.predict, batches, scorer.num_classes)
    return Evaluation(scorer, dataset, name, measured)


def open_dataset(scorer: Scorer, name: str, **options: Any) -> Dataset:
    """`options` are those of `sources.open_dataset` that do not follow from the scorer."""
    return sources.open_dataset(
        name, resolution=scorer.resolution, task=scorer.task.name, **options
    )


def _of_model(trained: Trained) -> Scorer:
    spec, task = trained.spec, task_of(trained.spec)
    predict = task.keras_predictor(spec, trained.model)
    return Scorer(spec.name, task, spec.resolution, spec.num_classes, predict, trained.class_names)


def _of_file(path: Path, threads: int) -> Scorer:
    model = open_model(path, threads)
    task, (height, width) = TASKS[model.task], model.image_size
    if task.square and height != width:
        raise UserError(f"{path} takes {height} x {width}, not one square picture.")
    resolution = task.fitted(model.image_size)
    return Scorer(path.name, task, resolution, model.num_classes, task.file_predictor(model))


def _require_same_classes(scorer: Scorer, dataset: str, names: tuple[str, ...]) -> None:
    """Raises UserError where a label of the dataset may mean another class to the model."""
    if len(names) > scorer.num_classes:
        raise UserError(
            f"{dataset} has {len(names)} classes, but {scorer.name} has {scorer.num_classes}; "
            "use the dataset that it was trained on, or one with its classes."
        )
    if scorer.class_names and names != scorer.class_names[: len(names)]:
        raise UserError(
            f"{dataset} has the classes {', '.join(names[:5])}..., but {scorer.name} was trained "
            f"on {', '.join(scorer.class_names[:5])}...; use a dataset with the same classes."
        )
