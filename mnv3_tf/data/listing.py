"""What is a picture, and where: the files of a dataset, found by one rule for every format.

Hidden files, and those that operating systems leave, are passed over. Sub-folders and links are
followed, each folder once. Names are compared in Unicode's composed form, since computers differ in
the one that they write.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.errors import UserError
from mnv3_tf.tasks.class_names import composed

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".jxl", ".jp2"),
)
"""Whether all of these are read is said of each file when it is opened."""

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"RIFF")
"""First bytes by which a file is a picture, whatever its name."""

_OF_SYSTEMS = frozenset(
    ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin")
)

NO_PICTURE = Reason(
    "file is no picture by its name and was passed over",
    "files are no pictures by their names and were passed over",
)
LEADS_NOWHERE = Reason(
    "link leads nowhere and was passed over", "links lead nowhere and were passed over"
)


def files(folder: Path, tally: Tally, deep: bool = True) -> list[Path]:
    """Those of a folder and, if `deep`, its sub-folders, sorted; counts links that lead nowhere.

    Raises UserError for a folder that cannot be read.
    """
    return sorted(_walked(folder, tally, set(), deep))


def _walked(folder: Path, tally: Tally, seen: set[str], deep: bool) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _walked(Path(entry.path), tally, seen, deep) if deep else ()
        elif entry.is_file():
            yield Path(entry.path)
        elif entry.is_symlink():
            tally.add(LEADS_NOWHERE, entry.name)


def subfolders(folder: Path) -> list[Path]:
    """Those that are no deeper, and links to folders, sorted; raises UserError as `files` does."""
    return sorted(Path(entry.path) for entry in _entries(folder) if entry.is_dir())


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not _is_passed_over(entry.name)]
    except OSError as error:
        raise UserError(f"Cannot read {folder}: {error.strerror}; check the folder.") from None


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _OF_SYSTEMS


def pictures(paths: Iterable[Path], tally: Tally | None = None) -> list[Path]:
    """Those that are pictures by their suffix or their first bytes; `tally` counts the others."""
    found = []
    for path in paths:
        if path.suffix.lower() in SUFFIXES or _starts_as_one(path):
            found.append(path)
        elif tally:
            tally.add(NO_PICTURE, path.name)
    return found


def _starts_as_one(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(8).startswith(_STARTS)
    except OSError:
        return False


def by_name(paths: Iterable[Path], folder: Path) -> dict[str, list[Path]]:
    """By what pairs of files share: the place in `folder` without suffix, composed."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        found.setdefault(composed(name), []).append(path)
    return found


def only(paths: Collection[Path]) -> Path:
    """The file of a name; raises UserError where there are several."""
    first, *others = paths
    if others:
        raise UserError(
            f"{first} and {others[0].name} differ in their suffixes alone, so that nothing tells "
            f"which is meant; rename or remove one."
        )
    return first


class Finder:
    """Finds files that a list names, also by names that are written in another way.

    Those are another form of Unicode, capitals or small letters in the suffix, and backslashes.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, dict[tuple[str, str], Path]] = {}

    def find(self, path: Path) -> Path | None:
        """The file that is meant, None where there is none."""
        if path.is_file():
            return path
        path = Path(str(path).replace("\\", "/"))
        if path.parent not in self._folders:
            entries = _entries(path.parent) if path.parent.is_dir() else []
            self._folders[path.parent] = {
                _written(entry.name): Path(entry.path) for entry in entries if entry.is_file()
            }
        return self._folders[path.parent].get(_written(path.name))


def _written(name: str) -> tuple[str, str]:
    stem, suffix = os.path.splitext(composed(name))
    return stem, suffix.lower()
