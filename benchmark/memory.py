"""The memory of a training run, step by step: it has to stay flat.

Trains a small network on `shapes` in a process of its own and reads its resident memory once a
second. Growth is from the median of the second fifth of the run to that of the last.

    python -m benchmark memory --steps=2000 --out=DIR
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TypedDict

from absl import flags

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import write_json
from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import Checked, command, define, read, setting

LARGEST_GROWTH = 0.05
SECONDS = 1.0


@dataclass(frozen=True)
class MemorySettings(Checked):
    """The training that is watched, as train.py's flags. Raises UserError for what is too small."""

    steps: int = setting(2000, "Training steps.", least=1)
    model: str = setting("small", "The network.")
    resolution: int = setting(96, "Side of the input.", least=32)
    batch_size: int = setting(16, "Pictures in a step.", least=1)
    recipe: str = setting("quick", "How to train.")


class MemoryResults(TypedDict):
    """results.json: megabytes at seconds of training; `growth` is 0.05 for 5 % more."""

    command: str
    seconds: list[float]
    megabytes: list[float]
    begin_mb: float
    end_mb: float
    growth: float


def define_flags(values: flags.FlagValues) -> None:
    define(values, MemorySettings)
    flags.DEFINE_string("out", None, "Folder for results.json and memory.png.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    asked = read(args, MemorySettings)
    if not Path("/proc/self/status").exists():
        raise UserError("The memory of a process is read from /proc, which only Linux has.")
    words = [f"--{name}={value}" for name, value in asdict(asked).items()]
    seconds, megabytes = measure(words)
    begin = median(megabytes[len(megabytes) // 5 : 2 * len(megabytes) // 5] or megabytes)
    end = median(megabytes[4 * len(megabytes) // 5 :])
    growth = end / begin - 1
    results: MemoryResults = {
        "command": command("benchmark memory", asked),
        "seconds": seconds,
        "megabytes": megabytes,
        "begin_mb": begin,
        "end_mb": end,
        "growth": growth,
    }
    print(
        f"{asked.steps} steps: {begin:.0f} MB in the second fifth, {end:.0f} MB in the last: "
        f"{'flat' if growth < LARGEST_GROWTH else 'it grows'} ({growth:+.1%})."
    )
    if args.out:
        write_json(Path(args.out) / "results.json", results)
        draw(seconds, megabytes, Path(args.out) / "memory.png")
    if args.json:
        print(json.dumps(results))


def measure(words: list[str]) -> tuple[list[float], list[float]]:
    """Seconds since training began, and resident megabytes, of `train.py` with these flags."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        run = [sys.executable, "-m", "train", "--dataset=shapes", f"--out={folder}/run", *words]
        process = subprocess.Popen(run, stdout=said, stderr=subprocess.STDOUT)
        try:
            seconds, megabytes = _watch(process, Path(folder) / "run" / "run.json")
        finally:
            process.kill()
            process.wait()
        if process.returncode or not megabytes:
            said.seek(0)
            lines = said.read().decode().splitlines()
            raise Failure(f"Training failed: {lines[-1] if lines else process.returncode}")
    return seconds, megabytes


def draw(seconds: list[float], megabytes: list[float], path: Path) -> None:
    from mnv3_tf.ui import figures

    figure = figures.new(7, 3)
    axes = figure.subplots()
    axes.plot(seconds, megabytes)
    axes.set(xlabel="seconds of training", ylabel="resident memory (MB)", ylim=(0, None))
    axes.grid(alpha=0.3)
    figures.save(figure, path)


def _watch(process: "subprocess.Popen[bytes]", begun: Path) -> tuple[list[float], list[float]]:
    seconds: list[float] = []
    megabytes: list[float] = []
    begin = 0.0
    while process.poll() is None:
        if begun.exists():
            begin = begin or time.monotonic()
            status = Path(f"/proc/{process.pid}/status").read_text()
            line = next((line for line in status.splitlines() if line.startswith("VmRSS")), None)
            if line:
                seconds.append(time.monotonic() - begin)
                megabytes.append(int(line.split()[1]) / 1024)
        time.sleep(SECONDS)
    return seconds, megabytes
