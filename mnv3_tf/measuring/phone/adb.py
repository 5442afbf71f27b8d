"""The real adb client, run as a process: one command at a time, none without a limit of time.

The client's exit status proves nothing: when the cable is pulled, adb 29 leaves with 0 and half of
the output. What ran to its end on the phone therefore says so itself, in a last line of its own.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mnv3_tf.errors import Failure, Terminated, UserError
from mnv3_tf.measuring.phone import failures

FOLDER = "/data/local/tmp/mnv3_tf"
"""On the phone: files there are named by their content."""

SENTINEL = "mnv3_tf: ended with"
SHORT_S, PUSH_S = 30.0, 300.0
POLL_S = 0.2
HARMLESS = ("* daemon", "WARNING: linker")


class PhoneError(Failure):
    """What adb could not do; `kind` is one of `failures`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Ended:
    """A command that ran to its end on the phone; without shell_v2 all text is in `stdout`."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


@dataclass(frozen=True)
class Attached:
    """A line of `adb devices -l`; `state` is "device" where the phone can be used."""

    serial: str
    state: str
    model: str | None


@dataclass
class Adb:
    """The client at `binary`, for the phone `serial` alone.

    Setting `stop` ends what is running. Between commands time passes by `stop.wait`, and is told
    by `clock` in seconds.
    """

    binary: str
    serial: str
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic

    def steady(self) -> "Adb":
        """The same phone for clearing up, which `stop` must not end."""
        return replace(self, stop=threading.Event())

    def words(self, *words: str) -> list[str]:
        return [self.binary, "-s", self.serial, *words]

    def shell_words(self, text: str) -> list[str]:
        """The client's arguments that run a line of shell on the phone and learn its end."""
        return self.words("shell", f'{text}; echo "{SENTINEL} $?"')

    def shell(self, *words: str, timeout_s: float = SHORT_S) -> Ended:
        """Runs a program of the phone; whatever the words hold, its shell takes them as words.

        Raises PhoneError: "timeout", or what the client said of the phone ("device_lost" where
        it broke off).
        """
        return self.script(shlex.join(words), timeout_s)

    def script(self, text: str, timeout_s: float = SHORT_S) -> Ended:
        """`shell` for a line of shell that holds nothing from outside."""
        words = self.shell_words(text)
        done = self._call(words, timeout_s)
        stdout, found, status = done.stdout.rpartition(SENTINEL)
        if not found or not status.strip().isdigit():
            raise self._broken(done.stdout + done.stderr, f"running {text[:80]!r}")
        return Ended(int(status), stdout, done.stderr)

    def push(self, local: str | Path, remote: str) -> None:
        """Raises PhoneError where the file did not arrive whole."""
        done = self._call(self.words("push", str(local), remote), PUSH_S)
        if done.returncode:
            raise self._broken(done.stdout + done.stderr, f"pushing {local}")

    def put(self, file: Path, path: str, sha256: str, executable: bool = False) -> None:
        """Brings a file to the phone, unless this very content is there already.

        Raises Failure if it arrived damaged, and PhoneError if it did not arrive.
        """
        if self._sum(path) != sha256:
            part = f"{path}.part"
            self.shell("mkdir", "-p", path.rpartition("/")[0])
            self.push(file, part)
            arrived = self._sum(part)
            if arrived != sha256:
                raise Failure(
                    f"{file} arrived on {self.serial} with another content "
                    f"({arrived or 'nothing'}); try another cable."
                )
            self.shell("mv", part, path)
        if executable:
            self.shell("chmod", "755", path)

    def _sum(self, path: str) -> str | None:
        ended = self.shell("sha256sum", path, timeout_s=PUSH_S)
        return ended.stdout.split(maxsplit=1)[0] if ended.status == 0 else None

    def wait_until_back(self, limit_s: float) -> bool:
        """Waits for a phone that was lost; True when it answers again."""
        deadline = self.clock() + limit_s
        while self.clock() < deadline and not self.stop.is_set():
            if ":" in self.serial:  # over Wi-Fi, nothing comes back unasked
                self._call([self.binary, "connect", self.serial], SHORT_S, patient=False)
            try:
                if self.shell("true").status == 0:
                    return True
            except PhoneError:
                self.stop.wait(1.0)
        return False

    def _call(
        self, words: Sequence[str], timeout_s: float, patient: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                stdout, stderr = process.communicate(timeout=POLL_S)
                return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)
            except subprocess.TimeoutExpired:
                if not self.stop.is_set() and time.monotonic() < deadline:
                    continue
            process.kill()
            stdout, stderr = process.communicate()
            if self.stop.is_set():
                raise Terminated
            if not patient:
                return subprocess.CompletedProcess(words, -1, stdout, stderr)
            raise PhoneError(
                "timeout",
                f"{self.serial} did not answer within {timeout_s:.0f} s: {shlex.join(words)}",
            )

    def _broken(self, text: str, doing: str) -> PhoneError:
        told = [line for line in text.splitlines() if line and not line.startswith(HARMLESS)]
        found = failures.find(text)
        kind = found.kind if found else "device_lost"
        line = found.line if found else (told[-1] if told else "the connection broke off")
        return PhoneError(kind, f"{self.serial} failed while {doing}: {line.strip()}")


def find_adb(given: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """The client: `given`, $ADB, on the PATH, in the Android SDK, or in the adbutils package.

    Raises UserError where there is none.
    """
    environment = os.environ if environment is None else environment
    for named, value in (("--adb", given), ("$ADB", environment.get("ADB"))):
        if value:
            path = shutil.which(value)
            if path is None:
                raise UserError(f"{named}={value} is no program; give the path of adb.")
            return path
    path = shutil.which("adb", path=environment.get("PATH"))
    sdk = environment.get("ANDROID_HOME") or environment.get("ANDROID_SDK_ROOT")
    if path is None and sdk:
        path = shutil.which(str(Path(sdk) / "platform-tools" / "adb"))
    if path is None:
        package = importlib.util.find_spec("adbutils")
        if package and package.origin:
            path = shutil.which(str(Path(package.origin).parent / "binaries" / "adb"))
    if path is None:
        raise UserError(
            "There is no adb; install Android's platform-tools (or `pip install adbutils`), "
            "or give --adb=PATH."
        )
    return path


def version(binary: str) -> str:
    """The client's version, such as "29.0.6-debian"; raises UserError if it does not answer."""
    try:
        done = subprocess.run(
            [binary, "version"], capture_output=True, text=True, timeout=SHORT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        raise UserError(f"{binary} does not answer to `version`; give --adb=PATH.") from None
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    return lines.get("Version", done.stdout.splitlines()[0])


def attached(binary: str) -> list[Attached]:
    """Every phone that adb sees, usable or not.

    Raises Failure where the adb server does not start.
    """
    try:
        done = subprocess.run(
            [binary, "devices", "-l"], capture_output=True, text=True, timeout=SHORT_S
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"{binary} devices did not answer; try `adb kill-server`.") from None
    if done.returncode:
        raise Failure(f"{binary} devices failed: {done.stderr.strip() or done.stdout.strip()}")
    phones = []
    for line in done.stdout.splitlines():
        serial, _, rest = line.partition(" ")
        words = rest.split()
        if not words or line.startswith(("List of", "*")):
            continue
        told = dict(word.split(":", 1) for word in words if ":" in word)
        # "no permissions (user is not in the plugdev group ...)" is a state of several words.
        state = "no permissions" if words[0] == "no" else words[0]
        phones.append(Attached(serial, state, told.get("model")))
    return phones


def choose(binary: str, wanted: Sequence[str]) -> list[str]:
    """The serials to measure on: those given, "all", or the one phone that there is.

    Raises UserError where a phone is absent or not usable, and where a choice is needed.
    """
    phones = {phone.serial: phone.state for phone in attached(binary)}
    usable = [serial for serial, state in phones.items() if state == "device"]
    if list(wanted) == ["all"]:
        wanted = usable
    elif not wanted:
        if len(usable) > 1:
            raise UserError(
                f"{len(usable)} phones are attached ({', '.join(usable)}); choose with --serial."
            )
        wanted = usable or list(phones)[:1]
    if not wanted:
        raise UserError(
            "No phone is attached; connect one by USB and allow debugging, or `adb connect` it."
        )
    for serial in wanted:
        state = phones.get(serial)
        if state != "device":
            raise UserError(
                f"{serial} cannot be used: {REMEDIES.get(state or '', _seen(state, usable))}"
            )
    return list(dict.fromkeys(wanted))


REMEDIES = {
    "unauthorized": "it is unauthorized; unlock the phone and allow debugging from this computer.",
    "offline": "it is offline; unplug it and plug it in again.",
    "no permissions": "this computer may not open it; see adb's udev rules, or install `adb` "
    "from your distribution.",
}


def _seen(state: str | None, usable: Sequence[str]) -> str:
    if state is not None:
        return f"adb calls it {state!r}; wait until it has started."
    return f"it is not attached; adb sees {', '.join(usable) or 'no phone'}."
