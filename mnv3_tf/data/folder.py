"""`folder:DIR`: a folder for each class."""

from collections.abc import Collection, Sequence
from pathlib import Path

from mnv3_tf.data.dataset import PARTS, Dataset
from mnv3_tf.data.file_datasets import open_files
from mnv3_tf.data.picture_files import PictureFile, hold_out
from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError

_NOT_PICTURES = ("Thumbs.db", "desktop.ini")


def open_folder(asked: Opening) -> Dataset:
    """DIR/train/CLASS/* and DIR/val/CLASS/*, or DIR/CLASS/*, and DIR/test/CLASS/* if there are.

    For training a fifth of DIR/CLASS/*, or of DIR/train where there are but train and test, is held
    out under the seed. For all else DIR/val or DIR/test may be alone, and may lack classes. Classes
    are sorted by name. Hidden files and folders are passed over.

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
    if "train" in subfolders or "val" in subfolders or subfolders == ["test"]:
        class_names, files = _given_parts(root, subfolders, asked)
    else:
        class_names = tuple(subfolders)
        _check_classes(root, class_names, asked)
        files = _held_out(_list(root, class_names), class_names, asked)
    return open_files(f"folder:{folder}", class_names, files)


def _given_parts(
    root: Path, subfolders: list[str], asked: Opening
) -> tuple[tuple[str, ...], dict[str, list[PictureFile]]]:
    classes = {name: _subfolders(root / name) for name in PARTS if name in subfolders}
    # Of train and test alone; with a third folder, val may be there under another name.
    without_val = "test" in classes and (not asked.training or len(subfolders) == 2)
    for name in ["train"] * asked.training + ["val"] * (not without_val):
        if name not in classes:
            others = ", ".join(subfolders)
            raise UserError(
                f"{root} has no folder {name!r}, only {others}; name its two parts train and val."
            )
    trained = classes.get("train", [])
    differing = sorted(set(trained) ^ set(classes.get("val", trained)))
    if trained and differing:
        raise UserError(
            f"{root}/train and {root}/val have different classes: "
            f"{', '.join(differing)} in one of them only; both need the same folders."
        )
    class_names = tuple(trained or sorted({name for found in classes.values() for name in found}))
    if unknown := [name for name in classes.get("test", []) if name not in class_names]:
        raise UserError(
            f"{root}/test has the class {unknown[0]}, which {root}/train does not have; both need "
            "the same folders."
        )
    _check_classes(root / "train" if trained else root, class_names, asked)
    files = {name: _list(root / name, class_names, found) for name, found in classes.items()}
    if asked.training and "val" not in files:
        files |= _held_out(files["train"], class_names, asked)
    return class_names, files


def _held_out(
    files: list[PictureFile], class_names: Sequence[str], asked: Opening
) -> dict[str, list[PictureFile]]:
    by_class = [[file for file in files if file.label == k] for k in range(len(class_names))]
    return hold_out(by_class, asked, asked.rest)


def _check_classes(root: Path, class_names: tuple[str, ...], asked: Opening) -> None:
    if len(class_names) < (2 if asked.training else 1):
        found = f"one class only, {class_names[0]}" if class_names else "no classes"
        raise UserError(f"{root} holds {found}; a classifier needs at least two class folders.")


def _list(
    root: Path, class_names: Sequence[str], present: Collection[str] | None = None
) -> list[PictureFile]:
    """The pictures of the classes that are `present`, None for all."""
    files = []
    for label, class_name in enumerate(class_names):
        if present is not None and class_name not in present:
            continue
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
