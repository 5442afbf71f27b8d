"""`masks:DIR`: pictures and, in PNG files of the same names, the class of each of their pixels."""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.data.augment_masks import IGNORED, SEGMENTATION
from mnv3_tf.data.dataset import PARTS, Dataset, reader_of
from mnv3_tf.data.file_datasets import Labels, open_files
from mnv3_tf.data.held_out import hold_out
from mnv3_tf.data.listing import by_name, files, only, pictures
from mnv3_tf.data.picture_files import MEMORY_BOUND, PictureFile
from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import SEGMENT
from mnv3_tf.tasks.class_names import read_class_names
from mnv3_tf.ui.tables import percent
from mnv3_tf.upright import orientation_of, read_header, turned

IGNORED_NAMES = ("unlabelled", "unlabeled", "void", "ignore", "ignored")

NO_PICTURE = Reason("mask without a picture was left out", "masks without a picture were left out")
AS_STORED = Reason(
    "picture has a mask of how it lies in its file, and was turned upright with it",
    "pictures have masks of how they lie in their files, and were turned upright with them",
)
ALL_IGNORED = Reason(
    "picture was left out, for its mask ignores every pixel",
    "pictures were left out, for their masks ignore every pixel",
)


@dataclass(frozen=True)
class PackedMask:
    """A mask as a PNG of 8 bits; of its pixels how many are of each class, int (C,).

    `ignored` counts those of 255, and `others` the values that the file has beside that one.
    """

    content: bytes
    pixels: np.ndarray
    ignored: int
    others: frozenset[int]


MASKS = Labels(
    SEGMENT.name,
    lambda masks: reader_of([mask.content for mask in masks]),
    lambda masks, classes: sum((m.pixels for m in masks), np.zeros(classes, np.int64)),
    SEGMENTATION,
)


def open_masks(asked: Opening, memory_bound: int = MEMORY_BOUND) -> Dataset:
    """DIR/{train,val,test}/images, DIR/{train,val,test}/masks/*.png and DIR/labels.txt.

    For training without DIR/val a fifth of DIR/train is held out under the seed; for all else any
    of the three is enough.

    A mask is as big as its picture, upright or as its file stores it, and has its name but for the
    suffix. Its gray values, or the indices of its palette, are classes: 0 is the first of
    labels.txt. 255 is ignored, and so are classes at the end of labels.txt that are called
    "Unlabelled", "void", "ignore" or the like, which are not among `class_names`. Pictures of which
    every pixel is ignored are left out.

    Masks are kept in memory always: re-packed, a set of a million pixels each takes some
    kilobytes for a mask.

    Raises:
      UserError: a folder or file that is missing, a mask that cannot be read, has another size
        than its picture or a value that is no class, or what `open_files` refuses.
    """
    folder, root = asked.rest, Path(asked.rest)
    class_names, table = _classes(root / "labels.txt")
    tally = Tally()
    present = [part for part in PARTS if (root / part).is_dir()]
    if not present or asked.training:
        present = ["train", *(part for part in present if part != "train")]
    masked = {
        part: _repacked(_pairs(root / part, tally), table, class_names, tally) for part in present
    }
    told = ["train"] if "train" in masked else list(masked)
    cause = _cause([file.label for part in told for file in masked[part]])
    masked = {part: _with_pixels(some, tally) for part, some in masked.items()}
    if asked.training and "val" not in masked:
        masked |= hold_out([masked["train"]], asked, folder)
    return open_files(
        f"masks:{folder}", class_names, masked, MASKS, tally.sentences(), cause, memory_bound
    )


def _cause(masks: Sequence[PackedMask]) -> str:
    """Why a class may be in none of the masks: it was written as 255."""
    ignored = sum(mask.ignored for mask in masks)
    others = frozenset[int]().union(*(mask.others for mask in masks))
    if not ignored:
        return ""
    if len(others) == 1:
        return (
            f"{IGNORED}, the only value of its masks beside {min(others)}, is ignored: write the "
            f"index of the class, such as {1 if others == {0} else 0}"
        )
    part = ignored / sum(ignored + int(mask.pixels.sum()) for mask in masks)
    return f"{IGNORED}, which {percent(part)} of its pixels are, is ignored"


def _with_pixels(files: Sequence[PictureFile], tally: Tally) -> list[PictureFile]:
    """Those of which there is something to learn or to measure; all, where that is none."""
    kept = [file for file in files if file.label.pixels.any()]
    for file in files if kept else ():
        if not file.label.pixels.any():
            tally.add(ALL_IGNORED, Path(file.path).name)
    return kept or list(files)


def _classes(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names, and what every value of a mask becomes: int16 (256,), -1 where it is no class."""
    names = read_class_names(path, distinct=True)
    if len(names) > IGNORED:
        raise UserError(f"{path} has {len(names)} classes; masks of 8 bits have room for 255.")
    ignored = [name.lower() in IGNORED_NAMES for name in names]
    count = ignored.index(True) if any(ignored) else len(names)
    if not all(ignored[count:]):
        raise UserError(
            f"{path} has classes after {names[count]!r}, which is ignored; number the masks so "
            f"that it comes last."
        )
    if not count:
        raise UserError(f"{path} has no class but {names[0]!r}, which is ignored; add some.")
    if count == 1:
        raise UserError(
            f"{path} has one class only, {names[0]!r}; it takes two at least, so name the ground "
            f"as well, as the class that its masks have it as."
        )
    table = np.full(256, -1, np.int16)
    table[:count] = np.arange(count)
    table[count : len(names)] = IGNORED
    table[IGNORED] = IGNORED
    return names[:count], table


def _pairs(folder: Path, tally: Tally) -> list[tuple[Path, Path]]:
    """Pictures with their masks, sorted by name."""
    for part in (folder / "images", folder / "masks"):
        if not part.is_dir():
            raise UserError(
                f"There is no folder {part}; expected train/images, train/masks, val/images and "
                f"val/masks in {folder.parent}."
            )
    images = by_name(pictures(files(folder / "images", tally), tally), folder / "images")
    masks = by_name(files(folder / "masks", tally), folder / "masks")
    pairs = [
        (only(found), _mask(only(found), masks.get(name, ()), folder / "masks" / f"{name}.png"))
        for name, found in images.items()
    ]
    if not pairs:
        raise UserError(f"{folder / 'images'} holds no pictures; add some.")
    for name in sorted(masks.keys() - images.keys()):
        tally.add(NO_PICTURE, masks[name][0].name)
    return pairs


def _mask(picture: Path, found: Sequence[Path], expected: Path) -> Path:
    masks = [path for path in found if path.suffix.lower() == ".png"]
    if not masks:
        instead = f", only {found[0].name}" if found else ""
        raise UserError(
            f"{picture} has no mask {expected}{instead}; add it, or remove the picture."
        )
    return only(masks)


def _repacked(
    pairs: Sequence[tuple[Path, Path]],
    table: np.ndarray,
    class_names: Sequence[str],
    tally: Tally,
) -> list[PictureFile]:
    def check(pair: tuple[Path, Path]) -> tuple[PictureFile, bool]:
        picture, mask = pair
        indices, header = _indices(mask), read_header(picture)
        as_stored = bool(header and header.stored == indices.shape != header.size)
        if header and as_stored:
            indices = turned(indices, header.orientation)
        elif header and indices.shape != header.size:
            raise UserError(
                f"{mask} has {indices.shape[1]} x {indices.shape[0]} pixels, its picture "
                f"{picture} has {header.size[1]} x {header.size[0]}; make them of one size."
            )
        values = np.flatnonzero(np.bincount(indices.ravel()))
        unknown = values[(values > IGNORED) | (table[np.minimum(values, IGNORED)] < 0)]
        if len(unknown):
            raise UserError(
                f"{mask} has pixels of the value {unknown[0]}, but labels.txt has the classes 0 to "
                f"{len(class_names) - 1}; correct the mask or the list ({IGNORED} is ignored)."
            )
        # TensorFlow would turn a palette into its colours, and stretch grays of few bits: only
        # grays of 8 bits come out of it as they are.
        buffer = io.BytesIO()
        Image.fromarray(table[indices].astype(np.uint8)).save(buffer, "PNG", compress_level=1)
        counts = np.bincount(table[indices].ravel(), minlength=len(class_names))
        packed = PackedMask(
            buffer.getvalue(),
            counts[: len(class_names)],
            int((indices == IGNORED).sum()),
            frozenset(values.tolist()) - {IGNORED},
        )
        return PictureFile(str(picture), packed), as_stored

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = list(pool.map(check, pairs))
    for file, as_stored in checked:
        tally.add(AS_STORED, Path(file.path).name, as_stored)
    return [file for file, _ in checked]


def _indices(path: Path) -> np.ndarray:
    """The mask's values, upright, (H, W): palette indices or gray values as the file has them."""
    try:
        with Image.open(path, formats=["PNG"]) as mask:
            mode, values = mask.mode, turned(np.asarray(mask), orientation_of(mask))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a PNG ({error}); write it anew.") from None
    if values.ndim != 2:
        raise UserError(
            f"{path} has colours (mode {mode}), no class indices; write a gray or palette PNG."
        )
    if mode == "L":
        # Pillow stretches grays of 2 and 4 bits to 8; byte 24 of a PNG holds their number.
        with open(path, "rb") as file:
            values = values // {2: 85, 4: 17}.get(file.read(25)[24], 1)
    return values.astype(np.int64)
