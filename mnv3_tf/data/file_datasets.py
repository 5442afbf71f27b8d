"""A dataset of picture files: opened, and its examples counted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnv3_tf.data.annotations import Tally
from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.examples import checked
from mnv3_tf.data.held_out import tally_copies
from mnv3_tf.data.picture_files import (
    MEMORY_BOUND,
    PictureFile,
    open_splits,
    reader_of_classes,
)
from mnv3_tf.data.task_views import CLASSIFICATION, Views
from mnv3_tf.networks.pixels import View
from mnv3_tf.tasks import CLASSIFY


@dataclass(frozen=True)
class Labels:
    """What the labels of picture files are: `task` names it.

    `reader_of`, `view` and `views` are those of `open_splits`. `count` takes the labels of a
    split and the number of classes, and gives how many examples there are of each: int (C,).
    """

    task: str
    reader_of: Callable[[Sequence[Any]], Callable[[Any], Any]]
    count: Callable[[Sequence[Any], int], np.ndarray]
    views: Views
    view: View = "whole"


CLASSES = Labels(
    CLASSIFY.name,
    reader_of_classes,
    lambda labels, classes: np.bincount(labels, minlength=classes),
    CLASSIFICATION,
    "crop",
)


def open_files(
    name: str,
    class_names: tuple[str, ...],
    files: Mapping[str, Sequence[PictureFile]],
    labels: Labels = CLASSES,
    notes: tuple[str, ...] = (),
    cause: str = "",
    memory_bound: int = MEMORY_BOUND,
) -> Dataset:
    """`files` are those of some of `dataset.PARTS`; `cause` is that of `examples.checked`.

    Raises:
      UserError: what `open_splits` or `examples.checked` refuses.
    """
    splits, skipped = open_splits(files, memory_bound, labels.reader_of, labels.view, labels.views)
    lost, tally = set(skipped), Tally()
    files = {part: [one for one in some if one.path not in lost] for part, some in files.items()}
    tally_copies(files, tally)
    examples = {
        part: labels.count([one.label for one in some], len(class_names))
        for part, some in files.items()
    }
    return checked(
        Dataset(
            name,
            class_names,
            splits.get("train"),
            splits.get("val"),
            skipped,
            labels.task,
            (*notes, *tally.sentences()),
            test=splits.get("test"),
            examples={part: tuple(counts.tolist()) for part, counts in examples.items()},
        ),
        cause,
    )
