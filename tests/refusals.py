"""What every refusal must be: one sentence that names the value, exit status 2, nothing left."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from commands import call

from mnv3_tf.errors import Failure, UserError


@contextlib.contextmanager
def refused(*named: object, by: type[UserError | Failure] = UserError) -> Iterator[Any]:
    """The block must raise `by` with one sentence in which each of `named` stands."""
    with pytest.raises(by) as caught:
        yield caught
    check_sentence(str(caught.value), *named)


def check_sentence(text: str, *named: object) -> None:
    assert text.strip().endswith((".", ")")), text
    assert "\n" not in text.strip(), text
    assert "Traceback" not in text
    for part in named:
        assert str(part) in text, (part, text)


def check_command(
    command: ModuleType,
    arguments: Sequence[object],
    named: object | Sequence[object],
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    status: int = 2,
) -> str:
    """A command refuses these arguments; what is in `folder` stays as it was. Returns the sentence.

    `arguments` are those after the command's name.
    """
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    found = call(command, *arguments)
    printed = capsys.readouterr()
    assert found == status, printed
    assert printed.out == ""
    names = [named] if isinstance(named, str) or not isinstance(named, Sequence) else named
    check_sentence(printed.err, *names)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    return printed.err
