"""Trains a network, or goes on where the run in --out stopped.

    python train.py --model=small --resolution=96 --dataset=shapes --out=runs/shapes
    python train.py --model=small --dataset=folder:photos --weights=imagenet --out=runs/photos
    python train.py --task=detect --model=small --dataset=voc:cells --weights=imagenet \
        --out=runs/cells
    python train.py --task=segment --model=small --resolution=360x480 --dataset=masks:streets \
        --weights=imagenet --out=runs/streets

--out receives run.json, spec.json, metrics.jsonl, checkpoints/, best.weights.h5, tensorboard/,
curves.png and summary.json; of classifiers also confusion.png and mistakes.html. The same command
again goes on from the last checkpoint.
"""

import json

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.tasks.task import Head
from mnv3_tf.training.run_folder import by_column, score_of
from mnv3_tf.training.settings import TrainSettings
from mnv3_tf.ui import cli, settings

ENDED = {
    "patience": "stopped after epoch {epochs}, the last {patience} of which were no better",
    "time_limit": "time was up after step {steps}, in epoch {epochs}",
}


def define_flags(values: flags.FlagValues) -> None:
    settings.define(values, TrainSettings)
    settings.define(values, Head)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    for name in ("dataset", "out"):
        if not args[name].value:
            raise UserError(f"--{name} is missing; see --help.")
    asked = settings.read(args, TrainSettings, head=settings.read(args, Head))

    cli.import_tensorflow(args)
    from mnv3_tf.training.run import train

    summary = train(asked)
    score, figures = score_of(summary), by_column(summary)
    best, tested = figures[score.column], figures.get(score.test_column)
    if (reason := summary.get("ended_by", "plan")) != "plan":
        print(f"{args.out}: {ENDED[reason].format(**summary, patience=asked.patience)}.")
    if best is None and figures.get("val_images"):
        print(
            f"{args.out}: no epoch has a val {score.title}, since the validation pictures hold "
            f"nothing to measure it by; the weights kept are those of the last, epoch "
            f"{summary['best_epoch']}."
        )
    elif best is None:
        print(f"{args.out}: trained, without a validation set.")
    else:
        print(
            f"{args.out}: val {score.title} {best:.4f} in epoch "
            f"{summary['best_epoch']}, {summary['images_per_s']:.0f} images/s, "
            f"{summary['wall_s']:.0f} s."
        )
    if tested is not None:
        print(
            f"{args.out}: test {score.title} {tested:.4f} on "
            f"{figures['test_images']} pictures, which chose nothing."
        )
    if args.json:
        print(json.dumps(summary))


if __name__ == "__main__":
    cli.run(main, define_flags)
