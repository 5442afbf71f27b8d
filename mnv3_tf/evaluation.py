"""Accuracy of whatever predicts: a run folder, a weights file or a .tflite."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnv3_tf.data import class_matching, sources
from mnv3_tf.data.dataset import PARTS, Dataset
from mnv3_tf.data.sources import Origin
from mnv3_tf.errors import UserError
from mnv3_tf.files import write_json
from mnv3_tf.models.create import spec_for
from mnv3_tf.networks.pixels import View
from mnv3_tf.tasks import TASKS, Resolution, Task, task_of
from mnv3_tf.tasks.answers import ByClass
from mnv3_tf.tasks.class_names import read_labels
from mnv3_tf.tasks.specs import NamedNetwork
from mnv3_tf.tasks.task import Head
from mnv3_tf.tflite import reports
from mnv3_tf.tflite.loading import is_tflite
from mnv3_tf.tflite.predictor import open_model
from mnv3_tf.tflite.reading import AS_IT_SAYS, Reading
from mnv3_tf.training import by_class
from mnv3_tf.training.run_folder import Recorded, RunFolder, origin_of
from mnv3_tf.training.trained import Trained, load_run, load_weights

if TYPE_CHECKING:
    from mnv3_tf.evaluate import EvaluateSettings


FILES = ("evaluation.json", "confusion.png", "mistakes.html")
"""Of --out."""


@dataclass(frozen=True)
class Scorer:
    """Anything that can be evaluated; `predict` is what `Task.measure` takes.

    `view` is what it shall see of a picture, None for what suits the dataset. `num_classes` is 0
    and `class_names` None where nobody knows them. `notes` are sentences, without a full stop, on
    what a file does not say of itself.
    """

    name: str
    task: Task[Any]
    resolution: Resolution
    num_classes: int
    predict: Callable[[Any], Any]
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    view: View | None = None


@dataclass(frozen=True)
class Evaluation:
    """What `Task.measure` gives on a split, "train", "val" or "test", of the dataset.

    `class_names` are the model's, or where it has none the dataset's; `notes` are sentences;
    classifiers have `answers`.
    """

    scorer: Scorer
    dataset: Dataset
    split: str
    measured: dict[str, Any]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    answers: ByClass | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            **self.measured,
            **(self.answers.as_json() if self.answers else {}),
            "skipped": len(self.dataset.skipped),
            "skipped_files": self.dataset.skipped,
            "split": self.split,
            "model": self.scorer.name,
            "task": self.scorer.task.name,
            "resolution": self.scorer.resolution,
            "view": self.dataset.view,
            "num_classes": self.scorer.num_classes,
            "class_names": self.class_names,
            "notes": self.notes,
            "dataset": self.dataset.name,
        }

    def write(self, folder: Path) -> list[Path]:
        """What --out has; returns its files."""
        tree, plot, page = (folder / name for name in FILES)
        write_json(tree, self.as_json())
        if not self.answers:
            return [tree]
        title = f"{self.scorer.name} on {self.dataset.name}"
        if sum(getattr(self.dataset, part) is not None for part in PARTS) > 1:
            title += f", {self.split}"
        by_class.write(self.answers, title, getattr(self.dataset, self.split).paths, plot, page)
        return [tree, plot, page]


def evaluate_file(
    asked: "EvaluateSettings", reading: Reading, named: NamedNetwork, head: Head
) -> Evaluation:
    """What the command does; `reading`, `named` and `head` are those of `load`."""
    assert asked.model_file
    origin = origin_of_file(asked.model_file)
    if not (asked.dataset or origin):
        raise UserError("--dataset is missing; give the pictures to evaluate on.")
    scorer = load(asked.model_file, named, head, asked.threads, reading)
    dataset = open_dataset(scorer, asked.dataset, origin, asked.data_dir, asked.seed)
    return evaluate(scorer, dataset, asked.batch_size, asked.split)


def load(
    model_file: str,
    named: NamedNetwork,
    head: Head,
    threads: int = 2,
    reading: Reading = AS_IT_SAYS,
) -> Scorer:
    """`named` and `head` say which network a weights file is of; `threads` run a .tflite.

    A .tflite is known by its content. `reading` says what that does not, and of weights what they
    take pixels as; of every kind of file what its classes are called, and what it shall see.
    """
    path = Path(model_file)
    if path.is_dir():
        scorer = _of_model(load_run(path))
    elif path.suffix == ".tflite" or is_tflite(path):
        return _of_file(path, threads, reading)
    else:
        spec = spec_for(named, head, model_file)
        trained = load_weights(spec, model_file, reading.input_range)
        recorded = _run_of(path)
        if recorded and recorded["dataset"]["num_classes"] == trained.spec.num_classes:
            names = tuple(recorded["dataset"]["class_names"])
            trained = replace(trained, class_names=names, recorded=recorded)
        scorer = _of_model(trained)
    if reading.view:
        scorer = replace(scorer, view=scorer.task.view(reading.view))
    if reading.labels is None:
        return scorer
    names = read_labels(reading.labels, scorer.num_classes, scorer.name)
    return replace(scorer, class_names=names)


def evaluate(scorer: Scorer, dataset: Dataset, batch_size: int, part: str | None) -> Evaluation:
    """On that part of the dataset, None for the validation pictures, or those there are.

    Raises UserError where a label of the dataset may mean another class to the model.
    """
    name, split = dataset.part(part)
    matching = class_matching.match(dataset, scorer.class_names, scorer.num_classes, scorer.name)
    batches = matching.applied(split.eval_batches(batch_size, scorer.resolution))
    with split.explained():
        measured = scorer.task.measure(scorer.predict, batches, scorer.num_classes)
    notes = (*scorer.notes, *([matching.note] if matching.note else ()))
    names = scorer.class_names or dataset.class_names
    collected = measured.pop("answers", None)
    answers = collected.named(names) if collected else None
    return Evaluation(scorer, dataset, name, measured, names, notes, answers)


def origin_of_file(model_file: str) -> Origin | None:
    """The set that a run folder, a file in one, or a .tflite beside its report was trained on."""
    path = Path(model_file)
    if path.suffix == ".tflite":
        report = reports.read_beside(path, hashlib.sha256(path.read_bytes()).hexdigest())
        trained_on = report and report.get("trained_on")
        return Origin(**trained_on) if trained_on else None
    recorded = _run_of(path)
    return origin_of(recorded) if recorded else None


def open_dataset(
    scorer: Scorer,
    name: str | None,
    origin: Origin | None = None,
    data_dir: str | None = None,
    seed: int | None = None,
) -> Dataset:
    """The dataset of that name, None for the one of the `origin`.

    The latter is divided as it was for training, so that no picture of the training judges;
    evaluation sees of it what the scorer says. `seed` None is the training's. Raises UserError for
    one that would divide it otherwise.
    """
    origin = origin or Origin("", "", None, 0)
    name = name or origin.dataset
    own = origin.is_of(name)
    if own and seed not in (None, origin.seed):
        raise UserError(
            f"--seed={seed} would divide {name} otherwise than --seed={origin.seed} did in "
            "training, and evaluate on training pictures; leave it out."
        )
    return sources.open_dataset(
        name,
        data_dir=data_dir or origin.data_dir,
        seed=origin.seed if seed is None else seed,
        training=own,
        resolution=scorer.resolution,
        task=scorer.task.name,
    ).seen_as(scorer.view)


def _run_of(path: Path) -> Recorded | None:
    """What run.json says of a run folder, or of the one that a file is in."""
    if not path.exists():
        return None
    return RunFolder(path if path.is_dir() else path.parent).recorded()


def _of_model(trained: Trained) -> Scorer:
    spec, task = trained.spec, task_of(trained.spec)
    return Scorer(
        spec.name,
        task,
        spec.resolution,
        spec.num_classes,
        task.keras_predictor(spec, trained.model),
        trained.class_names,
        view=trained.view,
    )


def _of_file(path: Path, threads: int, reading: Reading) -> Scorer:
    model = open_model(path, threads, reading)
    if others := model.signature.others:
        raise UserError(
            f"{path} gives {model.signature.name}, {', '.join(others)}; say by --output_name which "
            "is to be evaluated."
        )
    task, (height, width) = TASKS[model.task], model.image_size
    if task.square and height != width:
        raise UserError(f"{path} takes {height} x {width}, not one square picture.")
    return Scorer(
        path.name,
        task,
        task.fitted(model.image_size),
        model.num_classes,
        task.file_predictor(model),
        model.labels,
        model.notes,
        model.view,
    )
