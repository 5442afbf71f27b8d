"""Sessions of fake phones: short ones of a test, and a long one that many look at."""

import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from phones.fake_phone import FakePhone, plugging
from sessions import NASTY, ONE_US, OTHER_US, Finished, open_session

from mnv3_tf.measuring.phone.session import Session


@pytest.fixture
def said() -> list[str]:
    """What the sessions of `measure` tell the user."""
    return []


@pytest.fixture
def measure(
    tmp_path: Path, model_files: list[Path], binary: Path, said: list[str]
) -> Callable[..., Session]:
    """Runs a session of one file to its end; several of a test share their journal."""

    def make(
        phone: FakePhone,
        program: Path = binary,
        files: Sequence[Path] = model_files[:1],
        **settings: Any,
    ) -> Session:
        session = open_session(phone, files, program, tmp_path / "out", said.append, **settings)
        session.run()
        return session

    return make


@pytest.fixture(scope="session")
def finished(
    adb_client: str,
    model_files: list[Path],
    binary: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Finished:
    """Five rounds of two models, with memory and operators; one of them has a hostile name."""
    folder = tmp_path_factory.mktemp("finished")
    nasty = folder / f"{NASTY.replace('/', '')}.tflite"
    shutil.copy(model_files[0], nasty)
    said: list[str] = []
    with plugging(adb_client, folder) as plug_in:
        phone = plug_in(heat_per_run=1.0)
        session = open_session(
            phone,
            [nasty, model_files[1]],
            binary,
            folder / "out",
            said.append,
            rounds=5,
            profile_ops=True,
            cooldown_s=10.0,
        )
        progress: list[tuple[int, int]] = []
        session.advance = lambda *of: progress.append(of)
        one, other = (model.sha256 for model in session.models)
        times = {
            one: itertools.chain(ONE_US, itertools.repeat(1000)),
            other: itertools.chain(OTHER_US, itertools.repeat(2000)),
        }
        phone.inference_us = lambda command: next(times[one if one in command else other])
        session.run()
    return Finished(phone, session, said, progress)
