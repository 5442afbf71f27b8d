"""Which class of a model each class of a dataset is: by name wherever both have names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mnv3_tf.data.dataset import Dataset
from mnv3_tf.errors import UserError
from mnv3_tf.segmentation import IGNORED

_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Matching:
    """`table` has the model's class for each of the dataset's; None where they are the same.

    `note` says in a sentence what was taken for granted, None where nothing was.
    """

    table: tuple[int, ...] | None = None
    note: str | None = None

    def applied(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The batches, (pictures, targets), with the model's classes."""
        if self.table is None:
            return batches
        table = tf.constant(self.table, tf.int32)
        return batches.map(lambda pictures, targets: (pictures, _renumbered(targets, table)))


def match(dataset: Dataset, names: Sequence[str] | None, num_classes: int, owner: str) -> Matching:
    """The matching to a model of `num_classes` classes (0: not known), called `owner` in errors.

    `names` are those of its classes, None where nobody knows them.

    Raises UserError where a class of the dataset may be another of the model's, or none.
    """
    own = dataset.class_names
    if names is None:
        return _by_number(dataset, num_classes, owner)
    table, unknown, by_number = [], [], 0
    for index, name in enumerate(own):
        if index < len(names) and names[index] == name:
            table.append(index)
        elif name in names:
            if list(names).count(name) > 1:
                raise UserError(
                    f"{owner} has several classes called {name}, so which one {dataset.name} means "
                    "is not known; give them names of their own."
                )
            table.append(list(names).index(name))
        elif dataset.numbered and name == str(index) and index < len(names):
            table.append(index)
            by_number += 1
        else:
            unknown.append(name)
    if unknown:
        raise UserError(
            f"{dataset.name} has the class{'es' if unknown[1:] else ''} {_listed(unknown)}, but "
            f"{owner} knows {_listed(names)}; use pictures of its classes, under its names."
        )
    same = table == list(range(len(own)))
    if by_number and not same:
        raise UserError(
            f"{dataset.name} names some classes, which {owner} has in another order, and others "
            "not; name all of them."
        )
    note = f"{dataset.name} names no classes, so its class_index 0 is taken for {names[0]}"
    return Matching(None if same else tuple(table), note if by_number == len(own) else None)


def unmatched(dataset: Dataset) -> Matching:
    """Of pictures whose classes say nothing to a model: no target is left."""
    return Matching((-1,) * dataset.num_classes)


def _by_number(dataset: Dataset, num_classes: int, owner: str) -> Matching:
    count = dataset.num_classes
    if num_classes and (count > num_classes or (count < num_classes and not dataset.numbered)):
        raise UserError(
            f"{dataset.name} has {count} classes, but {owner} has {num_classes} and does not name "
            "them; use pictures of its classes, or give --labels=FILE with the name of a class on "
            "each line."
        )
    if dataset.numbered:
        return Matching()
    return Matching(
        note=f"{owner} does not name its classes, so the first is taken for "
        f"{dataset.class_names[0]}, as {dataset.name} has it"
    )


def _renumbered(targets: Any, table: Any) -> Any:
    """Classes of any task's targets; what is no class, below 0 or IGNORED in masks, stays."""
    if isinstance(targets, dict):
        return {**targets, "classes": _renumbered(targets["classes"], table)}
    masks = targets.dtype == tf.uint8
    classes = tf.cast(targets, tf.int32)
    none = classes == IGNORED if masks else classes < 0
    found = tf.gather(table, tf.where(none, 0, classes))
    if masks:
        found = tf.where(found < 0, IGNORED, found)
    return tf.where(none, targets, tf.cast(found, targets.dtype))


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:_NAMES_SHOWN]) + ["..."] * (len(names) > _NAMES_SHOWN)
    return ", ".join(shown)
