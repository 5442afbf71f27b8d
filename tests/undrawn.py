"""Figures without files, for tests of what is drawn."""

from pathlib import Path
from typing import Any

import pytest

from mnv3_tf.ui import figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were drawn from now on; their files are no pictures, which take long."""
    found: list[Any] = []

    def save(figure: Any, path: Path, dpi: int = 110) -> None:
        found.append(figure)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"\x89PNG, not really")

    monkeypatch.setattr(figures, "save", save)
    return found
