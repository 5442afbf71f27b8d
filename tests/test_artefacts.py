"""What many tests share is made once, and whole or not at all."""

from pathlib import Path

import pytest
from artefacts import Artefacts

CALLS: list[tuple[object, ...]] = []


def numbers(made: Artefacts, folder: Path, count: int, start: int = 0) -> None:
    CALLS.append((count, start))
    (folder / "numbers").write_text(" ".join(map(str, range(start, start + count))))


def sums(made: Artefacts, folder: Path, count: int) -> None:
    text = (made(numbers, count) / "numbers").read_text()
    (folder / "sum").write_text(str(sum(map(int, text.split()))))


def broken(made: Artefacts, folder: Path) -> None:
    CALLS.append(("broken",))
    (folder / "half").write_text("")
    raise RuntimeError("out of disk")


@pytest.fixture
def store(tmp_path) -> Artefacts:
    CALLS.clear()
    return Artefacts(tmp_path / "made")


def test_the_same_is_made_once(store, tmp_path):
    first = store(numbers, 3)
    assert (first / "numbers").read_text() == "0 1 2"
    assert Artefacts(tmp_path / "made")(numbers, 3) == first
    assert CALLS == [(3, 0)]


def test_other_arguments_are_another_thing(store):
    folders = {store(numbers, 3), store(numbers, 4), store(numbers, 3, start=1)}
    assert len(folders) == 3
    assert CALLS == [(3, 0), (4, 0), (3, 1)]


def test_one_thing_is_made_of_another(store):
    assert (store(sums, 4) / "sum").read_text() == "6"
    store(numbers, 4)
    assert CALLS == [(4, 0)]


def test_what_failed_is_not_there_and_is_tried_again(store):
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of disk"):
            store(broken)
    assert CALLS == [("broken",)] * 2


def test_it_knows_how_long_it_took_whoever_asked(store, monkeypatch):
    passed = iter(range(100))
    monkeypatch.setattr("artefacts.processor_seconds", lambda: float(next(passed)))
    store(sums, 2)  # looks at 0 and, after the numbers at 1 and 2, at 3
    assert store.seconds == 3
    store(sums, 2)
    assert store.seconds == 3
