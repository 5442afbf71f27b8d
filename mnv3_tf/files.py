"""Writing files so that nobody ever sees half of one."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mnv3_tf.errors import UserError

BEST_WEIGHTS = "best.weights.h5"
"""Of a run folder, which run.json tells from others: named here for all that write or read it."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which takes its place if the block succeeds.

    Raises UserError where the folder cannot be made or written. If the block fails, whatever
    was at `path` is untouched and the temporary file is gone.
    """
    path = Path(path)
    folder, prefix = path.parent, f".{path.stem}-"
    if path.is_dir():
        raise UserError(f"Cannot write {path}: it is a folder; choose another name.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=folder)
    except OSError as error:
        raise UserError(
            f"Cannot write {path}: {error.strerror}; choose a folder that you can write to."
        ) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, known_by: str) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, which takes its place if the block succeeds.

    A folder that is there is replaced if it holds a file `known_by`, or nothing. Raises UserError
    for others, and where nothing can be written. If the block fails, `path` is as it was.
    """
    path = Path(os.path.abspath(path))
    if path.exists() and not ((path / known_by).is_file() or _is_empty(path)):
        raise UserError(f"Cannot write {path}: it holds no {known_by}; choose another name.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise UserError(
            f"Cannot write {path}: {error.strerror}; choose a folder that you can write to."
        ) from None
    made, earlier = temporary / "new", temporary / "old"
    try:
        made.mkdir()
        yield made
        if path.exists():
            os.replace(path, earlier)
        os.replace(made, path)
    finally:
        if earlier.exists() and not path.exists():
            os.replace(earlier, path)
        shutil.rmtree(temporary, ignore_errors=True)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def write_json(path: str | Path, tree: Mapping[str, object] | Sequence[object]) -> None:
    """The tree, indented, whole or not at all; raises UserError as `atomic_write` does."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(tree, indent=1) + "\n")


def read_object(path: Path, remedy: str) -> Mapping[str, object] | None:
    """The object in a JSON file, None where there is no file.

    Raises UserError with the `remedy` for what is none, and where it cannot be read.
    """
    try:
        tree = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {path}: {error}; {remedy}.") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds no JSON object; {remedy}.")
    return tree


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
