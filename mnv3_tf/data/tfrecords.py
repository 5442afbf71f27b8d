"""`shards:DIR`: a dataset in TFRecord files, written and read.

Besides the files there is index.json, an `Index`, which is written last of all; until then
job.json has what is known of it. A file has its name when it is whole.
"""

import errno
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
from rich.console import Console
from rich.progress import track

from mnv3_tf.data.dataset import Dataset, Split
from mnv3_tf.data.examples import checked
from mnv3_tf.data.sources import Opening
from mnv3_tf.data.streaming import Host, StreamedSource, records_fault
from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write, write_json
from mnv3_tf.networks.pixels import View, recorded_view
from mnv3_tf.upright import without_metadata

FORMAT = 1  # of index.json

# The names that slim and Model Garden give them.
CONTENT, LABEL = "image/encoded", "image/class/label"


@dataclass(frozen=True)
class Shard:
    """A file: its name in the folder, how many pictures it has, and its size in bytes."""

    name: str
    pictures: int
    bytes: int


@dataclass(frozen=True)
class Index:
    """What index.json holds, besides its format.

    `pictures` counts those of a split; `view` is what evaluation sees of them; `skipped` are those
    that cannot be decoded, by path; `files` are a split's in their order, none before the end;
    `examples` is that of `Dataset`, which older ones lack.
    """

    dataset: str
    class_names: tuple[str, ...]
    pictures: dict[str, int]
    view: View
    pictures_per_shard: int
    seed: int
    skipped: tuple[str, ...]
    files: dict[str, tuple[Shard, ...]] = field(default_factory=dict)
    examples: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        write_json(path, self.as_json())

    def as_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def read(cls, path: Path) -> "Index":
        """Raises UserError where there is none, or it is not one of ours."""
        try:
            tree = json.loads(path.read_text())
            view = recorded_view(tree)
            if tree["format"] != FORMAT or view is None:
                raise ValueError
            known = {one.name: tree[one.name] for one in fields(cls) if one.name in tree}
            files = {
                split: tuple(Shard(**shard) for shard in shards)
                for split, shards in known.pop("files", {}).items()
            }
            names, skipped = (tuple(known.pop(name)) for name in ("class_names", "skipped"))
            examples = {part: tuple(own) for part, own in known.pop("examples", {}).items()}
            return cls(
                **known | {"view": view},
                class_names=names,
                skipped=skipped,
                files=files,
                examples=examples,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UserError(
                f"There is no readable {path}; make it with `python -m mnv3_tf.data.shards "
                f"--dataset=... --out={path.parent}`, into an empty folder."
            ) from None


def open_shards(asked: Opening) -> Dataset:
    """Raises UserError where the folder holds no finished shards, or one of them is missing."""
    folder, path = asked.rest, Path(asked.rest)
    index = Index.read(path / "index.json")
    for shard in (shard for shards in index.files.values() for shard in shards):
        file = path / shard.name
        size = file.stat().st_size if file.exists() else None
        if size != shard.bytes:
            problem = "is missing" if size is None else f"has {size} bytes, not {shard.bytes}"
            raise UserError(f"{file} {problem}; copy it again, or make {folder} anew.")
    splits = {
        name: Split(_source(path, shards), index.view) for name, shards in index.files.items()
    }
    return checked(
        Dataset(
            f"shards:{folder}",
            index.class_names,
            splits.get("train"),
            splits.get("val"),
            index.skipped,
            test=splits.get("test"),
            examples=index.examples,
        )
    )


def _source(folder: Path, shards: Sequence[Shard]) -> StreamedSource:
    features = {
        CONTENT: tf.io.FixedLenFeature((), tf.string),
        LABEL: tf.io.FixedLenFeature((), tf.int64),
    }

    def parse(record: Any) -> dict[str, Any]:
        parsed = tf.io.parse_single_example(record, features)
        return {"content": parsed[CONTENT], "label": tf.cast(parsed[LABEL], tf.int32)}

    def read(path: Any, pictures: Any) -> tf.data.Dataset:
        # What cannot be read of a damaged file is made up by what cannot be decoded, and counted.
        lost = tf.data.Dataset.from_tensors({"content": b"", "label": tf.constant(-1)}).repeat()
        records = tf.data.TFRecordDataset(path).map(parse).ignore_errors()
        return records.concatenate(lost).take(pictures)

    def open_stream(host: Host) -> tf.data.Dataset:
        own = shards[host.number :: host.count]
        paths = [str(folder / shard.name) for shard in own]
        counts = tf.constant([shard.pictures for shard in own], tf.int64)
        return tf.data.Dataset.from_tensor_slices((paths, counts)).flat_map(read)

    return StreamedSource(
        open_stream,
        sum(shard.pictures for shard in shards),
        len(shards),
        fault=partial(records_fault, [folder / shard.name for shard in shards]),
    )


def write_shards(
    dataset: Dataset, out: str | Path, pictures_per_shard: int = 1024, seed: int = 0
) -> Index:
    """Writes what of it is not there yet.

    Each split is shuffled under `seed`, so that any stretch of it has pictures of all classes.

    Raises:
      UserError: the folder holds something else.
      Failure: the disk is full.
    """
    out = Path(out)
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    splits = {name: split for name, split in parts.items() if split}
    job = Index(
        dataset.name,
        dataset.class_names,
        {name: len(split) for name, split in splits.items()},
        dataset.view,
        pictures_per_shard,
        seed,
        dataset.skipped,
        examples=dict(dataset.examples),
    )
    _begin(out, job)
    if (out / "index.json").exists():
        return Index.read(out / "index.json")
    try:
        files = {
            name: _write_split(split, name, out, pictures_per_shard, seed)
            for name, split in splits.items()
        }
        index = replace(job, files=files)
        index.write(out / "index.json")
    except OSError as error:
        raise Failure(
            f"Cannot write to {out} ({error.strerror}); make room, and the same command goes on."
        ) from None
    (out / "job.json").unlink()
    return index


def _begin(out: Path, job: Index) -> None:
    """Makes the folder, or checks that it is of the same job."""
    for name in ("index.json", "job.json"):
        if (out / name).exists():
            before = Index.read(out / name)
            for one in fields(job):
                was, now = getattr(before, one.name), getattr(job, one.name)
                if one.name not in ("files", "examples") and was != now:
                    raise UserError(
                        f"{out} holds shards of another {one.name}: {_short(was)}, not "
                        f"{_short(now)}; give another --out, or remove it."
                    )
            return
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty and holds no shards; give another --out.")
    job.write(out / "job.json")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _write_split(
    split: Split, name: str, out: Path, per_shard: int, seed: int
) -> tuple[Shard, ...]:
    count = math.ceil(len(split) / per_shard)
    paths = [out / f"{name}-{number:05}-of-{count:05}.tfrecord" for number in range(count)]
    sizes = [min(per_shard, len(split) - number * per_shard) for number in range(count)]
    # A file that is there is whole: it had another name until then.
    done = next((number for number, path in enumerate(paths) if not path.exists()), count)

    def read() -> Iterator[tuple[bytes, Any]]:
        with split.explained():
            yield from split.encoded(seed).skip(done * per_shard).as_numpy_iterator()

    if done < count:
        pictures = read()
        for number in track(
            range(done, count),
            f"Writing {name}",
            completed=done,
            total=count,
            console=Console(stderr=True),
            transient=True,
        ):
            _write_shard(paths[number], pictures, sizes[number])
    return tuple(
        Shard(path.name, size, path.stat().st_size) for path, size in zip(paths, sizes, strict=True)
    )


def _write_shard(path: Path, pictures: Iterator[tuple[bytes, Any]], count: int) -> None:
    try:
        with (
            atomic_write(path) as temporary,
            tf.io.TFRecordWriter(str(temporary)) as writer,
        ):
            for _ in range(count):
                writer.write(_encode(*next(pictures)))
            writer.close()  # before the file gets its name
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message) from None


def _encode(content: bytes, label: Any) -> bytes:
    """A record: one picture's file and its class."""
    features = {
        CONTENT: tf.train.Feature(bytes_list=tf.train.BytesList(value=[without_metadata(content)])),
        LABEL: tf.train.Feature(int64_list=tf.train.Int64List(value=[int(label)])),
    }
    record: bytes = tf.train.Example(
        features=tf.train.Features(feature=features)
    ).SerializeToString()
    return record
