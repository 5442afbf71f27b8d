"""A private adb server, fake phones that it is connected to, and files to time on them."""

import importlib.util
import itertools
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_phone import FakePhone, plugging, write_binary
from measuring import NASTY, ONE_US, OTHER_US, Finished, open_session
from needs import missing

from mnv3_tf.measuring.phone import report
from mnv3_tf.measuring.phone.session import Session


def find_client() -> str | None:
    package = importlib.util.find_spec("adbutils")
    bundled = Path(package.origin).parent / "binaries" / "adb" if package else None
    return shutil.which("adb") or (bundled and shutil.which(str(bundled)))


@pytest.fixture(scope="session")
def adb_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real client, with a server of its own that ends with the tests."""
    client = find_client()
    if client is None:
        missing("needs adb: Debian's package, or `pip install adbutils`")
    with socket.socket() as free, pytest.MonkeyPatch.context() as patch:
        free.bind(("127.0.0.1", 0))
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(free.getsockname()[1]))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("ADB", client)
        patch.setenv("ADB_MDNS", "0")
        free.close()
        subprocess.run([client, "start-server"], check=True, capture_output=True)
        yield client
        subprocess.run([client, "kill-server"], capture_output=True)


@pytest.fixture
def plug_in(adb_client: str, tmp_path: Path) -> Iterator[Callable[..., FakePhone]]:
    with plugging(adb_client, tmp_path) as make:
        yield make


@pytest.fixture
def phone(plug_in: Callable[..., FakePhone]) -> FakePhone:
    return plug_in()


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_binary(tmp_path_factory.mktemp("binary") / "benchmark_model")


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files of the same size that begin as models do; no binary of `write_binary` reads on."""
    folder = tmp_path_factory.mktemp("models")
    files = [folder / f"{name}.tflite" for name in ("one", "other")]
    for file in files:
        file.write_bytes(b"\x1c\0\0\0TFL3" + file.stem.encode().ljust(500_000))
    return files


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without pictures, which take most of a short measurement's time."""
    monkeypatch.setattr("mnv3_tf.measuring.phone.page.html", report.markdown)


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
