"""Sessions on fake phones."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from phones.fake_phone import FakePhone

from mnv3_tf.journal import Journal
from mnv3_tf.measuring.phone import binary, models, plan
from mnv3_tf.measuring.phone.session import Session

QUICK = {"rounds": 1, "num_runs": 3, "cooldown_s": 0.0}


def open_session(
    phone: FakePhone,
    files: Sequence[Path],
    program: Path,
    folder: Path,
    say: Callable[[str], None],
    **settings: Any,
) -> Session:
    chosen = binary.local(str(program))
    return Session(
        phone.adb(),
        models.load([str(file) for file in files]),
        plan.PhoneSettings(**(QUICK | settings)),
        lambda _: chosen,
        Journal(folder / "journal.jsonl"),
        folder / "logs",
        say,
    )


class Finished(NamedTuple):
    """A session that has ended, its phone, and what it told of itself meanwhile."""

    phone: FakePhone
    session: Session
    said: list[str]
    progress: list[tuple[int, int]]


NASTY = "<script>alert(1)<$(touch pwned)'\"; |"
"""What a file may be called."""

ONE_US = (1000, 1010, 1020, 1030, 4000, 1040)
"""Of an inference in each run of the first model; the fifth was interfered with."""

OTHER_US = (2000, 2020, 2142, 2060, 2080)
