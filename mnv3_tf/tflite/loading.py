"""Does a .tflite load and run? Tried in a process of its own, which a bad file may take with it.

python -m mnv3_tf.tflite.loading FILE [none] [1x224x224x3]      (what `check_loads` runs)
"""

import importlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.tflite import causes, runtime
from mnv3_tf.tflite.model_graph import Graph, read_graph
from mnv3_tf.tflite.reading import parse_shape, shape_text

Shape = Sequence[int]

ISOLATED_SECONDS = 120


class RefusedByXnnpack(UserError):
    """XNNPACK refuses a file that TFLite's built-in kernels run; `reason` is the runtime's."""

    def __init__(self, path: str | Path, reason: str, remedy: str) -> None:
        self.reason = reason
        super().__init__(
            f"{path} does not load under XNNPACK: {reason}; {remedy}, or quantise it with other "
            "ranges."
        )


@dataclass(frozen=True)
class Trial:
    """`cause` is what follows the file's name in a sentence, None of a file that ran; `error` is
    what the runtime says. `peak_mb` is what running it once added to the process, where known.
    """

    cause: str | None = None
    error: str = ""
    peak_mb: float | None = None


def check_loads(
    path: str | Path, delegate: bool = True, input_shape: Shape | None = None
) -> float | None:
    """Loads the file and runs it once, on noise, in another process.

    Returns how many MB that added to the process at its peak, where the system says. `input_shape`
    is what the first input is to be, where the file leaves it open.

    Raises RefusedByXnnpack where that is all (with `delegate`), naming the operators where it
    stopped; UserError with the cause and the remedy for any other file that does not run.
    """
    check_is_tflite(path)
    trial = _try(path, delegate, input_shape)
    if trial.cause is None:
        return trial.peak_mb
    if delegate:
        without = _try(path, False, input_shape)
        if without.cause is None:
            raise RefusedByXnnpack(path, trial.error, "run it with --delegate=none")
        trial = without
    raise UserError(f"{path} {trial.cause}.")


def runs_on_xnnpack(
    path: str | Path, wanted: bool, input_shape: Shape | None = None
) -> tuple[bool, tuple[str, ...]]:
    """Whether XNNPACK is to run the file, if it is `wanted`, and a note where it refuses to.

    Raises UserError as `check_loads` does for a file that nothing runs.
    """
    try:
        check_loads(path, wanted, input_shape)
    except RefusedByXnnpack as refusal:
        note = f"XNNPACK refuses {path} ({refusal.reason}); TFLite's built-in kernels run it"
        return False, (note,)
    return wanted, ()


def check_is_tflite(path: str | Path) -> None:
    """Cheap: raises UserError if the file is absent or does not begin like a .tflite."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(
            f"Cannot read {path}: {error.strerror}; give the path of a .tflite file."
        ) from None
    if not _begins_as_one(head):
        wrong = "is empty" if not head else "is not a .tflite file"
        raise UserError(f"{path} {wrong}; give a file that a TFLite converter wrote.")


def is_tflite(path: str | Path) -> bool:
    """Whether a file begins like a .tflite, whatever it is called."""
    try:
        with Path(path).open("rb") as file:
            return _begins_as_one(file.read(8))
    except OSError:
        return False


def _begins_as_one(head: bytes) -> bool:
    return head[4:8] == b"TFL3"


# -- the process of its own ------------------------------------------------------------------


def _try(path: str | Path, delegate: bool, input_shape: Shape | None) -> Trial:
    words = [] if delegate else ["none"]
    if input_shape is not None:
        words.append(shape_text(input_shape))
    lines, status, stderr = run_isolated("mnv3_tf.tflite.loading", str(path), *words)
    if not lines:
        error = causes.crash_message(status, stderr)
        # The system kills what takes more memory than there is.
        cause = causes.short_of_memory(None) if status == -9 else f"does not run: {error}"
        return Trial(cause, error)
    return Trial(**lines[-1])


def run_isolated(module: str, *arguments: str) -> tuple[list[dict[str, Any]], int, str]:
    """`python -m module arguments` -> (the JSON objects it printed, exit status, stderr).

    A new interpreter rather than a fork, which TensorFlow's threads would not survive. Output of
    a process that dies half way is kept.
    """
    root = str(Path(__file__).parents[2])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ISOLATED_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{arguments[0]} could not be read within {ISOLATED_SECONDS} s; check the file."
        ) from None
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return lines, done.returncode, done.stderr


def open_verified(path: str | Path) -> tuple[Graph | None, str | None]:
    """The graph of a file, and why it does not open: (graph, None) where all is well.

    The runtime verifies every offset before it looks for operators; only then may Python follow
    them. No graph is given of what is damaged.
    """
    error = None
    try:
        runtime.open_interpreter(path, delegate=False)
    except Exception as raised:
        error = " ".join(str(raised).split())
        if any(text in error for text in causes.NOT_VERIFIED):
            return None, causes.DAMAGED
    try:
        graph = read_graph(Path(path).read_bytes())
    except Exception:  # good offsets to what makes no sense
        return None, causes.DAMAGED
    return graph, error and causes.cause_of(error, graph)


def prepare(path: str | Path, delegate: bool, input_shape: Shape | None) -> tuple[Any, Trial]:
    """An interpreter whose tensors are allocated, and a trial without a cause; or None, and why."""
    try:
        interpreter = runtime.open_interpreter(path, delegate=delegate)
    except Exception as raised:
        return None, Trial(open_verified(path)[1], str(raised))
    inputs = [runtime.free_shape(details) for details in interpreter.get_input_details()]
    if input_shape is None and (cause := causes.of_any_size(inputs)):
        return None, Trial(cause, cause)
    try:
        runtime.resize_input(interpreter, input_shape)
        wanted, free = _largest(interpreter), causes.free_memory()
        if free is not None and wanted > free:
            cause = causes.short_of_memory(wanted)
            return None, Trial(cause, cause)
        interpreter.allocate_tensors()
    except Exception as raised:
        return None, _failed(path, causes.load_error(interpreter, raised))
    return interpreter, Trial()


def _failed(path: str | Path, error: str) -> Trial:
    return Trial(causes.cause_of(error, open_verified(path)[0]), error)


def _run_once(path: str, delegate: bool, input_shape: Shape | None) -> Trial:
    importlib.import_module("ai_edge_litert.interpreter")  # the runtime is not the file's
    before = _peak_mb()
    interpreter, trial = prepare(path, delegate, input_shape)
    if trial.cause:
        return trial
    try:
        runtime.fill_inputs(interpreter)
        interpreter.invoke()
    except Exception as raised:
        return _failed(path, causes.load_error(interpreter, raised))
    after = _peak_mb()
    return Trial(peak_mb=None if before is None or after is None else after - before)


def _largest(interpreter: Any) -> int:
    """Bytes of the largest tensor, as far as shapes are known before they are all worked out."""
    return max(
        (
            math.prod(int(side) for side in tensor["shape"]) * np.dtype(tensor["dtype"]).itemsize
            for tensor in interpreter.get_tensor_details()
        ),
        default=0,
    )


def _peak_mb() -> float | None:
    """The most memory that this process has had; None where there is no /proc.

    Not getrusage's: a process inherits that from the one which started it.
    """
    try:
        peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(peak[1]) / 1024 if peak else None


def _main(path: str, *options: str) -> None:
    shapes = [parse_shape(option) for option in options if option != "none"]
    trial = _run_once(path, "none" not in options, shapes[0] if shapes else None)
    print(json.dumps(vars(trial)), flush=True)
    # Taking down an interpreter that failed to load may abort.
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
