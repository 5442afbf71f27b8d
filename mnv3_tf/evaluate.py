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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from mnv3_tf.data.sources import usage
from mnv3_tf.errors import UserError
from mnv3_tf.networks.pixels import InputRange
from mnv3_tf.tasks.flags import define_network_flags, network_spec
from mnv3_tf.tasks.specs import WEIGHTS_RANGE
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.ui import cli, settings, tables
from mnv3_tf.ui.settings import Checked, setting

if TYPE_CHECKING:
    from mnv3_tf.evaluation import Evaluation


@dataclass(frozen=True)
class EvaluateSettings(Checked):
    model_file: str | None = setting(
        None, 'A run folder, a .tflite, or weights (a file, or "imagenet").'
    )
    dataset: str | None = setting(None, f"{usage()}.")
    input_range: InputRange | None = setting(None, WEIGHTS_RANGE)
    data_dir: str | None = setting(None, "Where tensorflow_datasets keeps its sets.")
    batch_size: int = setting(32, "Pictures at a time.", least=1)
    threads: int = setting(2, "Threads for a .tflite.", least=1)
    seed: int = setting(0, "Of a dataset's random split.")


def define_flags(values: flags.FlagValues) -> None:
    settings.define(values, EvaluateSettings)
    define_network_flags(values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    asked = settings.read(args, EvaluateSettings)
    if not asked.model_file:
        raise UserError("--model_file is missing; give a run folder, a weights file or a .tflite.")
    path = Path(asked.model_file)
    if asked.model_file != "imagenet" and not path.exists():
        raise UserError(f"--model_file={path} does not exist.")
    name, training = asked.dataset, False
    options = {"data_dir": asked.data_dir, "seed": asked.seed}
    if path.is_dir():
        recorded = RunFolder(path).recorded()
        if recorded is None:
            raise UserError(f"{path} is not the folder of a run: it holds no run.json.")
        # The split that was made for training: another would evaluate on training pictures.
        own = recorded["settings"]["dataset"]
        name = name or own
        training = name == own
        options["data_dir"] = asked.data_dir or recorded["settings"]["data_dir"]
        options["seed"] = asked.seed if args["seed"].present else recorded["seed"]
    if not name:
        raise UserError("--dataset is missing; give the pictures to evaluate on.")

    cli.import_tensorflow(args)
    from mnv3_tf import evaluation

    scorer = evaluation.load(
        asked.model_file, lambda: network_spec(args), asked.threads, asked.input_range
    )
    dataset = evaluation.open_dataset(scorer, name, training=training, **options)
    result = evaluation.evaluate(scorer, dataset, asked.batch_size)
    _show(result)
    if args.json:
        print(json.dumps({**result.as_json(), "model_file": asked.model_file}))


def _show(result: "Evaluation") -> None:
    task, dataset, measured = result.scorer.task, result.dataset, result.measured
    figures = [_figure(measured[metric.key]) for metric in task.metrics]
    columns = ("model", "split", "images", *(metric.title for metric in task.metrics))
    row = (result.scorer.name, result.split, measured["images"], *figures)
    tables.show(dataset.name, columns, [row])
    if task.per_class:
        named = zip(dataset.class_names, map(_figure, measured["per_class"]), strict=False)
        tables.show("By class", ("class", task.per_class), named)
    for note in dataset.notes:
        print(f"{note}.")
    if dataset.skipped:
        print(
            f"{len(dataset.skipped)} pictures could not be decoded and were left out: "
            + ", ".join(dataset.skipped)
        )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    cli.run(main, define_flags)
