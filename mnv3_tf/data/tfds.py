"""`tfds:NAME`: a set that tensorflow_datasets has prepared on this machine."""

from typing import Any

import numpy as np
import tensorflow as tf

from mnv3_tf.data.dataset import Dataset, Source, Split, in_memory
from mnv3_tf.data.files import MEMORY_BOUND
from mnv3_tf.errors import UserError

Tensor = Any

SHUFFLE_BUFFER = 8192
"""Pictures among which a streamed epoch is shuffled, as they are encoded (ImageNet: 0.9 GB).

The sets are prepared in a random order, so that a buffer is enough.
"""


class StreamedSource:
    """Pictures that can only be read in their order on disk."""

    def __init__(self, stream: tf.data.Dataset, count: int):
        """`stream` yields {"content", "label"}, which are keys and what `load` returns."""
        self._stream = stream
        self._count = count

    def __len__(self) -> int:
        return self._count

    def in_order(self) -> tf.data.Dataset:
        return self._stream

    def sample(self, count: int, seed: int) -> tf.data.Dataset:
        return _shuffle(self._stream, 4 * count, tf.constant([seed, 0], tf.int64)).take(count)

    def epoch(self, order_seed: Tensor) -> tf.data.Dataset:
        return _shuffle(self._stream, SHUFFLE_BUFFER, order_seed)

    def load(self, key: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return key["content"], key["label"]


def _shuffle(stream: tf.data.Dataset, buffer_size: int, seed: Tensor) -> tf.data.Dataset:
    """`Dataset.shuffle` whose order depends on `seed` (int64 (2,)) alone.

    The method itself mixes in the global seed, and fails for a seed tensor where that is 0.
    """
    # From 1 on: two zeros would mean an order that is not reproducible.
    seeds = tf.random.stateless_uniform((2,), seed, 1, tf.int64.max, tf.int64)
    specs = tf.nest.flatten(stream.element_spec)
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(stream),
        buffer_size=tf.constant(buffer_size, tf.int64),
        seed=seeds[0],
        seed2=seeds[1],
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, stream.element_spec)


def open_tfds(name: str, data_dir: str | None = None, memory_bound: int = MEMORY_BOUND) -> Dataset:
    """The splits "train" and "validation" (or else "test") of a prepared set.

    Nothing is ever downloaded: sets can be large, and some want a manual step. Sets of up to
    `memory_bound` bytes are kept in memory; larger ones are streamed, and training that goes on
    in the middle of an epoch reads past what it has seen.

    Raises:
      UserError: a set that is unknown, not prepared here, or not one of pictures with labels.
    """
    import tensorflow_datasets as tfds

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
    splits = {
        split: Split(_open_split(tfds, builder, split, memory_bound))
        for split in ("train", held_out)
        if split is not None and split in sizes
    }
    class_names = tuple(builder.info.features["label"].names)
    val = splits.get(held_out) if held_out else None
    return Dataset(f"tfds:{name}", class_names, splits.get("train"), val)


def _open_split(tfds: Any, builder: Any, split: str, memory_bound: int) -> Source:
    stream = builder.as_dataset(
        split=split,
        decoders={"image": tfds.decode.SkipDecoding()},
        # Positions must mean the same pictures every time.
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
        shuffle_files=False,
    )
    stream = stream.map(
        lambda picture: {
            "content": picture["image"],
            "label": tf.cast(picture["label"], tf.int32),
        }
    )
    info = builder.info.splits[split]
    if info.num_bytes > memory_bound:
        return StreamedSource(stream, info.num_examples)
    pictures = list(stream.as_numpy_iterator())
    return in_memory(
        [picture["content"] for picture in pictures],
        np.array([picture["label"] for picture in pictures]),
    )
