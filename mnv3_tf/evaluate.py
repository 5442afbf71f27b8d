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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.tasks.flags import define_network_flags, network_spec
from mnv3_tf.tasks.specs import DATASETS, Resolution
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.ui import cli, tables

if TYPE_CHECKING:
    from mnv3_tf.training.trained import Trained

Batches = Iterable[tuple[Any, Any]]
COLUMNS = {
    "classify": {"top1": "top-1", "top5": "top-5"},
    "detect": {"map": "mAP", "map50": "at 0.5", "map75": "at 0.75"},
    "segment": {"miou": "mIoU", "pixel_accuracy": "pixels"},
}
"""By task, the figures that the table shows, and how it calls them."""


@dataclass(frozen=True)
class Scorer:
    """Anything that can be judged.

    `measure` takes batches of (pictures (N, H, W, 3) in [-1, 1], targets) and returns "images", the
    figures of COLUMNS, and of detectors and segmentation networks "per_class", a list.
    """

    name: str
    task: str
    resolution: Resolution
    num_classes: int
    measure: Callable[[Batches], Mapping[str, Any]]
    class_names: tuple[str, ...] | None = None


def define_flags(values: flags.FlagValues) -> None:
    def text(name: str, default: str | None, meaning: str) -> None:
        flags.DEFINE_string(name, default, meaning, flag_values=values)

    text("model_file", None, 'A run folder, a .tflite, or weights (a file, or "imagenet").')
    text("dataset", None, f"{DATASETS}.")
    text("data_dir", None, "Where tensorflow_datasets keeps its sets.")
    define_network_flags(values)
    flags.DEFINE_integer("batch_size", 32, "Pictures at a time.", 1, flag_values=values)
    flags.DEFINE_integer("threads", 2, "Threads for a .tflite.", 1, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of a dataset's random split.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
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
        task=scorer.task,
    )
    split_name, split = ("val", dataset.val) if dataset.val else ("train", dataset.train)
    if split is None:
        raise UserError(f"{dataset.name} holds no pictures.")
    _require_same_classes(scorer, dataset.name, dataset.class_names)
    found = scorer.measure(split.eval_batches(args.batch_size, scorer.resolution))

    columns = COLUMNS[scorer.task]
    row = (scorer.name, split_name, found["images"], *(_figure(found[name]) for name in columns))
    tables.show(dataset.name, ("model", "split", "images", *columns.values()), [row])
    if "per_class" in found:
        named = zip(dataset.class_names, map(_figure, found["per_class"]), strict=False)
        tables.show("By class", ("class", "at 0.5" if scorer.task == "detect" else "IoU"), named)
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
            "task": scorer.task,
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
    import tensorflow as tf

    from mnv3_tf.export.accuracy import detector_of, segmenter_of

    spec, model = trained.spec, trained.model
    predict: Any
    match spec.task:
        case "detect":
            predict = detector_of(spec, model)  # type: ignore[arg-type]
        case "segment":
            predict = segmenter_of(model)
        case _:
            predict = tf.function(lambda images: model(images, training=False))
    measure = _measure(spec.task, predict, spec.num_classes)
    names = trained.class_names
    return Scorer(spec.name, spec.task, spec.resolution, spec.num_classes, measure, names)


def _load_tflite(path: Path, threads: int) -> Scorer:
    from mnv3_tf.tflite.predictor import open_model

    model = open_model(path, threads)
    predict = {"classify": model.classify, "detect": model.detect, "segment": model.segment}
    measure = _measure(model.task, predict[model.task], model.num_classes)
    height, width = model.image_size
    if model.task != "segment" and height != width:
        raise UserError(f"{path} takes {height} x {width}, not one square picture.")
    resolution = (height, width) if model.task == "segment" else height
    return Scorer(path.name, model.task, resolution, model.num_classes, measure)


def _measure(task: str, predict: Any, num_classes: int) -> Callable[[Batches], Mapping[str, Any]]:
    from mnv3_tf.training import classification, detection, segmentation

    def classify(batches: Batches) -> Mapping[str, Any]:
        found = classification.measure(predict, batches)
        return {"top1": found.top1, "top5": found.top5, "images": found.images}

    def dense(batches: Batches) -> Mapping[str, Any]:
        judge: Any = detection if task == "detect" else segmentation
        found, images = judge.measure(predict, batches, num_classes)
        return {**found, "images": images}

    return classify if task == "classify" else dense


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
