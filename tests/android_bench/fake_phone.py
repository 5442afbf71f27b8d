"""A phone for want of one: a file tree, a shell and some heat, behind the real adb protocol.

The real adb client connects to it over loopback. Commands run in this computer's /bin/sh, where
the phone's absolute paths are those of its own tree, and Android's programs are small scripts.
"""

import contextlib
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from adb_protocol import Connection, properties_banner

AMBIENT_C = 25.0
STATUS_AT_C = (40.0, 43.0, 46.0)
"""From which skin temperature on Android's thermal status is 1, 2, 3."""

CLOCKS = (1803000,) * 4 + (2253000,) * 2 + (2802000,) * 2
CAPACITIES = (160,) * 4 + (498,) * 2 + (1024,) * 2
PROPERTIES = {
    "ro.product.name": "oriole",
    "ro.product.device": "oriole",
    "ro.product.model": "Pixel 6",
    "ro.product.manufacturer": "Google",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.soc.model": "GS101",
    "ro.soc.manufacturer": "Google",
    "ro.board.platform": "gs101",
    "ro.build.version.release": "13",
    "ro.build.version.sdk": "33",
    "ro.build.fingerprint": "google/oriole/oriole:13/TQ1A.230105.002/9325679:user/release-keys",
}
PROGRAMS = {
    "getprop": 'cat "$PHONE_ROOT/state/props/$1" 2>/dev/null || echo',
    "dumpsys": 'cat "$PHONE_ROOT/state/dumpsys_$1" 2>/dev/null'
    ' || echo "Permission Denial: can\'t dump $1" >&2',
    "cmd": '[ "$1 $2" = "power set-fixed-performance-mode-enabled" ] || exit 255\n'
    'echo "$3" >> "$PHONE_ROOT/state/fixed_performance"',
    "taskset": 'echo "$1" >> "$PHONE_ROOT/state/masks"; shift; exec "$@"',
    "pkill": 'exec /usr/bin/pkill -9 -f -- "--graph=$PHONE_ROOT/"',
}
STAND_IN = Path(__file__).parent / "benchmark_model.py"


@dataclass
class FakePhone:
    """`heat_per_run`: degrees Celsius of each benchmark run. `cooling_s`: in which two thirds go.

    `unplug_at`: part of a command in whose middle the cable comes off, once; after `back_after`
    seconds it is plugged in again. `commands` has every shell command, `pushed` every path sent.
    """

    root: Path
    properties: dict[str, str] = field(default_factory=lambda: dict(PROPERTIES))
    shell_v2: bool = True
    clocks: tuple[int, ...] = CLOCKS
    capacities: tuple[int, ...] = CAPACITIES
    heat_per_run: float = 0.0
    cooling_s: float = 1.0
    disk_free: int | None = None
    unplug_at: str | None = None
    back_after: float | None = None
    commands: list[str] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._celsius, self._touched = AMBIENT_C + 3.0, time.monotonic()
        self._connections: list[Connection] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._denied: set[str] = set()
        self._listener: socket.socket | None = None
        self._port = 0
        self.charging, self.screen_on = True, False
        features = "shell_v2,cmd" if self.shell_v2 else "cmd"
        self.banner = properties_banner(self.properties, features)
        for folder in ("data/local/tmp", "state/props", "bin", "proc"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for name, value in self.properties.items():
            (self.root / "state" / "props" / name).write_text(f"{value}\n")
        for name, text in PROGRAMS.items():
            program = self.root / "bin" / name
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)

    # -- the cable -------------------------------------------------------------------------------

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self._port}"

    def plug_in(self) -> None:
        """Answers on the same port as before."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def unplug(self) -> None:
        """In the middle of whatever runs; what runs dies too."""
        if self._listener:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        for process in self._processes:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        if self.back_after is not None:
            threading.Timer(self.back_after, self.plug_in).start()
            self.back_after = None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                connection = Connection(self, client)
                self._connections.append(connection)
                threading.Thread(target=connection.serve, daemon=True).start()

    # -- what a connection asks of it ------------------------------------------------------------

    def begin(self, text: str) -> "subprocess.Popen[bytes]":
        self.commands.append(text)
        self._write_state()
        if self.unplug_at and self.unplug_at in text:
            self.unplug_at = None
            threading.Timer(0.3, self.unplug).start()
        process = subprocess.Popen(
            ["/bin/sh", "-c", self._own(text)],
            env={
                "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
                "PHONE_ROOT": str(self.root),
                "PHONE_SLOWDOWN": str(max(self.clocks) / self.allowed_khz),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def ended(self, text: str, process: "subprocess.Popen[bytes]") -> None:
        self._processes.remove(process)
        if "--graph=" in text and "pkill" not in text:
            self.celsius += self.heat_per_run

    def seen(self, output: bytes) -> bytes:
        return output.replace(f"{self.root}/".encode(), b"/")

    def local(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def has_room(self, path: Path, size: int) -> bool:
        if not size or str(path) not in self.pushed:
            self.pushed.append(str(path))
        return self.disk_free is None or size <= self.disk_free

    def _own(self, text: str) -> str:
        return re.sub(r"(?<![\w/.])/(?=(?:data|sys|proc)/)", f"{self.root}/", text)

    # -- its body --------------------------------------------------------------------------------

    @property
    def celsius(self) -> float:
        passed = time.monotonic() - self._touched
        return AMBIENT_C + (self._celsius - AMBIENT_C) * math.exp(-passed / self.cooling_s)

    @celsius.setter
    def celsius(self, value: float) -> None:
        self._celsius, self._touched = value, time.monotonic()

    @property
    def thermal_status(self) -> int:
        return sum(self.celsius >= limit for limit in STATUS_AT_C)

    @property
    def allowed_khz(self) -> int:
        """Of the fastest cores, which slow down from status 2 on."""
        return int(max(self.clocks) * (0.7 if self.thermal_status >= 2 else 1.0))

    @property
    def fixed_performance(self) -> list[str]:
        """What the mode was set to, in order."""
        return self._lines("fixed_performance")

    @property
    def masks(self) -> list[str]:
        return self._lines("masks")

    def _lines(self, name: str) -> list[str]:
        path = self.root / "state" / name
        return path.read_text().split() if path.exists() else []

    def deny(self, part: str) -> None:
        """No file whose path holds `part` can be read from now on."""
        self._denied.add(part)

    def _write_state(self) -> None:
        powered = str(self.charging).lower()
        texts = {
            "state/dumpsys_thermalservice": f"IsStatusOverride: false\n"
            f"Thermal Status: {self.thermal_status}\nCurrent temperatures from HAL:\n"
            f"\tTemperature{{mValue={self.celsius:.1f}, mType=3, mName=skin, mStatus=0}}\n",
            "state/dumpsys_battery": f"Current Battery Service state:\n  AC powered: false\n"
            f"  USB powered: {powered}\n  level: 87\n  temperature: {int(10 * self.celsius)}\n",
            "state/dumpsys_power": f"mWakefulness={'Awake' if self.screen_on else 'Dozing'}\n",
            "proc/meminfo": "MemTotal:        7635656 kB\nMemAvailable:    4101272 kB\n",
        }
        for cpu, (clock, capacity) in enumerate(zip(self.clocks, self.capacities, strict=True)):
            allowed = min(clock, self.allowed_khz)
            folder = f"sys/devices/system/cpu/cpu{cpu}"
            texts |= {
                f"{folder}/cpu_capacity": f"{capacity}\n",
                f"{folder}/cpufreq/cpuinfo_max_freq": f"{clock}\n",
                f"{folder}/cpufreq/scaling_max_freq": f"{allowed}\n",
                f"{folder}/cpufreq/scaling_cur_freq": f"{allowed}\n",
                f"{folder}/cpufreq/scaling_governor": "sched_pixel\n",
                f"{folder}/cpufreq/stats/time_in_state": f"300000 100\n"
                f"{allowed} {int(100 * time.monotonic())}\n",
            }
        for name, text in texts.items():
            path = self.root / name
            if any(part in f"/{name}" for part in self._denied):
                path.unlink(missing_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@contextlib.contextmanager
def plugging(client: str, folder: Path) -> Iterator[Callable[..., FakePhone]]:
    """Makes phones with the given traits and connects them, until the end."""
    phones: list[FakePhone] = []

    def make(**traits) -> FakePhone:
        phone = FakePhone(folder / f"phone{len(phones)}", **traits)
        phone.plug_in()
        phones.append(phone)
        done = subprocess.run([client, "connect", phone.serial], capture_output=True, text=True)
        assert "connected to" in done.stdout, done.stdout + done.stderr
        return phone

    yield make
    for phone in phones:
        subprocess.run([client, "disconnect", phone.serial], capture_output=True)
        phone.unplug()


def write_binary(path: Path, *, flavour: str = "tflite", **faults: object) -> Path:
    """A `benchmark_model` to push: a script that runs the stand-in with these faults."""
    words = [sys.executable, str(STAND_IN), f"--stand_in={flavour}"]
    words += [f"--stand_in_{name}={value}" for name, value in faults.items()]
    quoted = " ".join(f"'{word}'" for word in words)
    path.write_text(f'#!/bin/sh\nexec {quoted} "$@"\n')
    path.chmod(0o755)
    return path


def foreign_binary(path: Path) -> Path:
    """A program of another processor: this computer's own `true`, called MIPS."""
    content = bytearray(Path(shutil.which("true") or "/bin/true").read_bytes())
    content[18:20] = (8).to_bytes(2, "little")  # e_machine: EM_MIPS
    path.write_bytes(content)
    return path
