"""Names of classes: what one may be, and files of them."""

import re
from collections.abc import Iterable
from pathlib import Path
from unicodedata import category, normalize

from mnv3_tf.errors import UserError


def composed(text: str) -> str:
    """The form of Unicode in which names are compared (NFC)."""
    return normalize("NFC", text)


def cleaned(name: str) -> str:
    """A class's name as it is kept: composed, without spaces around."""
    return composed(name).strip()


def checked_names(names: Iterable[str], where: str) -> tuple[str, ...]:
    """`cleaned` names of classes; raises UserError for one that is not a line of text."""
    found = tuple(map(cleaned, names))
    for number, name in enumerate(found):
        if not name:
            raise UserError(f"{where} has no name for class {number}; give it one.")
        if len(name.splitlines()) > 1 or not is_shown(name):
            raise UserError(
                f"{where} has a class called {name!r}, which is not one line of text in UTF-8; "
                f"rename it."
            )
    return found


def is_shown(text: str) -> bool:
    """Whether it has neither control characters nor bytes that are no text."""
    return not any(category(character) in ("Cc", "Cs") for character in text)


def shown(name: str) -> str:
    """A file's name as it can be printed, on one line."""
    return name if is_shown(name) else repr(name)[1:-1]


def read_class_names(path: str | Path, distinct: bool = False) -> tuple[str, ...]:
    """Those of a text file, a class on each line: "NAME", or "INDEX NAME" with indices from 0.

    Passed over are a byte order mark, the ends of lines of Windows, and empty lines at the end.

    Raises:
      UserError: a file that cannot be read or is no UTF-8, no name, an empty line between names,
        indices with gaps, or with `distinct` a name that is there twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(
            f"Cannot read {path}: {error.strerror}; give a text file with the name of a class on "
            "each line."
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no text in UTF-8 (its byte {error.start} is "
            f"{error.object[error.start]:#04x}); save it as UTF-8."
        ) from None
    lines = text.rstrip().splitlines()
    if not lines:
        raise UserError(f"{path} is empty; write the name of a class on each line.")
    # All or none: a class may be called "2 euro". Teachable Machine and Coral write them.
    numbered = [re.fullmatch(r"\s*(\d+)[\s:,]+(\S.*)", line) for line in lines]
    if all(numbered):
        for expected, found in enumerate(numbered):
            assert found
            if int(found[1]) != expected:
                raise UserError(
                    f"{path} gives {found[2]!r} the index {found[1]} where {expected} is due; "
                    "number the classes from 0 on without gaps."
                )
        lines = [found[2] for found in numbered if found]
    names = checked_names(lines, str(path))
    twice = next((name for name in names if names.count(name) > 1), None)
    if distinct and twice is not None:
        raise UserError(f"{path} has the class {twice!r} twice; give each its own name.")
    return names


def read_labels(path: str | Path, num_classes: int, owner: str) -> tuple[str, ...]:
    """`read_class_names` of a file of --labels for a network of so many classes, called `owner`.

    Raises UserError for another number of them, too.
    """
    names = read_class_names(path)
    if len(names) != num_classes:
        raise UserError(
            f"--labels={path} names {len(names)} classes, but {owner} has {num_classes}; give a "
            "name for each."
        )
    return names
