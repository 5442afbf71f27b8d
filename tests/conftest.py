"""Fixtures for every test."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artefacts import STORES, Artefacts
from needs import missing
from random_network import randomise

pytest_plugins = ["budget", "phones.plugged_in", "pytester", "small_files", "undrawn"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # as `cli.call` does


@pytest.fixture(scope="session")
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Artefacts:
    """What is made once a run by the functions of `making`, for all workers."""
    own = tmp_path_factory.getbasetemp()
    store = Artefacts((own if worker_id == "master" else own.parent) / "made")
    request.session.stash.setdefault(STORES, []).append(store)
    return store


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and released weights, beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        missing(f"needs the photographs and weights of {folder}, which is absent")
    return folder


@pytest.fixture(scope="session")
def mediapipe_answers() -> Callable[..., list[Any]]:
    """(model, pictures, task="classify") -> what MediaPipe says of each, as its client prints it.

    Its absl-py does not get on with ours, so it lives in an environment of its own.
    """
    tests = Path(__file__).parent
    here = tests.parent / ".venv-mediapipe" / "bin" / "python"
    python = Path(os.environ.get("MNV3_MEDIAPIPE_PYTHON", here))
    if not python.is_file():
        missing(f"needs mediapipe in an environment of its own; {python} is absent")

    def ask(model: Path, pictures: Sequence[Path], task: str = "classify") -> list[Any]:
        command = [python, tests / "clients" / "mediapipe_answers.py", task, model, *pictures]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return ask


@pytest.fixture(scope="session")
def random_model() -> Callable[..., Any]:
    """`create_model(...)` with random weights."""
    from mnv3_tf import create_model

    def make(model: str, seed: int = 0, **arguments: Any) -> Any:
        return randomise(create_model(model, **arguments), seed)

    return make


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes, made of memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        missing("needs the right to mount a disk of its own")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def closed_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder in which nothing can be written."""
    if os.geteuid():
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o500)
        return folder
    folder = request.getfixturevalue("small_disk")  # root is stopped by a read-only disk alone
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    return folder
