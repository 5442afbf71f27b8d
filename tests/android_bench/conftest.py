"""A private adb server, fake phones that it is connected to, and small models to time."""

import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_phone import FakePhone, plugging, write_binary


def find_client() -> str | None:
    package = importlib.util.find_spec("adbutils")
    bundled = Path(package.origin).parent / "binaries" / "adb" if package else None
    return shutil.which("adb") or (bundled and shutil.which(str(bundled)))


@pytest.fixture(scope="session")
def adb_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real client, with a server of its own that ends with the tests."""
    client = find_client()
    if client is None:
        pytest.skip("needs adb: Debian's package, or `pip install adbutils`")
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


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    return write_binary(tmp_path / "benchmark_model", steady=1)


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two small models of the same size, with other weights."""
    from benchmark.settled import noise_pictures, settled_classifier
    from mnv3_tf.export.convert import convert
    from mnv3_tf.networks import resolve

    spec = resolve("small_minimalistic", width=0.35, resolution=32, num_classes=10)
    folder = tmp_path_factory.mktemp("models")
    files = []
    for seed, name in enumerate(("one", "other")):
        model = settled_classifier(spec, noise_pictures(32), seed)
        files.append(folder / f"{name}.tflite")
        files[-1].write_bytes(convert(model, "none"))
    assert os.path.getsize(files[0]) == os.path.getsize(files[1])
    return files


@pytest.fixture(scope="session")
def int8_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small V3 in int8, with h-swish in both lowerings: fused.tflite and composite.tflite."""
    from benchmark.settled import noise_pictures, settled_classifier
    from mnv3_tf.export.exporter import ExportOptions, export
    from mnv3_tf.networks import resolve

    spec = resolve("small", width=0.35, resolution=32, num_classes=10)
    pictures = noise_pictures(32)
    model = settled_classifier(spec, pictures)
    folder = tmp_path_factory.mktemp("int8")
    files = []
    for lowering in ("fused", "composite"):
        files.append(folder / f"{lowering}.tflite")
        options = ExportOptions("int8", hard_swish=lowering)
        export(spec, model, options, files[-1], calibration=pictures)
    return files
