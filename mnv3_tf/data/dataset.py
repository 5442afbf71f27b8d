"""A dataset as two splits, and a split as batches."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from mnv3_tf import upright
from mnv3_tf.data.streaming import ALONE, Host, batches_with_gaps
from mnv3_tf.data.task_views import CLASSIFICATION, Example, Views
from mnv3_tf.errors import LostPicturesError, UserError
from mnv3_tf.networks.pixels import View
from mnv3_tf.tasks.class_names import shown
from mnv3_tf.tasks.specs import Resolution

Tensor = Any
_ENDLESS = np.iinfo(np.int64).max


class Source(Protocol):
    """Where a split's pictures come from.

    Its datasets are of keys, cheap to shuffle and skip; `load` turns a key into the picture.
    `checked` says that all of them are known to decode.
    """

    checked: bool

    def __len__(self) -> int: ...

    def in_order(self) -> tf.data.Dataset:
        """Each key once, always in the same order."""

    def sample(self, count: int, seed: int) -> tf.data.Dataset:
        """At most `count` keys, each once."""

    def epoch(self, order_seed: Tensor) -> tf.data.Dataset:
        """Each key once, in an order that depends on `order_seed` (int64 (2,)) alone."""

    def of_host(self, host: Host) -> "Source | None":
        """What one host reads by itself; None where each has to go through all keys."""

    def divided(self, held_out: int, seed: int) -> tuple["Source", "Source"]:
        """All but `held_out` of the pictures, and those."""

    def load(self, key: Tensor) -> tuple[Tensor, Any]:
        """Encoded bytes (string scalar) or uint8 (H, W, 3), and the label.

        The label is an int32 scalar, or what the task's views take (see `Views`).
        """

    def fault(self) -> str | None:
        """What cannot be read of its files now, as "FILE is ...; what to do"; None for nothing.

        It takes as long as reading all of them, and is asked once something went wrong.
        """


class IndexedSource:
    """Pictures that can be read by their index, in any order."""

    checked = True

    def __init__(
        self,
        count: int,
        read: Callable[[Tensor], Tensor],
        read_label: Callable[[Tensor], Any],
        fault: Callable[[], str | None] = lambda: None,
    ):
        """Both readers take an index (int64 scalar) and return what `load` does for it."""
        self._count, self._read, self._read_label = count, read, read_label
        self._fault = fault

    def __len__(self) -> int:
        return self._count

    def of_host(self, host: Host) -> None:
        return None  # an index costs nothing

    def in_order(self) -> tf.data.Dataset:
        return tf.data.Dataset.range(len(self))

    def sample(self, count: int, seed: int) -> tf.data.Dataset:
        chosen = np.random.default_rng(seed).permutation(len(self))[:count]
        return tf.data.Dataset.from_tensor_slices(chosen.astype(np.int64))

    def epoch(self, order_seed: Tensor) -> tf.data.Dataset:
        indices = tf.range(len(self), dtype=tf.int64)
        order = tf.random.experimental.stateless_shuffle(indices, order_seed)
        return tf.data.Dataset.from_tensor_slices(order)

    def divided(self, held_out: int, seed: int) -> tuple["IndexedSource", "IndexedSource"]:
        """Drawn at random under `seed`."""
        order = np.random.default_rng(seed).permutation(len(self)).astype(np.int64)
        return self._part(order[held_out:]), self._part(order[:held_out])

    def _part(self, indices: np.ndarray) -> "IndexedSource":
        whole = reader_of(indices)
        return IndexedSource(
            len(indices),
            lambda index: self._read(whole(index)),
            lambda index: self._read_label(whole(index)),
            self._fault,
        )

    def load(self, key: Tensor) -> tuple[Tensor, Any]:
        return self._read(key), self._read_label(key)

    def fault(self) -> str | None:
        return self._fault()


class Split:
    """The pictures of one part of a dataset, as batches.

    Training batches are addressed by position: batch number s depends on the seed, the batch
    size and s alone. That is what lets training go on after a stop without a saved iterator.
    """

    def __init__(
        self,
        source: Source,
        view: View = "crop",
        views: Views = CLASSIFICATION,
        paths: Sequence[str] | None = None,
    ) -> None:
        """`view` is what evaluation sees of a picture; `paths` are the files in order, or None."""
        self._source, self.view, self._views, self.paths = source, view, views, paths

    def __len__(self) -> int:
        return len(self._source)

    def seen_as(self, view: View) -> "Split":
        """The same pictures, of which evaluation sees that."""
        return Split(self._source, view, self._views, self.paths)

    def divided(self, held_out: float, seed: int) -> tuple["Split", "Split"]:
        """All but the part `held_out` (0 to 1) of the pictures, and that, for a search.

        Equal arguments divide alike. Raises UserError where one of both would be empty.
        """
        count = round(held_out * len(self))
        if not 0 < count < len(self):
            raise UserError(
                f"--held_out={held_out:g} of {len(self)} training pictures is {count}; both parts "
                "need some, so choose another part, from 0 to 1."
            )
        rest, held = self._source.divided(count, seed)
        return Split(rest, self.view, self._views), Split(held, self.view, self._views)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Within it, what fails because a file cannot be read any more raises LostPicturesError."""
        try:
            yield
        except tf.errors.OpError as error:
            if fault := self._source.fault():
                raise LostPicturesError(f"{fault}, and start the same command again.") from error
            raise

    def class_counts(self, num_classes: int) -> list[int]:
        """How many pictures each class has. Their labels must be classes; no picture is decoded."""
        counts = np.zeros(num_classes, np.int64)
        labels = self._source.in_order().map(lambda key: self._source.load(key)[1])
        for batch in labels.batch(4096).as_numpy_iterator():
            counts += np.bincount(batch[batch >= 0], minlength=num_classes)
        return [int(count) for count in counts]

    def steps_per_epoch(self, batch_size: int) -> int:
        """Full batches in an epoch. Raises UserError where there is not even one."""
        if len(self) < batch_size:
            raise UserError(
                f"The training set has {len(self)} pictures, fewer than one batch of "
                f"{batch_size}; choose a batch size of at most {len(self)}."
            )
        return len(self) // batch_size

    def train_batches(
        self,
        batch_size: int,
        resolution: Resolution,
        augmentation: Any,
        seed: int,
        start_step: int = 0,
        host: Host = ALONE,
    ) -> tf.data.Dataset:
        """Endless (images, targets): float32 (B, H, W, 3) RGB in [-1, 1], and the task's targets.

        The targets are int32 (B,) classes; for detection {"boxes": float32 (B, MOST_BOXES, 4),
        "classes": int32 (B, MOST_BOXES), "crowd": bool (B, MOST_BOXES), "size": int32 (B, 2)},
        as `box_targets.padded` says; for segmentation uint8 (B, H, W) classes, 255 where ignored.
        `augmentation` is an `Augmentation`, `BoxAugmentation` or `MaskAugmentation`.

        Every epoch has its own order; what does not fill a batch at its end is left out. The
        first batch is number `start_step` of the run. Of several hosts, `host` gets its part of
        every batch, B = `batch_size` / hosts pictures; the parts put together are the batch. Of
        sets in several files it reads its own files only, and the batches depend on the number
        of hosts too. A picture of a stream that cannot be decoded is black and has the label -1.

        Raises:
          UserError: the split is smaller than a batch, or a batch cannot be divided evenly.
        """
        if batch_size % host.count:
            raise UserError(
                f"A batch of {batch_size} pictures cannot be divided among {host.count} hosts; "
                f"choose a multiple of {host.count}."
            )
        part = batch_size // host.count
        steps = self.steps_per_epoch(batch_size)
        own = self._source.of_host(host) if host.count > 1 else None
        source = own or self._source
        size = part if own else batch_size
        start_epoch, step = divmod(start_step, steps)

        def one_epoch(number: Tensor) -> tf.data.Dataset:
            first = tf.where(number == start_epoch, tf.constant(step * size, tf.int64), 0)
            begin = number * steps * size
            # Negative, so that no epoch shares its seed with a picture's position.
            order = source.epoch(tf.stack([tf.constant(seed, tf.int64), -1 - number]))
            if own:
                order = order.repeat()  # a host's files may hold less than its part
            positions = tf.data.Dataset.range(begin + first, begin + steps * size)
            return tf.data.Dataset.zip((positions, order.skip(first)))

        def make(position: Tensor, key: Tensor) -> Example:
            content, label = source.load(key)
            if own:
                position = position * host.count + host.number
            picture_seed = tf.stack([tf.constant(seed, tf.int64), position])
            return self._views.train(content, label, resolution, picture_seed, augmentation)

        stream = tf.data.Dataset.range(start_epoch, _ENDLESS).flat_map(one_epoch)
        if host.count > 1 and not own:
            stream = stream.filter(
                lambda position, key: position % batch_size // part == host.number
            )
        return _batches(source, stream, make, part, drop_remainder=True)

    def eval_batches(
        self, batch_size: int, resolution: Resolution, host: Host = ALONE
    ) -> tf.data.Dataset:
        """Finite (images, targets), each picture once, in order; several hosts take turns."""
        keys = self._source.in_order().shard(host.count, host.number)
        return self._evaluated(keys, resolution, batch_size)

    def encoded(self, seed: int | None = None) -> tf.data.Dataset:
        """Finite (content, label), each picture once: JPEG and other files as they are, else PNG.

        In order, or shuffled under `seed`.
        """
        if seed is None:
            keys = self._source.in_order()
        else:
            keys = self._source.epoch(tf.constant([seed, 0], tf.int64))

        def encode(key: Tensor) -> tuple[Tensor, Any]:
            content, label = self._source.load(key)
            return content if content.dtype == tf.string else tf.io.encode_png(content), label

        return keys.map(encode, tf.data.AUTOTUNE)

    def images(self, count: int, resolution: Resolution, seed: int = 0) -> np.ndarray:
        """Up to `count` pictures, each once, as evaluation sees them: float32 (N, H, W, 3)."""
        keys = self._source.sample(count, seed)
        batches = self._evaluated(keys, resolution, 32)
        with self.explained():
            parts = [
                # Only streams have gaps, and they have classes alone.
                pictures if self._source.checked else pictures[targets >= 0]
                for pictures, targets in batches.as_numpy_iterator()
            ]
        return np.concatenate(parts)

    def _evaluated(self, keys: Any, resolution: Resolution, size: int) -> tf.data.Dataset:
        def make(key: Tensor) -> Example:
            content, label = self._source.load(key)
            return self._views.evaluate(content, label, resolution, self.view)

        return _batches(self._source, keys, make, size)


def in_memory(
    contents: Sequence[bytes] | np.ndarray, labels: Sequence[int] | np.ndarray
) -> IndexedSource:
    """Pictures with a class each, encoded or uint8 (N, H, W, 3), that are kept in memory."""
    if not isinstance(contents, np.ndarray):
        contents = [upright.without_metadata(content) for content in contents]
    return IndexedSource(len(labels), reader_of(contents), reader_of(np.asarray(labels, np.int32)))


def reader_of(values: Any) -> Callable[[Tensor], Tensor]:
    """From an index to that one of `values`, which are kept in memory."""
    kept = on_cpu(values)
    return lambda index: tf.gather(kept, index)


def on_cpu(values: Any) -> Tensor:
    """A tensor on the host, where input pipelines run, even where there is a GPU."""
    with tf.device("CPU"):
        return tf.constant(values)


UNTUNED_PARALLELISM = 16
"""Of tf.data: so many pictures are decoded at a time, or one a core if the cores are fewer.

Up to here there is nothing to tune, and the thread that does costs: an iterator that goes waits
for it, and now and then the thread misses the notice and sleeps for up to a minute more.
"""


def _batches(
    source: Source, keys: Any, make: Callable[..., Example], size: int, drop_remainder: bool = False
) -> tf.data.Dataset:
    """(images, targets), in the order of the keys; `make` takes one, or a position and one."""
    if source.checked:
        batches = keys.map(make, tf.data.AUTOTUNE).batch(size, drop_remainder)
    else:
        batches = batches_with_gaps(keys, make, size, drop_remainder)
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    options.autotune.enabled = (os.cpu_count() or 1) > UNTUNED_PARALLELISM
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


PARTS = ("train", "val", "test")
"""Of a dataset."""


@dataclass(frozen=True)
class Dataset:
    """What `--dataset` names.

    `skipped` are the pictures that cannot be decoded, by path. `task` is the name of
    one of `TASKS`; `notes` are sentences on what else was left out or changed on
    opening, with names. `examples` counts by split what there is of each
    class: pictures, boxes that are no crowds, or pixels; a split that is streamed may have none.
    `test` are pictures that choose nothing, not even an epoch.
    `numbered` says that pictures come with the index of their class, as in a table:
    a class called by its own index has no name.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split | None
    val: Split | None
    skipped: tuple[str, ...] = ()
    task: str = "classify"
    notes: tuple[str, ...] = ()
    examples: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    test: Split | None = None
    numbered: bool = False

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def view(self) -> View:
        """What evaluation sees of its pictures."""
        return self.part()[1].view

    def seen_as(self, view: View | None) -> "Dataset":
        """The same pictures, of which evaluation sees that; None leaves what suits them."""
        seen = {name: split.seen_as(view) for name in PARTS if (split := getattr(self, name))}
        return replace(self, **seen) if view else self

    @property
    def told(self) -> tuple[str, ...]:
        """What a user is told on opening: the notes, and which pictures cannot be decoded."""
        if not self.skipped:
            return self.notes
        several = len(self.skipped) > 1
        what, was = ("pictures", "were") if several else ("picture", "was")
        names = ", ".join(map(shown, self.skipped))
        lost = f"{len(self.skipped)} {what} could not be decoded and {was} left out: {names}"
        return (*self.notes, lost)

    def part(
        self, wanted: str | None = None, order: Sequence[str] = ("val", "test", "train")
    ) -> tuple[str, Split]:
        """The name and the pictures of the wanted part, or of the first of `order` that there is.

        Raises UserError where there is none.
        """
        parts = {name: getattr(self, name) for name in ([wanted] if wanted else order)}
        for name, split in parts.items():
            if split:
                return name, split
        if wanted:
            others = ", ".join(name for name in PARTS if getattr(self, name)) or "no pictures"
            raise UserError(f"--split={wanted}: {self.name} has {others} alone; give another.")
        raise UserError(f"{self.name} holds no pictures.")
