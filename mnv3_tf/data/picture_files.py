"""Splits of picture files: checked when opened, kept in memory where they are small."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from mnv3_tf.data.dataset import IndexedSource, Split, on_cpu, reader_of
from mnv3_tf.data.sources import Opening
from mnv3_tf.data.task_views import CLASSIFICATION, Views
from mnv3_tf.errors import UserError

Tensor = Any

MEMORY_BOUND = 2**30
"""Encoded bytes up to which a set is kept in memory; larger sets are read in every epoch."""

LARGEST_UNREADABLE_PART = 0.01
VALIDATION_PART = 0.2
_PROGRESS_FROM = 5000


@dataclass(frozen=True)
class PictureFile:
    """`label` is a class, or what the task has instead."""

    path: str
    label: Any


def _reader_of_classes(labels: Sequence[int]) -> Callable[[Tensor], Tensor]:
    return reader_of(np.asarray(labels, np.int32))


def open_splits(
    files: Mapping[str, Sequence[PictureFile]],
    memory_bound: int = MEMORY_BOUND,
    reader_of_labels: Callable[[Sequence[Any]], Callable[[Tensor], Any]] = _reader_of_classes,
    resize: str = "resize256_crop",
    views: Views = CLASSIFICATION,
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Splits by name, and the paths of the pictures left out because they cannot be decoded.

    Every file is read and decoded once (a JPEG at an eighth of its size), the only way to find
    one that is cut short: 0.2 s of one core for 1000 JPEGs of 227 x 227, 0.6 s at 341 x 256.
    `reader_of_labels` makes of a split's labels what turns an index into the label's tensors.

    Raises:
      UserError: a file that cannot be opened, or more than 1 % that cannot be decoded.
    """
    paths = [file.path for split in files.values() for file in split]
    keep = sum(os.path.getsize(path) for path in paths) <= memory_bound
    contents = _contents(paths, keep)
    skipped = [path for path, content in zip(paths, contents, strict=True) if content is None]
    if len(skipped) > LARGEST_UNREADABLE_PART * len(paths):
        raise UserError(
            f"{len(skipped)} of {len(paths)} pictures cannot be decoded, the first is "
            f"{skipped[0]}; replace or remove them (JPEG, PNG, GIF, BMP and WebP are read)."
        )
    remaining, splits = iter(contents), {}
    for name, split in files.items():
        usable: list[PictureFile] = []
        kept: list[bytes] = []
        for file in split:
            content = next(remaining)
            if content is not None:
                usable.append(file)
                kept.append(content)
        read = reader_of(kept) if keep else _reader_of_files([file.path for file in usable])
        read_label = reader_of_labels([file.label for file in usable])
        source = IndexedSource(len(usable), read, read_label)
        splits[name] = Split(source, resize, views, [file.path for file in usable])
    return splits, tuple(skipped)


def _contents(paths: Sequence[str], keep: bool) -> list[bytes | None]:
    """Each file's bytes (b"" unless `keep`), or None where it is no picture."""

    def check(path: str) -> bytes | None:
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}; check the file.") from None
        if not is_picture(content):
            return None
        return content if keep else b""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = pool.map(check, paths)
        if len(paths) < _PROGRESS_FROM or not sys.stderr.isatty():
            return list(checked)
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True)
        return list(
            track(checked, "Checking pictures", len(paths), console=console, transient=True)
        )


def is_picture(content: bytes) -> bool:
    """Whether all of `content` decodes; a file that is cut short does not."""
    try:
        if content[:3] == b"\xff\xd8\xff":
            tf.io.decode_jpeg(content, channels=3, ratio=8)
        else:
            tf.io.decode_image(content, channels=3, expand_animations=False)
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        return False
    return True


def _reader_of_files(paths: Sequence[str]) -> Callable[[Tensor], Tensor]:
    kept = on_cpu(paths)
    return lambda index: tf.io.read_file(tf.gather(kept, index))


def picture_size(path: str) -> tuple[int, int] | None:
    """Height and width in pixels, as decoding gives them; None where it is no picture."""
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def hold_out(
    groups: Sequence[Sequence[PictureFile]], asked: Opening, where: str
) -> dict[str, list[PictureFile]]:
    """For training, a fifth of every group is "val": at least one picture, and never all of them.

    For all else "val" is everything.
    """
    if not asked.training:
        return {"val": [file for group in groups for file in group]}
    split: dict[str, list[PictureFile]] = {"train": [], "val": []}
    for number, group in enumerate(groups):
        if len(group) == 1:
            raise UserError(
                f"{where} has a single picture, {group[0].path}, of which to train and validate; "
                "add at least one more."
            )
        order = np.random.default_rng([asked.seed, number]).permutation(len(group))
        val = set(order[: max(1, round(VALIDATION_PART * len(group)))].tolist())
        for index, file in enumerate(group):
            split["val" if index in val else "train"].append(file)
    return split
