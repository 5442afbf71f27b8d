"""Files that cost seconds to make, made once a run and shared by all of its processes."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock


class Artefacts:
    """A folder of folders, each filled by whoever asks for it first."""

    def __init__(self, root: Path) -> None:
        self._root = root
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
                    make(self, begun, *arguments, **options)
                    os.rename(begun, folder)
        return folder
