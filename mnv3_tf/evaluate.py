"""Accuracy of a run folder, a weights file or a .tflite on a dataset's validation pictures.

    python -m mnv3_tf.evaluate --model_file=runs/x --dataset=folder:photos
    python -m mnv3_tf.evaluate --model_file=w.npz --model=small --dataset=csv:labels.csv --json
    python -m mnv3_tf.evaluate --model_file=m.tflite --dataset=folder:photos --json
    python -m mnv3_tf.evaluate --model_file=cells.tflite --dataset=voc:cells --json

A run folder knows its network and its dataset, which --dataset overrides; a weights file needs
--model (and --task, --width, --resolution). A .tflite of ours knows its task, another's is known
by its outputs. Where the dataset has no validation set, its training set is taken.

Classifiers get top-1 and top-5, detectors COCO's mAP, segmentation networks mIoU.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.tasks import TASKS, Resolution, Task, task_of
from mnv3_tf.tasks.flags import define_network_flags, network_spec
from mnv3_tf.tasks.specs import DATASETS
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.ui import cli, settings, tables
from mnv3_tf.ui.settings import Checked, setting

if TYPE_CHECKING:
    from mnv3_tf.training.trained import Trained


@dataclass(frozen=True)
class Settings(Checked):
    model_file: str | None = setting(
        None, 'A run folder, a .tflite, or weights (a file, or "imagenet").'
    )
    dataset: str | None = setting(None, f"{DATASETS}.")
    data_dir: str | None = setting(None, "Where tensorflow_datasets keeps its sets.")
    batch_size: int = setting(32, "Pictures at a time.", least=1)
    threads: int = setting(2, "Threads for a .tflite.", least=1)
    seed: int = setting(0, "Of a dataset's random split.")


@dataclass(frozen=True)
class Scorer:
    """Anything that can be evaluated; `predict` is what `Task.measure` takes."""

    name: str
    task: Task[Any]
    resolution: Resolution
    num_classes: int
    predict: Callable[[Any], Any]
    class_names: tuple[str, ...] | None = None


def define_flags(values: flags.FlagValues) -> None:
    settings.define(values, Settings)
    define_network_flags(values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    settings.read(args, Settings)
    if not args.model_file:
        raise UserError("--model_file is missing; give a run folder, a weights file or a .tflite.")
    path = Path(args.model_file)
    if args.model_file != "imagenet" and not path.exists():
        raise UserError(f"--model_file={path} does not exist.")
    dataset_name, data_dir, seed, training = args.dataset, args.data_dir, args.seed, False
    if path.is_dir():
        recorded = RunFolder(path).recorded()
        if recorded is None:
            raise UserError(f"{path} is not the folder of a run: it holds no run.json.")
        # The split that was made for training: another would judge by training pictures.
        own = recorded["settings"]["dataset"]
        dataset_name = dataset_name or own
        training = dataset_name == own
        data_dir = data_dir or recorded["settings"]["data_dir"]
        seed = seed if args["seed"].present else recorded["seed"]
    if not dataset_name:
        raise UserError("--dataset is missing; give the pictures to judge by.")

    cli.import_tensorflow(args)
    from mnv3_tf.data import open_dataset

    scorer = load(args)
    dataset = open_dataset(
        dataset_name,
        data_dir=data_dir,
        seed=seed,
        resolution=scorer.resolution,
        training=training,
        task=scorer.task.name,
    )
    split_name, split = ("val", dataset.val) if dataset.val else ("train", dataset.train)
    if split is None:
        raise UserError(f"{dataset.name} holds no pictures.")
    _require_same_classes(scorer, dataset.name, dataset.class_names)
    batches = split.eval_batches(args.batch_size, scorer.resolution)
    found = scorer.task.measure(scorer.predict, batches, scorer.num_classes)

    metrics = scorer.task.metrics
    figures = [_figure(found[metric.key]) for metric in metrics]
    columns = ("model", "split", "images", *(metric.title for metric in metrics))
    tables.show(dataset.name, columns, [(scorer.name, split_name, found["images"], *figures)])
    if scorer.task.per_class:
        named = zip(dataset.class_names, map(_figure, found["per_class"]), strict=False)
        tables.show("By class", ("class", scorer.task.per_class), named)
    for note in dataset.notes:
        print(f"{note}.")
    if dataset.skipped:
        print(
            f"{len(dataset.skipped)} pictures could not be decoded and were left out: "
            + ", ".join(dataset.skipped)
        )
    if args.json:
        summary = {
            **found,
            "skipped": len(dataset.skipped),
            "skipped_files": dataset.skipped,
            "split": split_name,
            "model_file": args.model_file,
            "model": scorer.name,
            "task": scorer.task.name,
            "resolution": scorer.resolution,
            "num_classes": scorer.num_classes,
            "class_names": dataset.class_names,
            "dataset": dataset.name,
        }
        print(json.dumps(summary))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def load(args: flags.FlagValues) -> Scorer:
    """What `--model_file` names, ready to be judged."""
    from mnv3_tf.training.trained import load_run, load_weights

    path = Path(args.model_file)
    if path.is_dir():
        return _keras_scorer(load_run(path))
    if path.suffix == ".tflite":
        return _load_tflite(path, args.threads)
    return _keras_scorer(load_weights(network_spec(args), args.model_file))


def _keras_scorer(trained: "Trained") -> Scorer:
    spec, task = trained.spec, task_of(trained.spec)
    predict = task.keras_predictor(spec, trained.model)
    return Scorer(spec.name, task, spec.resolution, spec.num_classes, predict, trained.class_names)


def _load_tflite(path: Path, threads: int) -> Scorer:
    from mnv3_tf.tflite.predictor import open_model

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


if __name__ == "__main__":
    cli.run(main, define_flags)
