"""Writes a dataset as TFRecord shards, which several hosts can read side by side.

    python -m mnv3_tf.data.shards --dataset=folder:photos --out=photos-shards
    python train.py --dataset=shards:photos-shards --model=small --out=runs/photos

--out receives train-00000-of-00016.tfrecord and so on, and, last of all, index.json. Every file
is written to a temporary name first; the same command goes on where it was stopped. Pictures of
folders and tables that cannot be decoded are left out and named in the index.
"""

import json
from dataclasses import dataclass

from absl import flags

from mnv3_tf.data.sources import open_dataset, usage
from mnv3_tf.errors import UserError
from mnv3_tf.ui import cli, settings
from mnv3_tf.ui.settings import Checked, setting


@dataclass(frozen=True)
class ShardSettings(Checked):
    """What is written, and where to; raises UserError for what is missing or out of range."""

    dataset: str | None = setting(None, f"{usage('classes')}.")
    data_dir: str | None = setting(None, "Where tensorflow_datasets keeps its sets.")
    out: str | None = setting(None, "Folder of the shards.")
    pictures_per_shard: int = setting(1024, "The last has fewer.", least=1)
    seed: int = setting(0, "Of the order, and of a split of the dataset.")


def define_flags(values: flags.FlagValues) -> None:
    settings.define(values, ShardSettings)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    asked = settings.read(args, ShardSettings)
    if not asked.dataset:
        raise UserError("--dataset is missing; see --help.")
    if not asked.out:
        raise UserError("--out is missing; see --help.")
    cli.import_tensorflow(args)
    from mnv3_tf.data.tfrecords import write_shards

    dataset = open_dataset(asked.dataset, data_dir=asked.data_dir, seed=asked.seed, training=True)
    index = write_shards(dataset, asked.out, asked.pictures_per_shard, asked.seed)
    counts = ", ".join(f"{count} for {split}" for split, count in index.pictures.items())
    print(f"{asked.out}: {counts}; {len(index.skipped)} could not be decoded.")
    if args.json:
        print(json.dumps(index.as_json()))


if __name__ == "__main__":
    cli.run(main, define_flags)
