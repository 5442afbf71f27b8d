"""Reads a dataset from TFRecord shards; `shards.py` writes them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

    from mnv3_tf.data.dataset import Dataset
    from mnv3_tf.data.streams import Host, StreamedSource

FORMAT = 1  # of index.json

# The names that slim and Model Garden give them.
CONTENT, LABEL = "image/encoded", "image/class/label"


def open_shards(asked: Opening) -> "Dataset":
    """Raises UserError where the folder holds no finished shards, or one of them is missing."""
    from mnv3_tf.data.dataset import Dataset, Split

    folder, path = asked.rest, Path(asked.rest)
    index = read_index(path / "index.json")
    class_names, files = tuple(index["class_names"]), index["files"]
    for file in (file for split in files.values() for file in split):
        size = (path / file["name"]).stat().st_size if (path / file["name"]).exists() else None
        if size != file["bytes"]:
            found = "is missing" if size is None else f"has {size} bytes, not {file['bytes']}"
            raise UserError(f"{path / file['name']} {found}; copy it again, or make {folder} anew.")
    splits = {name: Split(_source(path, split), index["resize"]) for name, split in files.items()}
    skipped = tuple(index["skipped"])
    return Dataset(f"shards:{folder}", class_names, splits.get("train"), splits.get("val"), skipped)


def read_index(path: Path) -> dict[str, Any]:
    """Raises UserError where there is none, or it is not one of ours."""
    try:
        index = json.loads(path.read_text())
        if index["format"] != FORMAT:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"There is no readable {path}; make it with `python -m mnv3_tf.data.shards "
            f"--dataset=... --out={path.parent}`, into an empty folder."
        ) from None
    assert isinstance(index, dict)
    return index


def encode(content: bytes, label: int) -> bytes:
    """A record: one picture's file and its class."""
    import tensorflow as tf

    features = {
        CONTENT: tf.train.Feature(bytes_list=tf.train.BytesList(value=[content])),
        LABEL: tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _source(folder: Path, files: list[dict[str, Any]]) -> "StreamedSource":
    import tensorflow as tf

    from mnv3_tf.data.streams import StreamedSource

    features = {
        CONTENT: tf.io.FixedLenFeature((), tf.string),
        LABEL: tf.io.FixedLenFeature((), tf.int64),
    }

    def parse(record: Any) -> dict[str, Any]:
        found = tf.io.parse_single_example(record, features)
        label = tf.cast(found[LABEL], tf.int32)
        return {"content": found[CONTENT], "label": label}

    def read(path: Any, pictures: Any) -> "tf.data.Dataset":
        # What cannot be read of a damaged file is made up by what cannot be decoded, and counted.
        lost = tf.data.Dataset.from_tensors({"content": b"", "label": tf.constant(-1)}).repeat()
        records = tf.data.TFRecordDataset(path).map(parse).ignore_errors()
        return records.concatenate(lost).take(pictures)

    def open_stream(host: "Host") -> "tf.data.Dataset":
        own = files[host.number :: host.count]
        paths = [str(folder / file["name"]) for file in own]
        counts = tf.constant([file["pictures"] for file in own], tf.int64)
        return tf.data.Dataset.from_tensor_slices((paths, counts)).flat_map(read)

    return StreamedSource(open_stream, sum(file["pictures"] for file in files), len(files))
