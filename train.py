"""Trains a network, or goes on where the run in --out stopped.

    python train.py --model=small --resolution=96 --dataset=shapes --out=runs/shapes
    python train.py --model=small --dataset=folder:photos --weights=imagenet --out=runs/photos
    python train.py --task=detect --model=small --dataset=voc:cells --weights=imagenet \
        --out=runs/cells
    python train.py --task=segment --model=small --resolution=360x480 --dataset=masks:streets \
        --weights=imagenet --out=runs/streets

--out receives run.json, spec.json, metrics.jsonl, checkpoints/, best.weights.h5, tensorboard/,
curves.png and summary.json. The same command again goes on from the last checkpoint.
"""

import json
from dataclasses import fields

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.tasks.flags import define_task_flags, head_options
from mnv3_tf.tasks.specs import DATASETS, parse_resolution
from mnv3_tf.training.run_folder import SCORES, score_of
from mnv3_tf.training.settings import PRECISIONS, STRATEGIES, Settings
from mnv3_tf.ui import cli


def define_flags(values: flags.FlagValues) -> None:
    def text(name: str, default: str | None, meaning: str) -> None:
        flags.DEFINE_string(name, default, meaning, flag_values=values)

    def whole(name: str, default: int | None, meaning: str) -> None:
        flags.DEFINE_integer(name, default, meaning, flag_values=values)

    text("out", None, "Folder of the run.")
    text("dataset", None, f"{DATASETS}.")
    text("data_dir", None, "Where tensorflow_datasets keeps its sets.")
    define_task_flags(values)
    text("model", "large", "A network's name, or the path of a spec JSON.")
    flags.DEFINE_float("width", 1.0, "Width multiplier.", flag_values=values)
    text(
        "resolution",
        None,
        "Side of the square input in pixels, or HEIGHTxWIDTH to segment; the network's own if not "
        "given.",
    )
    text("weights", None, 'Weights to start from: "imagenet", or a file.')
    text(
        "recipe",
        None,
        "How to train; distill with --teacher, finetune with --weights, else quick (of other tasks "
        "detect_finetune, detect_quick, segment_finetune, segment_quick).",
    )
    whole("epochs", None, "Epochs, instead of the recipe's.")
    whole("steps", None, "Training steps of the whole run, instead of epochs.")
    whole("batch_size", None, "Pictures in a step, instead of the recipe's.")
    flags.DEFINE_float(
        "learning_rate", None, "Peak learning rate, instead of the recipe's.", flag_values=values
    )
    flags.DEFINE_multi_string(
        "override",
        [],
        "FIELD=VALUE of the recipe, such as ema_decay=0.999 or augmentation.erase=0.2; may be "
        "given several times.",
        flag_values=values,
    )
    text("teacher", None, "Learn from this run folder, SavedModel or MODEL:WEIGHTS.")
    whole("seed", 0, "Decides initial weights, order, augmentation and dropout.")
    flags.DEFINE_float(
        "held_out",
        0.0,
        "Part of the training set to leave out, for a search to judge by (docs/search.md).",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "deterministic", False, "Same seed, same bits, also after a kill.", flag_values=values
    )
    whole("checkpoint_every", 0, "Steps between checkpoints, besides each epoch and 5 minutes.")
    whole("keep_checkpoints", 2, "How many of the last checkpoints to keep.")
    text("strategy", "auto", f"Devices to train on: {', '.join(STRATEGIES)}.")
    flags.DEFINE_bool(
        "sync_batch_norm", False, "BatchNorm's statistics over all devices.", flag_values=values
    )
    text("precision", "auto", f"One of {', '.join(PRECISIONS)}.")
    flags.DEFINE_bool(
        "jit_compile",
        None,
        "Compile the training step with XLA; on GPUs if not given.",
        flag_values=values,
    )
    flags.DEFINE_bool("overwrite", False, "Replace the run in --out.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    for name in ("dataset", "out"):
        if not args[name].value:
            raise UserError(f"--{name} is missing; see --help.")
    given = {field.name: args[field.name].value for field in fields(Settings)}
    given |= {"resolution": parse_resolution(args.resolution), "head": head_options(args)}
    settings = Settings(**given)

    cli.import_tensorflow(args)
    from mnv3_tf.training.run import train

    summary = train(settings)
    score = score_of(summary)
    if summary[score] is None:
        print(f"{args.out}: trained, without a validation set.")
    else:
        print(
            f"{args.out}: val {SCORES[score]} {summary[score]:.4f} in epoch "
            f"{summary['best_epoch']}, {summary['images_per_s']:.0f} images/s, "
            f"{summary['wall_s']:.0f} s."
        )
    if args.json:
        print(json.dumps(summary))


if __name__ == "__main__":
    cli.run(main, define_flags)
