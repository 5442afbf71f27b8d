"""Which pictures are for what: a fifth is held out, and copies of a picture are on one side."""

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest
from pathlib import Path

import numpy as np

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.data.picture_files import PictureFile
from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError

VALIDATION_PART = 0.2

_END = 4096
"""Bytes at the end of a file, which tell most files of one size apart."""

ALSO_TRAINED = {
    part: Reason(
        f"picture of the {name} set is in training too, which makes its figures too good",
        f"pictures of the {name} set are in training too, which makes its figures too good",
    )
    for part, name in (("val", "validation"), ("test", "test"))
}
OF_SEVERAL_CLASSES = Reason(
    "picture is in several classes, of which it can have but one",
    "pictures are in several classes each, of which they can have but one",
)


def hold_out(
    groups: Sequence[Sequence[PictureFile]], asked: Opening, where: str
) -> dict[str, list[PictureFile]]:
    """For training, a fifth of every group is "val": at least one picture, and never all of them.

    Copies of a picture, also those of other groups, are on its side, but in a group that has no
    other picture. For all else "val" is everything. Raises UserError for a group of one file.
    """
    if not asked.training:
        return {"val": [file for group in groups for file in group]}
    first = originals(file.path for group in groups for file in group)
    split: dict[str, list[PictureFile]] = {"train": [], "val": []}
    sides: dict[str, str] = {}
    for number, group in enumerate(groups):
        if len({file.path for file in group}) == 1:
            raise UserError(
                f"{where} has a single picture, {group[0].path}, of which to train and validate; "
                f"add at least one more."
            )
        if len({first[file.path] for file in group}) == 1:
            first |= {file.path: file.path for file in group}
        pictures = list(dict.fromkeys(first[file.path] for file in group))
        order = np.random.default_rng([asked.seed, number]).permutation(len(pictures))
        val = {pictures[i] for i in order[: max(1, round(VALIDATION_PART * len(pictures)))]}
        for file in group:
            picture = first[file.path]
            split[sides.setdefault(picture, "val" if picture in val else "train")].append(file)
    return split


def tally_copies(files: Mapping[str, Sequence[PictureFile]], tally: Tally) -> None:
    """Counts pictures to judge by that are in training too, and those of several classes."""
    first = originals(file.path for some in files.values() for file in some)
    trained = {first[file.path] for file in files.get("train", ())}
    classes: dict[str, set[int]] = defaultdict(set)
    for part, some in files.items():
        for file in some:
            picture, name = first[file.path], "/".join(Path(file.path).parts[-2:])
            if part != "train" and picture in trained:
                tally.add(ALSO_TRAINED[part], name)
            if isinstance(file.label, int):
                classes[picture].add(file.label)
    for picture, labels in classes.items():
        if len(labels) > 1:
            tally.add(OF_SEVERAL_CLASSES, "/".join(Path(picture).parts[-2:]))


def originals(paths: Iterable[str]) -> dict[str, str]:
    """For each file the first that has the same bytes; one that cannot be read has no copies.

    Few are read whole: those whose sizes and ends are alike.
    """
    groups = [list(dict.fromkeys(paths))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for key in (_size, _end, _content):
            groups = [part for group in groups for part in _divided(group, key, pool)]
    return {path: group[0] for group in groups for path in group}


def _divided(
    paths: list[str], key: Callable[[str], Hashable], pool: ThreadPoolExecutor
) -> Iterable[list[str]]:
    if len(paths) < 2:
        return [paths]
    parts: dict[Hashable, list[str]] = defaultdict(list)
    for path, value in zip(paths, pool.map(key, paths), strict=True):
        parts[value].append(path)
    return parts.values()


def _size(path: str) -> Hashable:
    try:
        return os.path.getsize(path)
    except OSError:
        return path


def _end(path: str) -> Hashable:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - _END))
            return file.read()
    except OSError:
        return path


def _content(path: str) -> Hashable:
    try:
        with open(path, "rb") as file:
            return file_digest(file, "blake2b").digest()
    except OSError:
        return path
