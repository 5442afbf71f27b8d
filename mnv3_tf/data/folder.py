"""`folder:DIR`: a folder for each class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mnv3_tf.data.annotations import Reason, Tally, listed
from mnv3_tf.data.dataset import PARTS, Dataset
from mnv3_tf.data.file_datasets import open_files
from mnv3_tf.data.held_out import hold_out
from mnv3_tf.data.listing import files, pictures, subfolders
from mnv3_tf.data.picture_files import PictureFile
from mnv3_tf.data.sources import Opening
from mnv3_tf.errors import UserError
from mnv3_tf.tasks.class_names import cleaned

Classes = Mapping[str, Path]
"""Folders by the names of their classes."""

DEEPER = Reason(
    "picture of a folder within a class's was taken to be of that class",
    "pictures of folders within a class's were taken to be of that class",
)
OF_NO_CLASS = Reason(
    "picture is in no folder of a class and was left out",
    "pictures are in no folder of a class and were left out",
)
NO_PART = Reason(
    "folder is no part that has folders of classes, and was passed over",
    "folders are no parts that have folders of classes, and were passed over",
)


def open_folder(asked: Opening) -> Dataset:
    """DIR/train/CLASS/* and DIR/val/CLASS/*, or DIR/CLASS/*, and DIR/test/CLASS/* if there are.

    A folder train that holds pictures itself is a class of that name. Pictures of folders within a
    class's are of the class. For training a fifth of DIR/CLASS/*, or of DIR/train where there are
    but train and test, is held out under the seed. For all else DIR/val or DIR/test may be alone,
    and may lack classes. Classes are sorted by name.

    Raises:
      UserError: no such folder, nothing in it, one class only, a class without pictures, other
        classes in val than in train, folders that are no classes but what holds them, or what
        `open_files` refuses.
    """
    folder, root, tally = asked.rest, Path(asked.rest), Tally()
    if not root.is_dir():
        raise UserError(f"There is no folder {folder}; give one that holds a folder per class.")
    classes = _classes(root, tally)
    if not classes:
        raise UserError(
            f"{folder} holds no folders; expected {folder}/CLASS/* or {folder}/train/CLASS/* and "
            f"{folder}/val/CLASS/*."
        )
    if _are_parts(classes):
        class_names, found = _given_parts(root, classes, asked, tally)
    else:
        class_names = tuple(classes)
        _check_classes(root, class_names, asked)
        found = _held_out(_list(root, class_names, classes, tally), class_names, asked)
    return open_files(f"folder:{folder}", class_names, found, notes=tally.sentences())


def _classes(root: Path, tally: Tally) -> dict[str, Path]:
    """By their names, sorted; pictures beside them are counted."""
    found: dict[str, Path] = {}
    for path in subfolders(root):
        other = found.setdefault(cleaned(path.name), path)
        if other != path:
            raise UserError(
                f"{root} has two folders for the class {cleaned(path.name)!r}, {other.name!r} and "
                f"{path.name!r}; put them together."
            )
    for path in pictures(files(root, tally, deep=False)):
        tally.add(OF_NO_CLASS, path.name)
    return dict(sorted(found.items()))


def _are_parts(folders: Classes) -> bool:
    """Whether they are train, val and test, and not classes, one of which has such a name."""
    parts = [name for name in PARTS if name in folders and subfolders(folders[name])]
    others = [folder for name, folder in folders.items() if name not in PARTS]
    if {"train", "val"} <= set(parts) or not others:
        return True
    hold_pictures = any(pictures(files(folder, Tally(), deep=False)) for folder in others)
    return parts not in ([], ["test"]) and not hold_pictures


def _given_parts(
    root: Path, folders: Classes, asked: Opening, tally: Tally
) -> tuple[tuple[str, ...], dict[str, list[PictureFile]]]:
    parts = [name for name in PARTS if name in folders]
    if len(parts) > 1 and "test" in parts and not subfolders(folders["test"]):
        parts.remove("test")  # nobody has said what its pictures are
    classes = {name: _classes(folders[name], tally) for name in parts}
    for name in parts:
        if not classes[name]:
            raise UserError(
                f"{folders[name]} holds no folders of classes; put its pictures into "
                f"{folders[name]}/CLASS."
            )
    for name in folders:
        if name not in classes:
            tally.add(NO_PART, name)
    # Of train and test alone; with a third folder, val may be there under another name.
    without_val = "test" in classes and (not asked.training or len(folders) == 2)
    for name in ["train"] * asked.training + ["val"] * (not without_val):
        if name not in classes:
            others = ", ".join(folders)
            raise UserError(
                f"{root} has no folder {name!r}, only {others}; name its two parts train and val."
            )
    trained = classes.get("train", {})
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
    found = {name: _list(folders[name], class_names, own, tally) for name, own in classes.items()}
    if asked.training and "val" not in found:
        found |= _held_out(found["train"], class_names, asked)
    return class_names, found


def _held_out(
    listed_files: list[PictureFile], class_names: Sequence[str], asked: Opening
) -> dict[str, list[PictureFile]]:
    by_class: list[list[PictureFile]] = [[] for _ in class_names]
    for file in listed_files:
        by_class[file.label].append(file)
    return hold_out(by_class, asked, asked.rest)


def _check_classes(root: Path, class_names: tuple[str, ...], asked: Opening) -> None:
    if len(class_names) < (2 if asked.training else 1):
        found = f"one class only, {class_names[0]}" if class_names else "no classes"
        raise UserError(f"{root} holds {found}; a classifier needs at least two class folders.")


def _list(
    root: Path, class_names: Sequence[str], classes: Classes, tally: Tally
) -> list[PictureFile]:
    """The pictures of the `classes` that there are in a part, in the order of `class_names`."""
    found = {name: pictures(files(folder, tally), tally) for name, folder in classes.items()}
    deeper = {
        name: [path for path in paths if path.parent != classes[name]]
        for name, paths in found.items()
    }
    if deeper == found and any(len({path.parent for path in own}) > 1 for own in deeper.values()):
        inside = sorted({path.parent.name for own in deeper.values() for path in own})
        raise UserError(
            f"The folders {listed(classes)} of {root} hold no pictures but folders, such as "
            f"{listed(inside)}; give the folder that holds those of the classes, or call its parts "
            f"train and val."
        )
    for name, paths in found.items():
        if not paths:
            raise UserError(f"{classes[name]} holds no pictures; fill or remove the folder.")
        for path in deeper[name]:
            tally.add(DEEPER, str(path.parent.relative_to(root)))
    return [
        PictureFile(str(path), label)
        for label, name in enumerate(class_names)
        for path in found.get(name, ())
    ]
