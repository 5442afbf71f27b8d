"""Makes the ARM machine, once: python -m benchmark arm --setup.

What it is made of is downloaded into its folder: Debian's arm64 Python, and the aarch64 wheels of
the runtime and of NumPy in the versions that are installed here. The plug-in is compiled. None of
it needs root, and counting needs no network. What is downloaded is kept, and taken again where
set-up was cut off or is repeated.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from filelock import FileLock

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write, read_object, write_json
from mnv3_tf.measuring.arm.cores import CORES
from mnv3_tf.measuring.arm.emulator import PLUGIN, QEMU, Emulator

CACHE = "MNV3_TF_CACHE"
"""The environment's name for the folder that everything downloaded is kept in."""
COMMAND = "python -m benchmark arm --setup"
COUNTER = Path(__file__).parent / "counter.c"
RUNTIME = "ai-edge-litert"
WHEELS = (RUNTIME, "numpy")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
DEBIAN = (
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
    "http://deb.debian.org/debian bookworm main\n"
)
PACKAGES = (
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libssl3",
    "libstdc++6",
    "libuuid1",
    "python3.11-minimal",
    "zlib1g",
)
TOOLS: Mapping[str, str] = {QEMU: "qemu-user", "cc": "gcc libc6-dev"}
"""Programs that a host must have, and Debian's packages for them."""
DEBIANS = ("apt-get", "dpkg-deb")
"""What unpacks Debian's packages, and every Debian has."""
MADE_WITH = ("qemu", "plugin", RUNTIME)
"""Of the stamp: what must be as it was when the machine was made."""


def default_folder() -> Path:
    return Path(os.environ.get(CACHE, "~/.cache/mnv3_tf")).expanduser() / "arm"


def open_emulator(folder: Path | None = None) -> Emulator:
    """The machine that was set up.

    Raises UserError where there is none, or something that it was made with has changed.
    """
    folder = folder or default_folder()
    stamp = read_object(folder / "stamp.json", f"make the machine anew with {COMMAND}")
    if stamp is None:
        raise UserError(f"There is no ARM machine in {folder} yet; make it with {COMMAND}.")
    require_tools(QEMU)
    now = versions()
    for name in MADE_WITH:
        if stamp.get(name) != now[name]:
            raise UserError(
                f"The ARM machine in {folder} was made with {name} {stamp.get(name)}, and here is "
                f"{now[name]}; make it anew with {COMMAND}."
            )
    return Emulator(folder)


def versions() -> dict[str, str]:
    """What the counts stand on, as it is on this computer."""
    return {
        "qemu": _first_line([QEMU, "--version"]),
        "plugin": hashlib.sha256(COUNTER.read_bytes()).hexdigest(),
        **{name: metadata.version(name) for name in WHEELS},
    }


def runtime() -> str:
    """ "ai-edge-litert 2.3.0, counted by qemu"."""
    return f"{RUNTIME} {metadata.version(RUNTIME)}, counted by qemu"


def require_tools(*tools: str) -> None:
    """Raises UserError with the command that installs what is missing of TOOLS."""
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        raise UserError(
            f"The ARM machine needs {' and '.join(missing)}; install with apt-get install "
            f"{' '.join(TOOLS[tool] for tool in missing)} (as root)."
        )


def set_up(folder: Path | None = None) -> Emulator:
    """Makes the machine in `folder`, or finds it whole; raises UserError or Failure where not."""
    folder = folder or default_folder()
    require_tools(*TOOLS)
    if not all(map(shutil.which, DEBIANS)):
        raise UserError(
            f"The ARM machine is made of Debian's packages, by {' and '.join(DEBIANS)}; set it up "
            "where these are."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot make {folder}: {error.strerror}; name another folder by {CACHE}."
        ) from None
    with FileLock(folder / ".lock"):
        made = versions()
        stamp = read_object(folder / "stamp.json", "remove it") or {}
        if all(stamp.get(name) == made[name] for name in made):
            return Emulator(folder)
        (folder / "stamp.json").unlink(missing_ok=True)
        emulator = Emulator(folder)
        _compile(folder / PLUGIN)
        packages = _unpack_debian(folder / "downloads", emulator.root)
        _unpack_wheels(folder / "downloads", folder / "site", made)
        _try(emulator)
        write_json(
            folder / "stamp.json",
            {**made, "compiler": _first_line(["cc", "--version"]), "packages": packages},
        )
        return emulator


def _compile(plugin: Path) -> None:
    with atomic_write(plugin) as temporary:
        flags = ["-O2", "-shared", "-fPIC", f"-DAPI={_interface()}"]
        _call(
            ["cc", *flags, "-o", str(temporary), str(COUNTER)],
            "is Debian's libc6-dev installed?",
        )


def _interface() -> int:
    """The version of the plug-in interface that this qemu takes: from 9.0 on it refuses the first.

    All that counter.c uses is in both.
    """
    words = _first_line([QEMU, "--version"]).split()
    major = next((word.split(".")[0] for word in words if word[0].isdigit()), "7")
    return 1 if int(major) < 9 else 2


def _unpack_debian(downloads: Path, root: Path) -> list[str]:
    """Returns the packages' files, whose names have their versions.

    apt works in a folder of its own, so that it needs neither root nor a host that knows of arm64,
    and the release is the same on every host.
    """
    debs = downloads / "debian"
    missing = [name for name in PACKAGES if not list(debs.glob(f"{name}_*_arm64.deb"))]
    if missing:
        for made in ("state/lists/partial", "cache/archives/partial"):
            (debs / made).mkdir(parents=True, exist_ok=True)
        (debs / "sources.list").write_text(DEBIAN)
        (debs / "state/status").write_text("")
        settings = {
            "APT::Architecture": "arm64",
            "APT::Architectures": "arm64",
            "APT::Sandbox::User": "",
            "APT::Update::Error-Mode": "any",
            "Dir::Etc::SourceList": debs / "sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::State": debs / "state",
            "Dir::State::status": debs / "state/status",
            "Dir::Cache": debs / "cache",
        }
        apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
        remedy = "check the network, and that debian-archive-keyring is installed"
        _call([*apt, "update"], remedy)
        _call([*apt, "download", *missing], remedy, debs)
        shutil.rmtree(debs / "state")
        shutil.rmtree(debs / "cache")
    found = [next(debs.glob(f"{name}_*_arm64.deb")) for name in PACKAGES]
    shutil.rmtree(root, ignore_errors=True)
    for package in found:
        _call(["dpkg-deb", "-x", str(package), str(root)], f"remove {package}")
    return [package.name for package in found]


def _unpack_wheels(downloads: Path, site: Path, wanted: Mapping[str, str]) -> None:
    pinned = [f"{name}=={wanted[name]}" for name in WHEELS]
    wheels = downloads / "wheels"
    where = ["--only-binary=:all:", "--no-deps", "--python-version=3.11"]
    where += [f"--platform={name}" for name in PLATFORMS]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    have = {tuple(wheel.name.split("-")[:2]) for wheel in wheels.glob("*.whl")}
    if any((name.replace("-", "_"), wanted[name]) not in have for name in WHEELS):
        _call([*pip, "download", *where, f"--dest={wheels}", *pinned], "check the network")
    shutil.rmtree(site, ignore_errors=True)
    local = ["--no-index", f"--find-links={wheels}", "--no-compile", f"--target={site}"]
    _call([*pip, "install", *where, *local, *pinned], f"remove {wheels}")


def _try(emulator: Emulator) -> None:
    """Raises Failure where the runtime does not start, or does not see what it shall."""
    core = CORES["cortex-a76"]
    program = (
        "import ai_edge_litert.interpreter\n"
        "print(open('/proc/cpuinfo').read(), open('/sys/devices/system/cpu/possible').read())"
    )
    done = emulator.run(core, "-c", program)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise Failure(f"The ARM runtime does not start: {why}.")
    if done.stdout.split() != [*core.cpuinfo.split(), "0"]:
        raise Failure(
            f"This {QEMU} shows programs a /proc/cpuinfo of its own, so that no core can be "
            "modelled; Debian 12's, of version 7.2, does not."
        )


def _first_line(command: list[str]) -> str:
    """Of what it prints, or else "unknown"."""
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout.splitlines() or ["unknown"])[0]


def _call(command: list[str], remedy: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        why = (lines or [f"exit status {done.returncode}"])[-1]
        called = " ".join([word for word in command if not word.startswith("-")][:2])
        raise Failure(f"`{called}` failed: {why.rstrip('.')}; {remedy}.")
