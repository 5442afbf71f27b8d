"""One measurement at a time, for a phone and for a folder of results."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mnv3_tf.errors import Failure

LOCKS = Path("~/.cache/mnv3_tf/locks")


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
