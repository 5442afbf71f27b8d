"""Writes a dataset as TFRecord shards, which several hosts can read side by side.

    python -m mnv3_tf.data.shards --dataset=folder:photos --out=photos-shards
    python train.py --dataset=shards:photos-shards --model=small --out=runs/photos

--out receives train-00000-of-00016.tfrecord and so on, and, last of all, index.json. Every file
is written to a temporary name first; the same command goes on where it was stopped. Pictures of
folders and tables that cannot be decoded are left out and named in the index.
"""

import errno
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.data.sharded import FORMAT, encode, read_index
from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write, write_json
from mnv3_tf.ui import cli

if TYPE_CHECKING:
    from mnv3_tf.data.dataset import Dataset, Split


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "dataset", None, "shapes, folder:DIR, csv:FILE or tfds:NAME.", flag_values=values
    )
    flags.DEFINE_string(
        "data_dir", None, "Where tensorflow_datasets keeps its sets.", flag_values=values
    )
    flags.DEFINE_string("out", None, "Folder of the shards.", flag_values=values)
    flags.DEFINE_integer("pictures_per_shard", 1024, "The last has fewer.", flag_values=values)
    flags.DEFINE_integer(
        "seed", 0, "Of the order, and of a split of the dataset.", flag_values=values
    )
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    for name in ("dataset", "out"):
        if not args[name].value:
            raise UserError(f"--{name} is missing; see --help.")
    if args.pictures_per_shard < 1:
        raise UserError(f"--pictures_per_shard={args.pictures_per_shard} must be at least 1.")
    cli.import_tensorflow(args)
    from mnv3_tf.data.sources import open_dataset

    dataset = open_dataset(args.dataset, data_dir=args.data_dir, seed=args.seed, training=True)
    index = write_shards(dataset, args.out, args.pictures_per_shard, args.seed)
    counts = ", ".join(f"{count} for {split}" for split, count in totals(index).items())
    print(f"{args.out}: {counts}; {len(index['skipped'])} could not be decoded.")
    if args.json:
        print(json.dumps(index))


def write_shards(
    dataset: "Dataset", out: str | Path, pictures_per_shard: int = 1024, seed: int = 0
) -> dict[str, Any]:
    """Writes what of it is not there yet; returns what index.json holds.

    Each split is shuffled under `seed`, so that any stretch of it has pictures of all classes.

    Raises:
      UserError: the folder holds something else.
      Failure: the disk is full.
    """
    out = Path(out)
    splits = {"train": dataset.train, "val": dataset.val}
    job = {
        "format": FORMAT,
        "dataset": dataset.name,
        "class_names": list(dataset.class_names),
        "pictures": {name: len(split) for name, split in splits.items() if split},
        "resize": dataset.val.resize if dataset.val else "resize256_crop",
        "pictures_per_shard": pictures_per_shard,
        "seed": seed,
        "skipped": list(dataset.skipped),
    }
    _begin(out, job)
    if (out / "index.json").exists():
        return read_index(out / "index.json")
    files = {}
    try:
        for name, split in splits.items():
            if split:
                files[name] = _write_split(split, name, out, pictures_per_shard, seed)
        index = job | {"files": files}
        write_json(out / "index.json", index)
    except OSError as error:
        raise Failure(
            f"Cannot write to {out} ({error.strerror}); make room, and the same command goes on."
        ) from None
    (out / "job.json").unlink()
    return index


def totals(index: dict[str, Any]) -> dict[str, int]:
    """Pictures by split."""
    return {name: sum(file["pictures"] for file in files) for name, files in index["files"].items()}


def _begin(out: Path, job: dict[str, Any]) -> None:
    """Makes the folder, or finds that it is of the same job."""
    for name in ("index.json", "job.json"):
        if (out / name).exists():
            before = read_index(out / name)
            for key, value in job.items():
                if before.get(key) != value:
                    raise UserError(
                        f"{out} holds shards of another {key}: {_shown(before.get(key))}, not "
                        f"{_shown(value)}; give another --out, or remove it."
                    )
            return
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty and holds no shards; give another --out.")
    with atomic_write(out / "job.json") as temporary:
        temporary.write_text(json.dumps(job) + "\n")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _write_split(
    split: "Split", name: str, out: Path, per_shard: int, seed: int
) -> list[dict[str, Any]]:
    from rich.console import Console
    from rich.progress import track

    shards = math.ceil(len(split) / per_shard)
    paths = [out / f"{name}-{shard:05}-of-{shards:05}.tfrecord" for shard in range(shards)]
    # A file that is there is whole: it had another name until then.
    done = next((n for n, path in enumerate(paths) if not path.exists()), shards)
    if done < shards:
        pictures = iter(split.encoded(seed).skip(done * per_shard))
        for shard in track(
            range(done, shards),
            f"Writing {name}",
            completed=done,
            total=shards,
            console=Console(stderr=True),
            transient=True,
        ):
            _write_shard(paths[shard], pictures, min(per_shard, len(split) - shard * per_shard))
    return [
        {
            "name": path.name,
            "pictures": min(per_shard, len(split) - shard * per_shard),
            "bytes": path.stat().st_size,
        }
        for shard, path in enumerate(paths)
    ]


def _write_shard(path: Path, pictures: Any, count: int) -> None:
    import tensorflow as tf

    try:
        with (
            atomic_write(path) as temporary,
            tf.io.TFRecordWriter(str(temporary)) as writer,
        ):
            for _ in range(count):
                content, label = (value.numpy() for value in next(pictures))
                writer.write(encode(content, int(label)))
            writer.close()  # before the file gets its name
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message) from None


if __name__ == "__main__":
    cli.run(main, define_flags)
