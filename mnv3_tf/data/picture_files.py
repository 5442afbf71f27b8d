"""Splits of picture files: checked when opened, kept in memory where they are small."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from mnv3_tf import upright
from mnv3_tf.data.dataset import IndexedSource, Split, on_cpu, reader_of
from mnv3_tf.data.task_views import CLASSIFICATION, Views
from mnv3_tf.errors import UserError
from mnv3_tf.networks.pixels import View
from mnv3_tf.upright import NoPictureError

Tensor = Any

MEMORY_BOUND = 2**30
"""Encoded bytes up to which a set is kept in memory; larger sets are read in every epoch."""

LARGEST_UNREADABLE_PART = 0.01
_PROGRESS_FROM = 5000


@dataclass(frozen=True)
class PictureFile:
    """`label` is a class, or what the task has instead."""

    path: str
    label: Any


def reader_of_classes(labels: Sequence[int]) -> Callable[[Tensor], Tensor]:
    return reader_of(np.asarray(labels, np.int32))


def open_splits(
    files: Mapping[str, Sequence[PictureFile]],
    memory_bound: int = MEMORY_BOUND,
    reader_of_labels: Callable[[Sequence[Any]], Callable[[Tensor], Any]] = reader_of_classes,
    view: View = "crop",
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
    faults = [
        (path, content)
        for path, content in zip(paths, contents, strict=True)
        if isinstance(content, NoPictureError)
    ]
    if len(faults) > LARGEST_UNREADABLE_PART * len(paths):
        path, fault = faults[0]
        raise UserError(
            f"{len(faults)} of {len(paths)} pictures cannot be decoded; the first, {path}, "
            f"{fault}, or remove it."
        )
    remaining, splits = iter(contents), {}
    for name, split in files.items():
        usable: list[PictureFile] = []
        kept: list[bytes] = []
        for file in split:
            content = next(remaining)
            if not isinstance(content, NoPictureError):
                usable.append(file)
                kept.append(content)
        own = [file.path for file in usable]
        read = reader_of(kept) if keep else _reader_of_files(own)
        read_label = reader_of_labels([file.label for file in usable])
        source = IndexedSource(len(usable), read, read_label, partial(_first_fault, own))
        splits[name] = Split(source, view, views, own)
    return splits, tuple(path for path, _ in faults)


def _contents(paths: Sequence[str], keep: bool) -> list[bytes | NoPictureError]:
    """Each file's bytes (b"" unless `keep`), or why it is no picture."""

    def check(path: str) -> bytes | NoPictureError:
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}; check the file.") from None
        try:
            kept = checked(content)
        except NoPictureError as error:
            return error
        return kept if keep else b""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        contents = pool.map(check, paths)
        if len(paths) < _PROGRESS_FROM or not sys.stderr.isatty():
            return list(contents)
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True)
        return list(
            track(contents, "Checking pictures", len(paths), console=console, transient=True)
        )


def checked(content: bytes) -> bytes:
    """A picture as it is kept; raises NoPictureError where not all of it decodes."""
    *_, reader = upright.look(content)
    try:
        if reader == upright.PILLOW:
            upright.pixels(content)
        elif reader == upright.PNG:
            tf.io.decode_png(content, channels=3)
        else:
            tf.io.decode_jpeg(content, channels=3, ratio=8)
    except tf.errors.InvalidArgumentError:
        raise NoPictureError("is cut short or damaged; copy it again") from None
    return upright.without_metadata(content)


def _first_fault(paths: Sequence[str]) -> str | None:
    """Of files that were pictures when they were opened, the first that is none any more."""
    for path in paths:
        try:
            with open(path, "rb") as file:
                checked(file.read())
        except OSError as error:
            return f"Cannot read {path} any more ({error.strerror}); put it back"
        except NoPictureError as error:
            return f"{path}, which was a picture at first, {error}"
    return None


def _reader_of_files(paths: Sequence[str]) -> Callable[[Tensor], Tensor]:
    kept = on_cpu(paths)
    return lambda index: tf.io.read_file(tf.gather(kept, index))
