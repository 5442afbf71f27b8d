"""What formats with annotations share: names of classes, and what was left out on opening."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from unicodedata import category, normalize

from mnv3_tf.errors import UserError

_NAMES_SHOWN = 3


class Reason(NamedTuple):
    """What follows the count in a sentence: for one, and for several."""

    one: str
    several: str


class Tally:
    """What was left out of a dataset: counted by reason, with names."""

    def __init__(self) -> None:
        self._counts: dict[Reason, int] = {}
        self._names: dict[Reason, dict[str, None]] = {}

    def add(self, reason: Reason, name: str, count: int = 1) -> None:
        """`name` is the picture's, or what else helps to find it."""
        if count:
            self._counts[reason] = self._counts.get(reason, 0) + count
            self._names.setdefault(reason, {})[name] = None

    def sentences(self) -> tuple[str, ...]:
        """As "2 boxes of no area were left out (a.jpg, b.jpg)": up to three names each."""
        return tuple(
            f"{count} {reason.one if count == 1 else reason.several} "
            f"({_shortened(list(self._names[reason]))})"
            for reason, count in self._counts.items()
        )


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


def listed(names: Iterable[str]) -> str:
    """As "'cat', 'dog', 'cow', ...": up to three, quoted."""
    return _shortened([repr(name) for name in names])


def _shortened(names: list[str]) -> str:
    return ", ".join(
        [shown(name) for name in names[:_NAMES_SHOWN]] + ["..."] * (len(names) > _NAMES_SHOWN)
    )


def read_labels(path: Path) -> tuple[str, ...]:
    """The lines of a file of --labels. Raises UserError for a file that is absent or no text."""
    try:
        return tuple(path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise UserError(
            f"Cannot read --labels={path}: {reason}; write the name of a class on each line."
        ) from None


def read_class_names(path: Path) -> tuple[str, ...]:
    """`labels.txt`: the name of a class on each line, in their order.

    Lines may be "NAME", or "INDEX NAME" with indices from 0.

    Raises:
      UserError: no text, no name, a name that is there twice, or indices with gaps.
    """
    try:
        lines = [cleaned(line) for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise UserError(
            f"Cannot read {path}: {error.strerror}; write the name of a class on each line."
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8; write a class on each line.") from None
    lines = [line for line in lines if line]
    heads = [line.split(maxsplit=1) for line in lines]
    # All or none: a class may be called "2 euro".
    if all(len(head) == 2 and head[0].isdecimal() for head in heads):
        for expected, (index, name) in enumerate(heads):
            if int(index) != expected:
                raise UserError(
                    f"{path} gives {name!r} the index {index} where {expected} is due; "
                    f"number the classes from 0 on without gaps."
                )
        lines = [name for _, name in heads]
    if not lines:
        raise UserError(f"{path} is empty; write the name of a class on each line.")
    twice = next((name for name in lines if lines.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} has the class {twice!r} twice; give each its own name.")
    return tuple(lines)
