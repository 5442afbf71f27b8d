"""Counts the instructions of an inference on a modelled core, exactly."""

import collections
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.measuring.arm.cores import Core
from mnv3_tf.measuring.arm.emulator import Emulator
from mnv3_tf.tflite import parts, work
from mnv3_tf.tflite.inspection import guess_quantize
from mnv3_tf.tflite.model_graph import read_graph

GUEST = Path(__file__).parent / "guest.py"
OF_NOTHING = 2
"""How many counts come before those of files: of marking alone, by the second."""


@dataclass(frozen=True)
class Count:
    """Of one inference; all but `instructions` is the file's, whatever the core.

    `macs` is None where the input's shape is not the file's own. `quantize` is as in `inspect`.
    """

    instructions: int
    macs: int | None
    weight_bytes: int
    quantize: str


@dataclass(frozen=True)
class Counter:
    """What files are counted with: TFLite's built-in kernels without `delegate`, else XNNPACK.

    `input_shape` is that of the first input, where a file leaves it open. Several processes count
    side by side, `processes` None for as many as this one may use cores.
    """

    emulator: Emulator
    delegate: bool = True
    input_shape: tuple[int, ...] | None = None
    processes: int | None = None

    def instructions(self, paths: Sequence[Path], core: Core) -> list[int]:
        """Of each .tflite file, which the host's runtime has to have run before.

        Raises UserError for a file that the runtime refuses, and Failure where it dies.
        """
        if not paths:
            return []
        wanted = self.processes or len(os.sched_getaffinity(0))
        dealt = [paths[start::wanted] for start in range(min(wanted, len(paths)))]
        with ThreadPoolExecutor(len(dealt)) as pool:
            counted = list(pool.map(lambda hand: self._instructions(hand, core), dealt))
        return [counted[number % len(dealt)][number // len(dealt)] for number in range(len(paths))]

    def count(self, paths: Sequence[Path], core: Core) -> list[Count]:
        return [
            describe(path, instructions, self.input_shape)
            for path, instructions in zip(paths, self.instructions(paths, core), strict=True)
        ]

    def by_operator(self, path: Path, core: Core) -> dict[str, int]:
        """Instructions by type of operator, the largest first, each operator counted alone.

        Their sum is not quite the whole, where operators share what an inference does once.
        """
        with tempfile.TemporaryDirectory() as folder:
            files, names = [], []
            for number, (name, content) in enumerate(parts.split(path.read_bytes())):
                files.append(Path(folder) / f"{number} {name}.tflite")
                files[-1].write_bytes(content)
                names.append(name)
            total = collections.Counter[str]()
            for name, instructions in zip(names, self.instructions(files, core), strict=True):
                total[name] += instructions
        return dict(total.most_common())

    def _instructions(self, paths: Sequence[Path], core: Core) -> list[int]:
        """In one process, one after the other."""
        asked = {
            "paths": [str(path.absolute()) for path in paths],
            "delegate": self.delegate,
            "input_shape": self.input_shape,
        }
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "counts"
            done = self.emulator.run(core, GUEST, given=json.dumps(asked), counts=out)
            lines = out.read_text().split() if out.exists() else []
        errors = [json.loads(line) for line in done.stdout.splitlines()]
        for path, error in zip(paths, errors, strict=False):
            if error:
                raise UserError(f"The ARM runtime does not run {path}: {error}.")
        if done.returncode or len(errors) < len(paths):
            raise Failure(_death(done, paths, len(errors), core))
        counts = [int(line) for line in lines]
        return [found - counts[OF_NOTHING - 1] for found in counts[OF_NOTHING:]]


def _death(
    done: subprocess.CompletedProcess[str], paths: Sequence[Path], ran: int, core: Core
) -> str:
    where = f"over {paths[ran]}" if ran < len(paths) else "at its end"
    said = [line for line in done.stderr.strip().splitlines() if not line.startswith("INFO")]
    why = said[-1] if said else f"exit status {done.returncode}"
    return f"The ARM runtime on {core.name} died {where}: {why.rstrip('.')}."


def describe(path: Path, instructions: int, input_shape: Sequence[int] | None = None) -> Count:
    """What the file has to do, beside what it was counted to take."""
    graph = read_graph(path.read_bytes())
    as_it_is = input_shape in (None, graph.tensors[graph.inputs[0]].shape)
    return Count(
        instructions,
        work.multiply_accumulates(graph) if as_it_is else None,
        work.weight_bytes(graph),
        guess_quantize(graph),
    )
