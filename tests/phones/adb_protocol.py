"""The phone's side of adb over TCP: what adbd does, as far as a measurement needs it.

A message is a header of six little-endian words and a payload (AOSP, packages/modules/adb,
protocol.txt); streams carry services, of which `shell:` and `sync:` are here.
"""

import os
import queue
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

HEADER = struct.Struct("<6I")
PACKET = struct.Struct("<BI")
ENTRY = struct.Struct("<4sI")
VERSION, MAX_DATA = 0x01000001, 256 * 1024
CHUNK = 64 * 1024
STDOUT, STDERR, EXIT = 1, 2, 3


def _command(name: str) -> int:
    return int.from_bytes(name.encode(), "little")


class Host(Protocol):
    """What the connection needs of the phone that it belongs to."""

    shell_v2: bool
    banner: bytes

    def begin(self, text: str) -> "subprocess.Popen[bytes]": ...
    def ended(self, text: str, process: "subprocess.Popen[bytes]") -> None: ...
    def pass_on(
        self, process: "subprocess.Popen[bytes]", output: bytes, write: Callable[[bytes], None]
    ) -> None: ...
    def local(self, path: str) -> Path: ...
    def has_room(self, path: Path, size: int) -> bool: ...


class Stream:
    """One service of a connection; a write waits until the one before has arrived."""

    def __init__(self, connection: "Connection", own: int, other: int) -> None:
        self._connection, self.own, self.other = connection, own, other
        self.inbox: queue.Queue[bytes] = queue.Queue()
        self.may_write = threading.Semaphore(1)
        self._rest = b""

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            self.may_write.acquire()
            self._connection.send("WRTE", self.own, self.other, data[start : start + CHUNK])

    def read(self, size: int) -> bytes:
        """Raises EOFError at the stream's end."""
        while len(self._rest) < size:
            data = self.inbox.get()
            if not data:
                raise EOFError
            self._rest += data
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def close(self) -> None:
        self._connection.send("CLSE", self.own, self.other)


class Connection:
    """One client, served until it or the phone goes away."""

    def __init__(self, host: Host, client: socket.socket) -> None:
        # Without it, small messages wait for one another: 40 ms a command.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host, self._client = host, client
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._opened = 0

    def serve(self) -> None:
        try:
            while True:
                self._receive()
        except (OSError, EOFError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        with _quietly():
            self._client.shutdown(socket.SHUT_RDWR)
        self._client.close()
        for stream in list(self._streams.values()):
            stream.inbox.put(b"")
            stream.may_write.release()

    def send(self, name: str, first: int, second: int, data: bytes = b"") -> None:
        command = _command(name)
        header = HEADER.pack(
            command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF
        )
        with self._lock:
            self._client.sendall(header + data)

    def _receive(self) -> None:
        command, first, second, size, _, _ = HEADER.unpack(self._exactly(HEADER.size))
        data = self._exactly(size)
        name = command.to_bytes(4, "little").decode()
        if name == "CNXN":
            self.send("CNXN", VERSION, MAX_DATA, self._host.banner)
        elif name == "OPEN":
            self._open(first, data.rstrip(b"\0").decode())
        elif name == "WRTE" and second in self._streams:
            self._streams[second].inbox.put(data)
            self.send("OKAY", second, first)
        elif name == "OKAY" and second in self._streams:
            self._streams[second].may_write.release()
        elif name == "CLSE" and second in self._streams:
            stream = self._streams.pop(second)
            stream.inbox.put(b"")
            stream.may_write.release()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._client.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _open(self, other: int, service: str) -> None:
        kind, _, rest = service.partition(":")
        handler: Callable[[Stream, str], None] | None = None
        if kind.split(",")[0] in ("shell", "exec"):
            split = kind.startswith("shell,v2")
            handler = self._split_shell if split else self._merged_shell
        elif kind == "sync":
            handler = self._sync
        if handler is None:
            self.send("CLSE", 0, other)
            return
        self._opened += 1
        stream = self._streams[self._opened] = Stream(self, self._opened, other)
        self.send("OKAY", stream.own, other)
        threading.Thread(target=self._run, args=(handler, stream, rest), daemon=True).start()

    def _run(self, handler: Callable[[Stream, str], None], stream: Stream, text: str) -> None:
        with _quietly():
            handler(stream, text)
            stream.close()

    def _split_shell(self, stream: Stream, text: str) -> None:
        process = self._host.begin(text)
        pumps = [
            threading.Thread(target=self._pump, args=(stream, process, number), daemon=True)
            for number in (STDOUT, STDERR)
        ]
        for pump in pumps:
            pump.start()
        status = process.wait()
        for pump in pumps:
            pump.join()
        self._host.ended(text, process)
        stream.write(PACKET.pack(EXIT, 1) + bytes([status % 256]))

    def _pump(self, stream: Stream, process: "subprocess.Popen[bytes]", number: int) -> None:
        def write(data: bytes) -> None:
            stream.write(PACKET.pack(number, len(data)) + data)

        source = process.stdout if number == STDOUT else process.stderr
        assert source is not None
        with _quietly():
            while data := os.read(source.fileno(), 16 * 1024):
                self._host.pass_on(process, data, write)

    def _merged_shell(self, stream: Stream, text: str) -> None:
        process = self._host.begin(f"exec 2>&1; {text}")
        assert process.stdout is not None
        while data := os.read(process.stdout.fileno(), 16 * 1024):
            self._host.pass_on(process, data, stream.write)
        process.wait()
        self._host.ended(text, process)

    def _sync(self, stream: Stream, _: str) -> None:
        with _quietly():
            while True:
                name, size = ENTRY.unpack(stream.read(ENTRY.size))
                text = stream.read(size).decode()
                if name == b"QUIT":
                    return
                if name == b"STAT":
                    stream.write(b"STAT" + self._stat(text))
                elif name == b"SEND":
                    self._store(stream, text)
                else:
                    stream.write(_fail(f"no {name.decode()} here"))

    def _stat(self, path: str) -> bytes:
        try:
            found = self._host.local(path).stat()
        except OSError:
            return bytes(12)
        return struct.pack("<3I", found.st_mode, found.st_size, int(found.st_mtime))

    def _store(self, stream: Stream, text: str) -> None:
        path = self._host.local(text.rpartition(",")[0])
        content, error = bytearray(), None
        while True:
            name, size = ENTRY.unpack(stream.read(ENTRY.size))
            if name == b"DONE":
                break
            content += stream.read(size)
            if not self._host.has_room(path, len(content)):
                error, content = "No space left on device", bytearray()
        try:
            if error is None:
                path.write_bytes(content)
        except OSError as problem:
            error = problem.strerror
        stream.write(_fail(f"couldn't create file: {error}") if error else ENTRY.pack(b"OKAY", 0))


def _fail(text: str) -> bytes:
    return ENTRY.pack(b"FAIL", len(text)) + text.encode()


class _quietly:
    """What ends a connection ends its streams, and is no news."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, OSError | EOFError | ValueError)


def properties_banner(properties: Mapping[str, str], features: str) -> bytes:
    names = ("ro.product.name", "ro.product.model", "ro.product.device")
    told = "".join(f"{name}={properties.get(name, 'fake')};" for name in names)
    return f"device::{told}features={features}".encode()
