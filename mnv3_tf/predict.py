"""What a .tflite says of pictures: classes, boxes or masks, as a table, drawings and JSON.

    python -m mnv3_tf.predict --model_file=flowers.tflite rose.jpg tulip.jpg
    python -m mnv3_tf.predict --model_file=cells.tflite photos --out=found
    python -m mnv3_tf.predict --model_file=streets.tflite street.jpg --out=found --json

A classifier sees the centre of a picture (--view=crop) or all of it, squeezed to the input, as
MediaPipe does (--view=whole): what the file was judged by, if not given.

A folder stands for all pictures in it and below. The file may be ours or another's: its spec or
its outputs tell what it does. What it wants of pixels is read from its metadata or its first
operators; where a file does not say, --input_range, --output_name, --labels and the like do.

With --out each picture NAME becomes NAME.png, with the result drawn into it, and NAME.json;
segmentation gives NAME.mask.png too, whose pixels are class indices. Boxes are in pixels of the
upright picture. A picture that cannot be read is named at the end, with exit status 1; the others
are done all the same.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import flags

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.tasks import TASKS
from mnv3_tf.tflite.reading import Reading
from mnv3_tf.ui import cli, settings
from mnv3_tf.ui.settings import Checked, setting


@dataclass(frozen=True)
class PredictSettings(Checked):
    model_file: str | None = setting(None, "The .tflite.")
    image: tuple[str, ...] = setting(
        (), "A picture, or a folder of them; needs no flag.", repeated=True
    )
    out: str | None = setting(None, "The folder to write to.")
    score: float = setting(0.5, "Detection: the least score.", least=0, most=1)
    top: int = setting(5, "Classification: how many classes.", least=1)
    threads: int = setting(2, "Threads to compute with.", least=1)


def define_flags(values: flags.FlagValues) -> None:
    settings.define(values, PredictSettings)
    settings.define(values, Reading)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    asked = settings.read(args, PredictSettings)
    if not asked.model_file:
        raise UserError("--model_file is missing; give a .tflite.")
    from mnv3_tf import prediction
    from mnv3_tf.tflite.predictor import open_model

    out = Path(asked.out) if asked.out else None
    pictures = prediction.find_pictures(asked.image, out)
    names = prediction.out_names(pictures, out)
    if out and out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file; choose a folder.")

    model = open_model(asked.model_file, asked.threads, settings.read(args, Reading))
    results: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for path, name in zip(prediction.with_bar(pictures), names, strict=True):
        try:
            results.append(
                prediction.predict(model, path, asked.score, asked.top, out and out / name)
            )
        except prediction.Unreadable as error:
            failed.append({"picture": str(path), "reason": str(error)})
    prediction.show(model, results)
    for note in model.notes:
        print(f"{note}.")
    if out and results:
        print(f"Drawn in {out}.")
    if args.json:
        summary = {
            "model_file": asked.model_file,
            "task": model.task,
            "labels": model.labels,
            "view": TASKS[model.task].view(model.view),
            "notes": model.notes,
            "pictures": results,
            "failed": failed,
        }
        print(json.dumps(summary))
    if failed:
        reasons = "; ".join(one["reason"].rstrip(".") for one in failed)
        others = "; the others are done" if results else ""
        raise Failure(f"{len(failed)} of {len(pictures)} pictures failed{others}: {reasons}.")


if __name__ == "__main__":
    cli.run(main, define_flags, bare="image")
