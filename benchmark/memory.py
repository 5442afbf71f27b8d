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
from pathlib import Path
from statistics import median

from absl import flags

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.ui import cli

LARGEST_GROWTH = 0.05
SECONDS = 1.0


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("steps", 2000, "Training steps.", 1, flag_values=values)
    flags.DEFINE_string("model", "small", "The network.", flag_values=values)
    flags.DEFINE_integer("resolution", 96, "Side of the input.", 32, flag_values=values)
    flags.DEFINE_integer("batch_size", 16, "Pictures in a step.", 1, flag_values=values)
    flags.DEFINE_string("recipe", "quick", "How to train.", flag_values=values)
    flags.DEFINE_string("out", None, "Folder for results.json and memory.png.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    if not Path("/proc/self/status").exists():
        raise UserError("The memory of a process is read from /proc, which only Linux has.")
    names = ("steps", "model", "resolution", "batch_size", "recipe")
    words = [f"--{name}={args[name].value}" for name in names]
    seconds, megabytes = measure(words)
    begin = median(megabytes[len(megabytes) // 5 : 2 * len(megabytes) // 5] or megabytes)
    end = median(megabytes[4 * len(megabytes) // 5 :])
    growth = end / begin - 1
    results = {
        "command": " ".join(["python -m benchmark memory", *words]),
        "seconds": seconds,
        "megabytes": megabytes,
        "begin_mb": begin,
        "end_mb": end,
        "growth": growth,
    }
    print(
        f"{args.steps} steps: {begin:.0f} MB in the second fifth, {end:.0f} MB in the last: "
        f"{'flat' if growth < LARGEST_GROWTH else 'it grows'} ({growth:+.1%})."
    )
    if args.out:
        from mnv3_tf.measuring import throughput

        throughput.write(results, args.out)
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
