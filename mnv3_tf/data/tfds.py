"""`tfds:NAME`: a set that tensorflow_datasets has prepared on this machine."""

from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from mnv3_tf.data.dataset import Dataset, Source, Split, in_memory
from mnv3_tf.data.examples import checked
from mnv3_tf.data.picture_files import MEMORY_BOUND
from mnv3_tf.data.sources import Opening
from mnv3_tf.data.streaming import Host, StreamedSource, records_fault
from mnv3_tf.errors import UserError


def open_tfds(asked: Opening, memory_bound: int = MEMORY_BOUND) -> Dataset:
    """The splits "train" and "validation" (or else "test") of a prepared set.

    Nothing is ever downloaded: sets can be large, and some want a manual step. Sets of up to
    `memory_bound` bytes are kept in memory; larger ones are streamed, and training that goes on
    in the middle of an epoch reads past what it has seen.

    Raises:
      UserError: a set that is unknown, not prepared here, or not one of pictures with labels.
    """
    import tensorflow_datasets as tfds

    name, data_dir = asked.rest, asked.data_dir
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError, AttributeError):
        raise UserError(
            f"tensorflow_datasets has no set {name!r}; `tfds build --help` and "
            f"tensorflow.org/datasets/catalog list those it has."
        ) from None
    sizes = builder.info.splits
    held_out = next((split for split in ("validation", "test") if split in sizes), None)
    if "train" not in sizes and held_out is None:
        where = f" --data_dir={data_dir}" if data_dir else ""
        raise UserError(
            f"The set {name} is not prepared in {builder.data_dir}; prepare it with "
            f"`tfds build {name}{where}`, or name its folder with --data_dir."
        )
    if builder.info.supervised_keys != ("image", "label"):
        raise UserError(
            f"The set {name} has no pictures with one label each; choose one for image "
            f"classification."
        )
    sources, labels = {}, {}
    for part, split in (("train", "train"), ("val", held_out)):
        if split is not None and split in sizes:
            sources[part], labels[part] = _open_split(tfds, builder, split, memory_bound)
    class_names = tuple(builder.info.features["label"].names)
    splits = {part: Split(source) for part, source in sources.items()}
    examples = {
        # Sets that are there to be guessed have -1.
        part: tuple(np.bincount(own[own >= 0], minlength=len(class_names)).tolist())
        for part, own in labels.items()
        if own is not None
    }
    return checked(
        Dataset(
            f"tfds:{name}",
            class_names,
            splits.get("train"),
            splits.get("val"),
            examples=examples,
        )
    )


def _open_split(
    tfds: Any, builder: Any, split: str, memory_bound: int
) -> tuple[Source, np.ndarray | None]:
    """And the labels of its pictures, int (N,); None where they would have to be read first."""

    def open_stream(host: Host) -> tf.data.Dataset:
        stream = builder.as_dataset(
            split=split,
            decoders={"image": tfds.decode.SkipDecoding()},
            # Positions must mean the same pictures every time.
            read_config=tfds.ReadConfig(
                interleave_cycle_length=1,
                input_context=tf.distribute.InputContext(host.count, host.number),
            ),
            shuffle_files=False,
        )
        return stream.map(
            lambda picture: {
                "content": picture["image"],
                "label": tf.cast(picture["label"], tf.int32),
            }
        )

    info = builder.info.splits[split]
    fault = partial(records_fault, info.filepaths)
    source = StreamedSource(open_stream, info.num_examples, info.num_shards, fault=fault)
    if info.num_bytes > memory_bound:
        return source, None
    with Split(source).explained():
        pictures = list(source.in_order().as_numpy_iterator())
    labels = np.array([picture["label"] for picture in pictures])
    return in_memory([picture["content"] for picture in pictures], labels), labels
