"""A plug-in: fake phones that a private adb server is connected to, and files to time on them."""

import importlib.util
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from needs import missing
from phones.fake_phone import FakePhone, plugging, write_binary

from mnv3_tf.measuring.phone import report


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
