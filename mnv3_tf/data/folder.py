"""`folder:DIR`: a folder for each class."""

from collections.abc import Sequence
from pathlib import Path

from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.file_datasets import open_files
from mnv3_tf.data.picture_files import PictureFile, hold_out
from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError

_NOT_PICTURES = ("Thumbs.db", "desktop.ini")


def open_folder(asked: Opening) -> Dataset:
    """DIR/train/CLASS/* and DIR/val/CLASS/*, or DIR/CLASS/* with a fifth held out under the seed.

    Classes are sorted by name. Hidden files and folders are passed over.

    Raises:
      UserError: no such folder, nothing in it, one class only, a class without pictures, other
        classes in val than in train, or more than 1 % of pictures that cannot be decoded.
    """
    folder, root = asked.rest, Path(asked.rest)
    if not root.is_dir():
        raise UserError(f"There is no folder {folder}; give one that holds a folder per class.")
    subfolders = _subfolders(root)
    if not subfolders:
        raise UserError(
            f"{folder} holds no folders; expected {folder}/CLASS/* or {folder}/train/CLASS/* and "
            f"{folder}/val/CLASS/*."
        )
    if "train" in subfolders or "val" in subfolders:
        class_names, files = _given_splits(root, subfolders)
    else:
        class_names = tuple(subfolders)
        _check_classes(root, class_names)
        files = hold_out(_by_class(_list(root, class_names), len(class_names)), asked.seed, folder)
    return open_files(f"folder:{folder}", class_names, files)


def _given_splits(
    root: Path, subfolders: list[str]
) -> tuple[tuple[str, ...], dict[str, list[PictureFile]]]:
    for name in ("train", "val"):
        if name not in subfolders:
            others = ", ".join(subfolders)
            raise UserError(
                f"{root} has no folder {name!r}, only {others}; name its two parts train and val."
            )
    classes = {name: _subfolders(root / name) for name in ("train", "val")}
    differing = sorted(set(classes["train"]) ^ set(classes["val"]))
    if differing:
        raise UserError(
            f"{root}/train and {root}/val have different classes: "
            f"{', '.join(differing)} in one of them only; both need the same folders."
        )
    class_names = tuple(classes["train"])
    _check_classes(root / "train", class_names)
    return class_names, {name: _list(root / name, class_names) for name in ("train", "val")}


def _check_classes(root: Path, class_names: tuple[str, ...]) -> None:
    if len(class_names) < 2:
        found = f"one class only, {class_names[0]}" if class_names else "no classes"
        raise UserError(f"{root} holds {found}; a classifier needs at least two class folders.")


def _list(root: Path, class_names: tuple[str, ...]) -> list[PictureFile]:
    files = []
    for label, class_name in enumerate(class_names):
        paths = sorted(
            str(path)
            for path in (root / class_name).iterdir()
            if path.is_file() and not path.name.startswith(".") and path.name not in _NOT_PICTURES
        )
        if not paths:
            raise UserError(f"{root / class_name} holds no pictures; fill or remove the folder.")
        files += [PictureFile(path, label) for path in paths]
    return files


def _subfolders(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _by_class(files: Sequence[PictureFile], num_classes: int) -> list[list[PictureFile]]:
    return [[file for file in files if file.label == label] for label in range(num_classes)]
