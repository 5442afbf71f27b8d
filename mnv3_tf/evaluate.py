"""Accuracy of a run folder, a weights file or a .tflite on pictures.

    python -m mnv3_tf.evaluate --model_file=runs/x --dataset=folder:photos
    python -m mnv3_tf.evaluate --model_file=w.npz --model=small --dataset=csv:labels.csv --json
    python -m mnv3_tf.evaluate --model_file=m.tflite --dataset=folder:photos --json
    python -m mnv3_tf.evaluate --model_file=cells.tflite --dataset=voc:cells --json

A run folder knows its network and its dataset, which --dataset overrides; a weights file needs
--model (and --task, --width, --resolution). A .tflite of ours knows its task, another's is known
by its outputs; what it wants of pixels is read from its metadata or its first operators, and where
it does not say, --input_range, --output_name, --labels and the like do.

All of a dataset is evaluated on, or of one with parts the one for validation (see --split). Only of
the set that the network was trained on, as run.json or m.report.json tells, it is the fifth that
was held out. Classes are matched by their names.

Classifiers are judged on the centre of a picture (--view=crop) or on all of it squeezed to the
input, as MediaPipe sees it (--view=whole): as the run or the file records, which --view overrides.

Classifiers get top-1, top-5 and all classes one by one, detectors COCO's mAP, segmentation networks
mIoU.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from absl import flags

from mnv3_tf.data.sources import usage
from mnv3_tf.errors import UserError
from mnv3_tf.tasks.flags import define_network_flags
from mnv3_tf.tasks.specs import NamedNetwork
from mnv3_tf.tasks.task import Head
from mnv3_tf.tflite.reading import Reading
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
    data_dir: str | None = setting(None, "Where tensorflow_datasets keeps its sets.")
    batch_size: int = setting(32, "Pictures at a time.", least=1)
    threads: int = setting(2, "Threads for a .tflite.", least=1)
    seed: int | None = setting(
        None, "Of a dataset that is drawn, or divided at random; the training's if not given."
    )
    split: Literal["train", "val", "test"] | None = setting(
        None, "The part of the dataset; if not given val, else test, else train."
    )
    out: str | None = setting(
        None,
        "Folder for evaluation.json, and of classifiers confusion.png and mistakes.html, the "
        "pictures that are wrong and surest of it.",
    )


def define_flags(values: flags.FlagValues) -> None:
    settings.define(values, EvaluateSettings)
    settings.define(values, Reading)
    define_network_flags(values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    asked = settings.read(args, EvaluateSettings)
    if not asked.model_file:
        raise UserError("--model_file is missing; give a run folder, a weights file or a .tflite.")
    path = Path(asked.model_file)
    if asked.model_file != "imagenet" and not path.exists():
        raise UserError(f"--model_file={path} does not exist.")
    if path.is_dir() and RunFolder(path).recorded() is None:
        raise UserError(f"{path} is not the folder of a run: it holds no run.json.")

    cli.import_tensorflow(args)
    from mnv3_tf import evaluation

    named, head = settings.read(args, NamedNetwork), settings.read(args, Head)
    result = evaluation.evaluate_file(asked, settings.read(args, Reading), named, head)
    _show(result)
    if asked.out:
        print(f"Written: {', '.join(map(str, result.write(Path(asked.out))))}.")
    if args.json:
        print(json.dumps({**result.as_json(), "model_file": asked.model_file}))


def _show(result: "Evaluation") -> None:
    from mnv3_tf.training import by_class

    task, dataset, measured = result.scorer.task, result.dataset, result.measured
    figures = [tables.figure(measured[metric.key]) for metric in task.metrics]
    columns = ("model", "split", "view", "images", *(metric.title for metric in task.metrics))
    row = (result.scorer.name, result.split, dataset.view, measured["images"], *figures)
    tables.show(dataset.name, columns, [row])
    if task.per_class:
        named = zip(result.class_names, map(tables.figure, measured["per_class"]), strict=False)
        tables.show("By class", ("class", task.per_class.title), named)
    if result.answers:
        by_class.show(result.answers)
    for note in result.notes:
        print(f"{note}.")


if __name__ == "__main__":
    cli.run(main, define_flags)
