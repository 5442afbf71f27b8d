"""Accuracy of a run folder, a weights file or a .tflite on a dataset's validation pictures.

    python -m mnv3_tf.evaluate --model_file=runs/x --dataset=folder:photos
    python -m mnv3_tf.evaluate --model_file=w.npz --model=small --dataset=csv:labels.csv --json
    python -m mnv3_tf.evaluate --model_file=m.tflite --dataset=folder:photos --json

A run folder knows its network and its dataset, which --dataset overrides; a weights file needs
--model (and --width, --resolution). Where the dataset has no validation set, its training set
is taken.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf import cli, tables
from mnv3_tf.errors import UserError
from mnv3_tf.networks import resolve
from mnv3_tf.training.run_folder import RunFolder

if TYPE_CHECKING:
    from mnv3_tf.trained import Trained


@dataclass(frozen=True)
class Scorer:
    """Anything that classifies: `predict` takes (N, resolution, resolution, 3) in [-1, 1]."""

    name: str
    resolution: int
    num_classes: int
    predict: Callable[[Any], Any]
    class_names: tuple[str, ...] | None = None


def define_flags(values: flags.FlagValues) -> None:
    def text(name: str, default: str | None, meaning: str) -> None:
        flags.DEFINE_string(name, default, meaning, flag_values=values)

    text("model_file", None, 'A run folder, a .tflite, or weights (a file, or "imagenet").')
    text("dataset", None, "shapes, folder:DIR, csv:FILE, shards:DIR or tfds:NAME.")
    text("data_dir", None, "Where tensorflow_datasets keeps its sets.")
    cli.define_network_flags(values)
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
    from mnv3_tf.training.classification import measure

    scorer = load(args)
    dataset = open_dataset(
        dataset_name,
        data_dir=data_dir,
        seed=seed,
        resolution=scorer.resolution,
        training=training,
    )
    split_name, split = ("val", dataset.val) if dataset.val else ("train", dataset.train)
    if split is None:
        raise UserError(f"{dataset.name} holds no pictures.")
    _require_same_classes(scorer, dataset.name, dataset.class_names)
    found = measure(scorer.predict, split.eval_batches(args.batch_size, scorer.resolution))

    rows = [(scorer.name, split_name, found.images, f"{found.top1:.4f}", f"{found.top5:.4f}")]
    tables.show(dataset.name, ("model", "split", "images", "top-1", "top-5"), rows)
    if dataset.skipped:
        print(
            f"{len(dataset.skipped)} pictures could not be decoded and were left out: "
            + ", ".join(dataset.skipped)
        )
    if args.json:
        summary = {
            "top1": found.top1,
            "top5": found.top5,
            "images": found.images,
            "skipped": len(dataset.skipped),
            "skipped_files": dataset.skipped,
            "split": split_name,
            "model_file": args.model_file,
            "model": scorer.name,
            "resolution": scorer.resolution,
            "num_classes": scorer.num_classes,
            "dataset": dataset.name,
        }
        print(json.dumps(summary))


def load(args: flags.FlagValues) -> Scorer:
    """What `--model_file` names, ready to classify."""
    from mnv3_tf.trained import load_run, load_weights

    path = Path(args.model_file)
    if path.is_dir():
        return _keras_scorer(load_run(path))
    if path.suffix == ".tflite":
        return _load_tflite(path, args.threads)
    spec = resolve(args.model, args.width, args.resolution, args.num_classes)
    return _keras_scorer(load_weights(spec, args.model_file))


def _keras_scorer(trained: "Trained") -> Scorer:
    import tensorflow as tf

    spec, model = trained.spec, trained.model
    predict = tf.function(lambda images: model(images, training=False))
    return Scorer(spec.name, spec.resolution, spec.num_classes, predict, trained.class_names)


def _load_tflite(path: Path, threads: int) -> Scorer:
    from mnv3_tf.export.runtime import TFLiteModel, check_loads

    check_loads(path)
    model = TFLiteModel(path, threads=threads)
    shape = model.input.shape
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise UserError(f"{path} takes {shape}, not one square RGB picture (1, side, side, 3).")
    return Scorer(path.name, shape[1], model.output.shape[-1], model.predict)


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
