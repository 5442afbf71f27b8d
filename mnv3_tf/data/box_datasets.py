"""A detection dataset of what `coco` and `voc` read: pictures that are there, boxes checked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.data.augment_boxes import DETECTION
from mnv3_tf.data.box_targets import reader_of_objects, usable
from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.picture_files import MEMORY_BOUND, PictureFile, open_splits, picture_size
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import DETECT

MISSING = Reason("picture is missing and was left out", "pictures are missing and were left out")
OTHER_SIZE = Reason(
    "picture has another size than its annotation says, which its boxes are taken by",
    "pictures have another size than their annotations say, which their boxes are taken by",
)


def open_boxes(
    name: str,
    class_names: tuple[str, ...],
    files: Mapping[str, Sequence[PictureFile]],
    tally: Tally,
    memory_bound: int = MEMORY_BOUND,
) -> Dataset:
    """`files` are the pictures of some of `dataset.PARTS`, labelled with a `box_targets.Marked`.

    Raises:
      UserError: a part of which there are no pictures, or what `open_splits` refuses.
    """
    usable_files = {}
    for part, marked in files.items():
        present = [file for file in marked if Path(file.path).is_file()]
        if not present:
            raise UserError(
                f"None of the {len(marked)} pictures of {name} for {part} is there, the first "
                f"would be {marked[0].path}; correct the folder of the pictures."
                if marked
                else f"{name} names no pictures for {part}; add some."
            )
        for file in marked:
            if not Path(file.path).is_file():
                tally.add(MISSING, Path(file.path).name)
        usable_files[part] = [_checked(file, tally) for file in present]
    splits, skipped = open_splits(
        usable_files, memory_bound, reader_of_objects, "resize", DETECTION
    )
    return Dataset(
        name,
        class_names,
        splits.get("train"),
        splits.get("val"),
        skipped,
        DETECT.name,
        tally.sentences(),
        splits.get("test"),
    )


def _checked(file: PictureFile, tally: Tally) -> PictureFile:
    actual, annotated, name = picture_size(file.path), file.label.size, Path(file.path).name
    # A phone's picture that its viewer turns is the usual cause.
    if actual and annotated and actual != annotated:
        tally.add(OTHER_SIZE, name)
    return replace(file, label=usable(file.label, annotated or actual or (1, 1), name, tally))
