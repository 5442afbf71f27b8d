"""Files that cost seconds to make, made once a run and shared by all of its processes."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock


def processor_seconds() -> float:
    """Of this process and of those it waited for, which is the same on a busy machine."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Artefacts:
    """A folder of folders, each filled by whoever asks for it first.

    `seconds` of processor time went into what this process made: for all, not for a single test.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._depth = root, 0
        self.seconds = 0.0
        root.mkdir(exist_ok=True)

    def __call__(self, make: Callable[..., None], *arguments: Any, **options: Any) -> Path:
        """The folder that `make(self, folder, *arguments, **options)` filled.

        It is known by the function and its arguments, whose repr must tell all of them. Nobody
        may write in it; `self` gives what it is made of in its turn.
        """
        told = f"{make.__module__}.{make.__qualname__} {arguments!r} {sorted(options.items())!r}"
        folder = self._root / f"{make.__name__}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
        if not folder.is_dir():  # which appears when it is whole
            with FileLock(f"{folder}.lock"):
                if not folder.is_dir():
                    begun = Path(f"{folder}.begun")
                    shutil.rmtree(begun, ignore_errors=True)
                    begun.mkdir()
                    with self._counting():
                        make(self, begun, *arguments, **options)
                    os.rename(begun, folder)
        return folder

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        """What is made on the way is part of what it is made for."""
        began, outermost = processor_seconds(), self._depth == 0
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self.seconds += (processor_seconds() - began) * outermost


STORES = pytest.StashKey[list[Artefacts]]()
"""In the session's stash: what this process makes for all tests."""
