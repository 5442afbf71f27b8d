"""A detection dataset of what `coco` and `voc` read: pictures that are there, boxes checked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.data.augment_boxes import DETECTION
from mnv3_tf.data.box_targets import Marked, reader_of_objects, usable
from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.picture_files import MEMORY_BOUND, PictureFile, open_splits
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
    tally: Tally,
    memory_bound: int = MEMORY_BOUND,
) -> Dataset:
    """`files` are the pictures of "train" and "val", the label of each a `box_targets.Marked`.

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
    )


def _checked(file: PictureFile, tally: Tally) -> PictureFile:
    """Boxes are of the upright picture, which viewers show, unless the annotation's size is not."""
    header, name = read_header(file.path), Path(file.path).name
    marked: Marked = file.label
    if header and marked.size == header.stored != header.size:
        tally.add(AS_STORED, name)
        corners = turned_boxes(marked.corners, header)
        marked = replace(marked, corners=corners, size=header.size)
    elif header and marked.size not in (None, header.size):
        tally.add(OTHER_SIZE, name)
    size = marked.size or (header.size if header else (1, 1))
    return replace(file, label=usable(marked, size, name, tally))
