"""An ARM computer in software: Debian's arm64 Python and the aarch64 wheels, run by qemu."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from needs import missing

QEMU = "qemu-aarch64-static"
CPU = "cortex-a76"
"""qemu's default has SME, which changes XNNPACK's int8 results."""

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
WHEELS = ("ai-edge-litert", "numpy", "flatbuffers", "protobuf", "tqdm", "typing-extensions")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
CPUINFO = """processor\t: 0
BogoMIPS\t: 38.40
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 0
"""
PROGRAM = """
import platform, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

assert platform.machine() == "aarch64"
words = iter(sys.argv[1:])
for model, given, answer in zip(words, words, words):
    interpreter = Interpreter(model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(given))
    interpreter.invoke()
    np.save(answer, interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
"""


@dataclass(frozen=True)
class ArmMachine:
    """`root` is Debian's tree and `site` the Python packages."""

    root: Path
    site: Path

    def predict(self, given: Mapping[Path, np.ndarray], folder: Path) -> list[np.ndarray]:
        """What the LiteRT runtime answers on ARM, with XNNPACK, to one picture for each model."""
        command = [QEMU, "-cpu", CPU, "-L", self.root, self.root / "usr/bin/python3.11"]
        answers = [folder / f"answer{number}.npy" for number in range(len(given))]
        words: list[Path] = []
        for (model, picture), answer in zip(given.items(), answers, strict=True):
            np.save(answer.with_stem(f"{answer.stem}_given"), picture)
            words += [model, answer.with_stem(f"{answer.stem}_given"), answer]
        done = subprocess.run(
            [*command, "-c", PROGRAM, *words],
            env={"PYTHONHOME": str(self.root / "usr"), "PYTHONPATH": str(self.site)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "XNNPACK" in done.stderr
        return [np.load(answer) for answer in answers]


def make(folder: Path) -> ArmMachine:
    """Downloads and unpacks everything; skips the test where something cannot be had."""
    if not shutil.which(QEMU):
        missing(f"needs {QEMU}, from Debian's qemu-user-static")
    packages, wheels = folder / "packages", folder / "wheels"
    machine = ArmMachine(folder / "root", folder / "site")
    for made in (packages, wheels, machine.root / "proc", machine.site):
        made.mkdir(parents=True)
    _or_skip(["apt-get", "download", *(f"{name}:arm64" for name in PACKAGES)], packages)
    for package in packages.iterdir():
        subprocess.run(["dpkg", "-x", package, machine.root], check=True)
    # LiteRT reads this file and cannot bear an x86 one.
    (machine.root / "proc" / "cpuinfo").write_text(CPUINFO)
    constraints = Path(__file__).parents[2] / "constraints.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    pip += ["--only-binary=:all:"]
    platforms = [f"--platform={name}" for name in PLATFORMS]
    where = [f"--target={machine.site}", "--python-version=3.11", f"--constraint={constraints}"]
    _or_skip([*pip, *platforms, *where, *WHEELS], wheels)
    return machine


def _or_skip(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        missing(f"needs `{' '.join(command[:2])}` of arm64 packages: {why}")
