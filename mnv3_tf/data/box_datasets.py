"""A detection dataset of what `coco` and `voc` read: pictures that are there, boxes checked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.data.augment_boxes import DETECTION
from mnv3_tf.data.box_conventions import Convention, Size, check
from mnv3_tf.data.box_targets import Marked, Objects, reader_of_objects, usable
from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.file_datasets import Labels, open_files
from mnv3_tf.data.picture_files import MEMORY_BOUND, PictureFile
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import DETECT
from mnv3_tf.upright import read_header, turned_boxes

MISSING = Reason("picture is missing and was left out", "pictures are missing and were left out")
AS_STORED = Reason(
    "picture is annotated as it lies in its file, and was turned upright with its boxes",
    "pictures are annotated as they lie in their files, and were turned upright with their boxes",
)
OTHER_SIZE = Reason(
    "picture has another size than its annotation says, which its boxes are taken by",
    "pictures have another size than their annotations say, which their boxes are taken by",
)


def open_boxes(
    name: str,
    class_names: tuple[str, ...],
    files: Mapping[str, Sequence[PictureFile]],
    convention: Convention,
    tally: Tally,
    memory_bound: int = MEMORY_BOUND,
) -> Dataset:
    """`files` are the pictures of some of `dataset.PARTS`, labelled with a `box_targets.Marked`.

    Raises:
      UserError: a part of which there are no pictures, or what `box_conventions.check` or
        `open_files` refuses.
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
        placed = [_placed(file, tally) for file in present]
        check(
            f"{name} for {part}",
            [(file.label.corners, taken, actual) for file, taken, actual in placed if actual],
            convention,
        )
        usable_files[part] = [
            replace(file, label=usable(file.label, taken, Path(file.path).name, tally))
            for file, taken, _ in placed
        ]
    notes = tally.sentences()
    return open_files(
        name, class_names, usable_files, BOXES, notes, _cause(usable_files, notes), memory_bound
    )


def _count(objects: Sequence[Objects], classes: int) -> np.ndarray:
    learned = [one.classes[~one.crowd] for one in objects]
    return np.bincount(np.concatenate([np.zeros(0, np.int32), *learned]), minlength=classes)


BOXES = Labels(DETECT.name, reader_of_objects, _count, DETECTION)


def _cause(files: Mapping[str, Sequence[PictureFile]], notes: tuple[str, ...]) -> str:
    """Why there is nothing to learn from, where that is so."""
    crowd = [file.label.crowd for file in files.get("train", ())]
    if any((~each).any() for each in crowd):
        return ""
    crowds = sum(map(len, crowd))
    told = f"{crowds} of training are crowds or difficult ones, which are not learned"
    return "; ".join([*notes, *([told] if crowds else [])])


def _placed(file: PictureFile, tally: Tally) -> tuple[PictureFile, Size, Size | None]:
    """With boxes of the upright picture; what they are taken by, and what the picture has.

    Boxes are of the upright picture, which viewers show, unless the annotation's size is not. The
    last is None where it is no picture.
    """
    header, name = read_header(file.path), Path(file.path).name
    marked: Marked = file.label
    if header and marked.size == header.stored != header.size:
        tally.add(AS_STORED, name)
        corners = turned_boxes(marked.corners, header)
        marked = replace(marked, corners=corners, size=header.size)
    elif header and marked.size not in (None, header.size):
        tally.add(OTHER_SIZE, name)
    actual = header.size if header else None
    return replace(file, label=marked), marked.size or actual or (1, 1), actual
