"""`labels.txt`: the names of a set's classes, one on each line."""

from pathlib import Path

from mnv3_tf.errors import UserError


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names in their order; lines may be "NAME", or "INDEX NAME" with indices from 0.

    Raises:
      UserError: no text, no name, a name that is there twice, or indices with gaps.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
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
