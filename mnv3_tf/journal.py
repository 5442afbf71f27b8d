"""What has been done, a line for each piece, so that nothing is done twice or lost; and locks.

A line is written whole and synced before the next piece begins. One that was cut by a kill or a
full disk is dropped when the journal is opened again.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from filelock import FileLock, Timeout

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write

LOCKS = Path("~/.cache/mnv3_tf/locks")


Entry = TypeVar("Entry", bound=Mapping[str, object])


class Journal(Generic[Entry]):
    """The entries of `path`, in their order; safe to use from several threads.

    Raises UserError where the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        try:
            lines = path.read_text().splitlines() if path.exists() else []
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}.") from None
        for number, line in enumerate(lines, 1):
            try:
                self._entries.append(json.loads(line))
            except ValueError:
                if number < len(lines):
                    raise UserError(
                        f"Line {number} of {path} is damaged; remove that line, or give another "
                        "--out."
                    ) from None
        with atomic_write(path) as temporary:
            temporary.write_text("".join(map(_line, self._entries)))

    def entries(self) -> list[Entry]:
        with self._lock:
            return list(self._entries)

    def where(self, **values: object) -> list[Entry]:
        """The entries that have these values, such as `key="..."` and `round=2`."""
        return [
            entry
            for entry in self.entries()
            if all(entry[name] == value for name, value in values.items())
        ]

    def add(self, *entries: Entry) -> None:
        """All of them or none.

        Raises Failure where the disk is full; what was written before stays whole.
        """
        with self._lock, self.path.open("ab") as file:
            end = file.tell()
            try:
                file.write("".join(map(_line, entries)).encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                os.truncate(self.path, end)
                raise Failure(
                    f"Cannot write {self.path}: {error.strerror}; make room and run the same "
                    "command again, it goes on from here."
                ) from None
            self._entries.extend(entries)


def _line(entry: Mapping[str, object]) -> str:
    return json.dumps(entry) + "\n"


@contextmanager
def locked(name: str, folder: Path = LOCKS) -> Iterator[None]:
    """Holds `name` against other processes of this user; the system lets go of it after a kill.

    Raises Failure while another process has it.
    """
    folder = folder.expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Failure(
            f"{name} is in use by another measurement; wait until that is done."
        ) from None
    try:
        yield
    finally:
        lock.release()
