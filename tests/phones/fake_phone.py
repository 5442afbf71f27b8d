"""A phone for want of one: a file tree, a shell and some heat, behind the real adb protocol.

The real adb client connects to it over loopback. Commands run in this computer's /bin/sh, where
the phone's absolute paths are those of its own tree, and Android's programs are functions.
Its time passes only while somebody waits for it, and with each benchmark run.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from phones import printed
from phones.adb_protocol import Connection, properties_banner

from mnv3_tf.measuring.phone.adb import Adb

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
PROGRAMS = """
tell() { while IFS= read -r line; do printf '%s\\n' "$line"; done < "$1"; }
getprop() { tell "$PHONE_ROOT/state/props/$1" 2>/dev/null || echo; }
dumpsys() {
  tell "$PHONE_ROOT/state/dumpsys_$1" 2>/dev/null || echo "Permission Denial: can't dump $1" >&2
}
cmd() {
  [ "$1 $2" = "power set-fixed-performance-mode-enabled" ] || return 255
  echo "$3" >> "$PHONE_ROOT/state/fixed_performance"
}
taskset() { echo "$1" >> "$PHONE_ROOT/state/masks"; shift; "$@"; }
pkill() { /usr/bin/pkill -9 -f -- "--graph=$PHONE_ROOT/"; }
"""
"""Android's own, as functions of the shell, which cost no process."""

STAND_IN = Path(__file__).parent / "benchmark_model.py"


class Clock:
    """Seconds that pass when somebody lets them, and what is to happen in them."""

    def __init__(self) -> None:
        self._now = 0.0
        self._coming: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self._now

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self._coming.append((self._now + seconds, action))

    def wait(self, seconds: float) -> None:
        self._now += seconds
        due = [one for one in self._coming if one[0] <= self._now]
        for one in due:
            self._coming.remove(one)
            one[1]()


class Stop(threading.Event):
    """`Adb.stop`, the waiting for which takes the phone's time and none of ours."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.wait(timeout or 0.0)
        return self.is_set()


@dataclass
class FakePhone:
    """`heat_per_run`: degrees Celsius of each benchmark run. `cooling_s`: in which two thirds go.

    `unplug_at`: part of a command in whose middle the cable comes off, once; after `back_after`
    seconds it is plugged in again. `inference_us`: of the benchmark run by a command, by a binary
    of `write_binary`, while the clock is not lowered. `commands` has every shell command, `pushed`
    every path sent.
    """

    client: str
    root: Path
    properties: dict[str, str] = field(default_factory=lambda: dict(PROPERTIES))
    shell_v2: bool = True
    clocks: tuple[int, ...] = CLOCKS
    capacities: tuple[int, ...] = CAPACITIES
    heat_per_run: float = 0.0
    cooling_s: float = 60.0
    run_s: float = 2.0
    inference_us: Callable[[str], float] = lambda command: 1000.0
    disk_free: int | None = None
    unplug_at: str | None = None
    back_after: float | None = None
    clock: Clock = field(default_factory=Clock)
    commands: list[str] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._celsius, self._touched = AMBIENT_C + 3.0, self.clock.now()
        self._connections: list[Connection] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._losing: subprocess.Popen[bytes] | None = None
        self._denied: set[str] = set()
        self._written: dict[str, str] = {}
        self._listener: socket.socket | None = None
        self._port = 0
        self.charging, self.screen_on = True, False
        features = "shell_v2,cmd" if self.shell_v2 else "cmd"
        self.banner = properties_banner(self.properties, features)
        for folder in ("data/local/tmp", "state/props", "proc"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        os.mkfifo(self.root / "state" / "never")
        for name, value in self.properties.items():
            (self.root / "state" / "props" / name).write_text(f"{value}\n")

    def adb(self) -> Adb:
        """A client whose waiting takes this phone's time."""
        return Adb(self.client, self.serial, Stop(self.clock), self.clock.now)

    @property
    def runs(self) -> list[str]:
        """The commands that ran the benchmark."""
        return [text for text in self.commands if _is_run(text)]

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
        # A computer sees at once that a cable was pulled, and forgets the phone.
        subprocess.run([self.client, "disconnect", self.serial], capture_output=True)
        for process in list(self._processes):
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        if self.back_after is not None:
            self.clock.after(self.back_after, self.plug_in)
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
        slowdown = max(self.clocks) / self.allowed_khz
        process = subprocess.Popen(
            ["/bin/sh", "-c", PROGRAMS + self._own(text)],
            env={
                "PATH": os.environ["PATH"],
                "PHONE_ROOT": str(self.root),
                "PHONE_SLOWDOWN": str(slowdown),
                "PHONE_US": str(int(self.inference_us(text) * slowdown)) if _is_run(text) else "",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._processes.append(process)
        if self.unplug_at and self.unplug_at in text:
            self.unplug_at, self._losing = None, process
        return process

    def ended(self, text: str, process: "subprocess.Popen[bytes]") -> None:
        self._processes.remove(process)
        if _is_run(text):
            self.clock.wait(self.run_s)
            self.celsius += self.heat_per_run

    def pass_on(
        self, process: "subprocess.Popen[bytes]", output: bytes, write: Callable[[bytes], None]
    ) -> None:
        output = output.replace(f"{self.root}/".encode(), b"/")
        if process is self._losing:
            self._losing = None
            write(output[: len(output) // 2])
            self.unplug()
        else:
            write(output)

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
        passed = self.clock.now() - self._touched
        return AMBIENT_C + (self._celsius - AMBIENT_C) * math.exp(-passed / self.cooling_s)

    @celsius.setter
    def celsius(self, value: float) -> None:
        self._celsius, self._touched = value, self.clock.now()

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
            "\tTemperature{mValue=80.0, mType=0, mName=BIG, mStatus=0}\n"
            f"\tTemperature{{mValue={self.celsius:.1f}, mType=3, mName=skin, mStatus=0}}\n"
            f"\tTemperature{{mValue={self.celsius - 5:.1f}, mType=3, mName=back, mStatus=0}}\n",
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
                f"{folder}/cpufreq/scaling_cur_freq": f"{allowed // 2}\n",
                f"{folder}/cpufreq/scaling_governor": "sched_pixel\n",
                f"{folder}/cpufreq/stats/time_in_state": f"300000 100\n"
                f"{allowed} {int(100 * self.clock.now())}\n",
            }
        for name, text in texts.items():
            path = self.root / name
            if any(part in f"/{name}" for part in self._denied):
                path.unlink(missing_ok=True)
            elif self._written.get(name) != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                self._written[name] = text


def _is_run(command: str) -> bool:
    return "--graph=" in command and "pkill" not in command


@contextlib.contextmanager
def plugging(client: str, folder: Path) -> Iterator[Callable[..., FakePhone]]:
    """Makes phones with the given traits and connects them, until the end."""
    phones: list[FakePhone] = []

    def make(**traits) -> FakePhone:
        phone = FakePhone(client, folder / f"phone{len(phones)}", **traits)
        phone.plug_in()
        phones.append(phone)
        done = subprocess.run([client, "connect", phone.serial], capture_output=True, text=True)
        assert "connected to" in done.stdout, done.stdout + done.stderr
        return phone

    yield make
    for phone in phones:
        phone.unplug()


def write_binary(path: Path, *, flavour: str = "tflite", fault: str = "") -> Path:
    """A `benchmark_model` to push, whose log was written beforehand; see `printed.script`."""
    path.write_text(printed.script(flavour, fault))
    path.chmod(0o755)
    return path


def write_stand_in(path: Path) -> Path:
    """A `benchmark_model` to push that really runs the model, on this computer."""
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{STAND_IN}' \"$@\"\n")
    path.chmod(0o755)
    return path


def foreign_binary(path: Path) -> Path:
    """A program of another processor: this computer's own `true`, called MIPS."""
    content = bytearray(Path(shutil.which("true") or "/bin/true").read_bytes())
    content[18:20] = (8).to_bytes(2, "little")  # e_machine: EM_MIPS
    path.write_bytes(content)
    return path
