"""Sets that are too large for memory: read in the order on disk, shuffled in a buffer."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

Tensor = Any

SHUFFLE_BUFFER = 8192
"""Pictures among which a streamed epoch is shuffled, as they are encoded (ImageNet: 0.9 GB).

The sets are prepared in a random order, so that a buffer is enough.
"""


@dataclass(frozen=True)
class Host:
    """One of `count` machines that read a dataset together; `number` counts from 0."""

    number: int
    count: int


ALONE = Host(0, 1)


class StreamedSource:
    """Pictures that can only be read in their order on disk, from one or more files."""

    checked = False

    def __init__(
        self,
        open_stream: Callable[[Host], tf.data.Dataset],
        count: int,
        files: int = 1,
        host: Host = ALONE,
        fault: Callable[[], str | None] = lambda: None,
    ):
        """`open_stream` gives {"content", "label"} of a host's files: what `load` returns, as keys.

        `count` is of all files together.
        """
        self._open_stream, self._count, self._files, self._host = open_stream, count, files, host
        self._fault = fault

    def __len__(self) -> int:
        return self._count

    def of_host(self, host: Host) -> "StreamedSource | None":
        """The files of one host; None where there are fewer files than hosts."""
        if self._files < host.count:
            return None
        return StreamedSource(self._open_stream, self._count, self._files, host, self._fault)

    def in_order(self) -> tf.data.Dataset:
        return self._open_stream(self._host)

    def sample(self, count: int, seed: int) -> tf.data.Dataset:
        return _shuffle(self.in_order(), 4 * count, tf.constant([seed, 0], tf.int64)).take(count)

    def epoch(self, order_seed: Tensor) -> tf.data.Dataset:
        return _shuffle(self.in_order(), SHUFFLE_BUFFER, order_seed)

    def divided(self, held_out: int, seed: int) -> tuple["StreamedSource", "StreamedSource"]:
        """The first pictures are held out, whatever the seed; both are read by one host alone."""
        return (
            StreamedSource(
                lambda host: self.in_order().skip(held_out),
                self._count - held_out,
                fault=self._fault,
            ),
            StreamedSource(
                lambda host: self.in_order().take(held_out), held_out, fault=self._fault
            ),
        )

    def load(self, key: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return key["content"], key["label"]

    def fault(self) -> str | None:
        return self._fault()


def records_fault(paths: Sequence[str | Path]) -> str | None:
    """What is wrong with the first TFRecord file that is not whole, None where all are."""
    for path in paths:
        try:
            with open(path, "rb") as file:
                size, end = os.fstat(file.fileno()).st_size, 0
                while end < size:  # a record: its length in 8 bytes, checksums of 4 each
                    file.seek(end)
                    length = int.from_bytes(file.read(8), "little")
                    end += 8 + 4 + length + 4
        except OSError as error:
            return f"Cannot read {path} ({error.strerror}); put it back"
        if end > size:
            return f"{path} is cut short, or damaged; make or copy it anew"
    return None


def batches_with_gaps(
    keys: tf.data.Dataset,
    view: Callable[..., tuple[Tensor, Tensor]],
    batch_size: int,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """(pictures, labels), where each of `keys` becomes a picture and its label by `view`.

    A picture that cannot be decoded is black and has the label -1; it keeps its place, so that all
    others are where they would have been.
    """

    # Whole batches beside one another: a pipeline within for each picture is slow.
    def load(*batch: Any) -> tuple[Tensor, Tensor]:
        count = tf.shape(tf.nest.flatten(batch)[0])[0]
        each = tf.data.Dataset.from_tensor_slices((tf.range(count), *batch))
        good = each.map(lambda place, *key: (place, *view(*key))).ignore_errors()
        none = tf.data.Dataset.from_tensors(
            tuple(tf.zeros((0, *spec.shape), spec.dtype) for spec in good.element_spec)
        )
        places, pictures, labels = (
            good.batch(batch_size).concatenate(none).take(1).get_single_element()
        )

        def with_gaps() -> tuple[Tensor, Tensor]:
            black = tf.fill((count, *pictures.shape[1:]), tf.cast(-1.0, pictures.dtype))
            return (
                tf.tensor_scatter_nd_update(black, places[:, None], pictures),
                tf.tensor_scatter_nd_update(
                    tf.fill((count,), tf.cast(-1, labels.dtype)), places[:, None], labels
                ),
            )

        return tf.cond(tf.size(places) == count, lambda: (pictures, labels), with_gaps)

    batches = keys.batch(batch_size, drop_remainder).map(load, tf.data.AUTOTUNE)
    shapes = keys.map(view).batch(batch_size, drop_remainder).element_spec
    return batches.map(
        lambda *batch: tuple(
            tf.ensure_shape(tensor, spec.shape) for tensor, spec in zip(batch, shapes, strict=True)
        )
    )


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
