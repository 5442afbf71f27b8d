"""Where the benchmark program comes from, and which of the two it is."""

import hashlib
import http.server
import threading
from collections.abc import Iterator

import pytest

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.measuring.phone import binary
from mnv3_tf.measuring.phone.adb import PhoneError

CONTENT = b"a program"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[list[str]]:
    """Serves CONTENT as the program for both processors, and records what was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{running.server_port}/benchmark_model"
        addresses = {"arm64-v8a": address, "armeabi-v7a": f"{address}_of_32_bits"}
        monkeypatch.setattr(binary, "ADDRESSES", addresses)
        yield asked
        running.shutdown()


def test_it_is_downloaded_once_and_known_by_its_sum(server, tmp_path) -> None:
    for _ in range(2):
        found = binary.download("arm64-v8a", SHA256, tmp_path)
        assert found.path.read_bytes() == CONTENT
        assert found.sha256 == SHA256
        assert found.source.endswith("/benchmark_model")
    assert server == ["/benchmark_model"]
    other = binary.download("armeabi-v7a", SHA256, tmp_path)
    assert other.path != found.path
    assert server[1:] == ["/benchmark_model_of_32_bits"]


def test_a_pin_refuses_any_other(server, tmp_path) -> None:
    with pytest.raises(UserError, match=f"has the sha256 {SHA256}, not the 00"):
        binary.download("arm64-v8a", "00", tmp_path)


def test_a_processor_without_a_build_is_told(tmp_path) -> None:
    with pytest.raises(UserError, match="No benchmark_model is published for mips"):
        binary.download("mips", None, tmp_path)


def test_without_a_network_the_remedy_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(binary, "ADDRESSES", {"arm64-v8a": "http://127.0.0.1:1/x"})
    with pytest.raises(Failure, match=r"Cannot download http.*give --benchmark_binary=PATH"):
        binary.download("arm64-v8a", None, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_help_tells_the_two_programs_apart() -> None:
    assert binary.tell_flavour("--graph=  string\n--use_xnnpack=false bool") == binary.TFLITE
    assert binary.tell_flavour("--graph=  string\n--use_cpu=true bool") == binary.LITERT
    with pytest.raises(PhoneError, match=r"does not run on this phone: .*not executable") as caught:
        binary.tell_flavour("sh: ./benchmark_model: not executable: 64-bit ELF file")
    assert caught.value.kind == "wrong_abi"
    with pytest.raises(PhoneError, match="hello"):
        binary.tell_flavour("hello")
