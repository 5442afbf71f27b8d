"""Class names from a text file, one on each line."""

import re
from pathlib import Path

from mnv3_tf.errors import UserError


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Without a byte order mark, empty lines at the end, and numbers that only count the lines.

    Raises UserError where it cannot be read, is not UTF-8, or has no names.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(
            f"Cannot read --labels={path}: {error.strerror}; give a text file of class names."
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 (its byte {error.start} is {error.object[error.start]:#04x}); "
            "save it as UTF-8."
        ) from None
    names = [line.strip() for line in text.splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise UserError(f"{path} has no class names; give one on each line.")
    # "0 background", "1 tench": as Teachable Machine and Coral write them.
    counted = [re.fullmatch(r"(\d+)[\s:,]+(.+)", name) for name in names]
    if len(names) > 1 and all(c and int(c[1]) == i for i, c in enumerate(counted)):
        return tuple(match[2] for match in counted if match)
    return tuple(names)
