"""Running a .tflite with LiteRT: predictions, timings, and a safe check that it loads.

XNNPACK may abort the whole process over a model that it does not like, so a file of unknown
quality is first tried in a process of its own (`check_loads`). A `TFLiteModel` is for files that
are known to load.

    python -m mnv3_tf.tflite.runtime FILE [none]      (what `check_loads` runs)
"""

import importlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from mnv3_tf.errors import UserError
from mnv3_tf.tflite.reports import Latency, Tensor

Invoke = Callable[[], object]

ISOLATED_SECONDS = 120


@dataclass(frozen=True)
class TensorInfo:
    """An input or output; real value = (stored - zero_point) * scale, None for float tensors."""

    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None

    def to_dict(self) -> Tensor:
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "scale": self.scale,
            "zero_point": self.zero_point,
        }

    def quantize(self, real: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Real values as this tensor stores them; pixels in [-1, 1] give back their bytes."""
        if self.scale is None or self.zero_point is None:
            return real.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        if self._stores_camera_bytes:
            # The middle of 0..255 is 127.5, which no zero point can say. By the formula below
            # every pixel would be half way between two bytes; a camera's byte is meant instead.
            stored = np.rint((real + 1.0) * 127.5) + limits.min
        else:
            stored = np.rint(real / self.scale) + self.zero_point
        return np.clip(stored, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if self.scale is None or self.zero_point is None:
            return stored.astype(np.float32)
        return (stored.astype(np.float32) - self.zero_point) * np.float32(self.scale)

    def seen(self, real: Any) -> npt.NDArray[np.float32]:
        """What is left of real values once this tensor has stored them."""
        return self.dequantize(self.quantize(np.asarray(real, np.float32)))

    @property
    def _stores_camera_bytes(self) -> bool:
        if self.scale is None or self.zero_point is None or self.dtype not in ("uint8", "int8"):
            return False
        zero_as_uint8 = self.zero_point - np.iinfo(self.dtype).min
        return abs(self.scale * 127.5 - 1) < 0.01 and zero_as_uint8 in (127, 128)


class TFLiteModel:
    """A .tflite file, loaded; batch 1.

    `delegate=False` runs TFLite's built-in kernels instead of XNNPACK. `input` and `output` are
    the first ones. The inputs hold seeded noise, so that `invoke` can be timed at once.
    """

    def __init__(self, path: str | Path, threads: int = 1, delegate: bool = True) -> None:
        self.path, self.threads, self.delegate = Path(path), threads, delegate
        self._interpreter = open_interpreter(path, threads, delegate)
        self._interpreter.allocate_tensors()
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        self.input, self.output = tensor_info(inputs[0]), tensor_info(outputs[0])
        self._input_index, self._output_index = inputs[0]["index"], outputs[0]["index"]
        rng = np.random.default_rng(0)
        for details in inputs:
            info = tensor_info(details)
            if np.dtype(info.dtype).kind in "fiu":
                noise = np.asarray(rng.uniform(-1, 1, info.shape), np.float32)
                self._interpreter.set_tensor(details["index"], info.quantize(noise))

    def predict(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, H, W, 3) real values in [-1, 1] to (N, classes) real values, one by one."""
        images = np.asarray(images, np.float32)
        if self.input.shape[0] != 1 or images.shape[1:] != self.input.shape[1:]:
            raise UserError(
                f"{self.path} takes {_shape(self.input.shape)} and got {_shape(images.shape)}; "
                "give pictures of its resolution to a model whose batch is 1."
            )
        stored = self.input.quantize(images)
        results = []
        for image in stored:
            self._interpreter.set_tensor(self._input_index, image[np.newaxis])
            self._interpreter.invoke()
            results.append(self._interpreter.get_tensor(self._output_index).reshape(-1))
        classes = int(np.prod(self.output.shape))
        stacked = np.stack(results) if results else np.empty((0, classes), self.output.dtype)
        return self.output.dequantize(stacked)

    def answers(self, image: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Real values of all outputs, in order and with their shapes, of one (H, W, 3) picture."""
        stored = self.input.quantize(np.asarray(image, np.float32))
        self._interpreter.set_tensor(self._input_index, stored[np.newaxis])
        self._interpreter.invoke()
        return [
            tensor_info(details).dequantize(self._interpreter.get_tensor(details["index"]))
            for details in self._interpreter.get_output_details()
        ]

    def invoke(self) -> None:
        """One inference on whatever the inputs hold."""
        self._interpreter.invoke()


def open_interpreter(
    path: str | Path, threads: int = 1, delegate: bool = True, keep_tensors: bool = False
) -> Any:
    """A LiteRT interpreter whose tensors are not allocated, hence without the delegate yet.

    With `keep_tensors` the values inside the network can be read after an inference.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return Interpreter(
        model_path=str(path),
        num_threads=threads,
        experimental_op_resolver_type=kind,
        experimental_preserve_all_tensors=keep_tensors,
    )


def tensor_info(details: dict[str, Any]) -> TensorInfo:
    """From an entry of `Interpreter.get_input_details()`."""
    scale, zero_point = details["quantization"]
    dtype = np.dtype(details["dtype"])
    quantized = scale > 0 and dtype.kind in "iu"
    return TensorInfo(
        dtype.name,
        tuple(int(side) for side in details["shape"]),
        float(scale) if quantized else None,
        int(zero_point) if quantized else None,
    )


# -- timing ----------------------------------------------------------------------------------


def warm_up(invoke: Invoke, seconds: float = 0.3, most_seconds: float = 3.0) -> float:
    """Calls `invoke` until its time settles; returns that time, in microseconds.

    At least `seconds`; then until the medians of two successive stretches differ by less than
    5 %, or `most_seconds` have passed.
    """
    begin, previous = time.perf_counter(), float("inf")
    while True:
        stretch, times = time.perf_counter(), list[float]()
        while len(times) < 3 or time.perf_counter() - stretch < seconds / 3:
            times.extend(sample(invoke, 1))
        current, elapsed = float(np.median(times)), time.perf_counter() - begin
        settled = abs(current - previous) < 0.05 * current
        if (elapsed >= seconds and settled) or elapsed >= most_seconds:
            return current
        previous = current


def sample(invoke: Invoke, count: int) -> npt.NDArray[np.float64]:
    """The times of `count` calls one after the other, in microseconds."""
    clock, times = time.perf_counter_ns, np.empty(count, np.int64)
    for i in range(count):
        begin = clock()
        invoke()
        times[i] = clock() - begin
    return times / 1e3


def measure_latency(model: TFLiteModel, seconds: float = 1.0) -> Latency:
    """Warm-up, then about `seconds` of inferences.

    For one model by itself; `benchmark latency` compares models, which takes interleaving.
    """
    expected = warm_up(model.invoke)
    times = sample(model.invoke, int(np.clip(seconds * 1e6 / expected, 10, 10_000))) / 1e3
    return {
        "threads": model.threads,
        "median": round(float(np.median(times)), 4),
        "p95": round(float(np.percentile(times, 95)), 4),
    }


# -- does it load? ---------------------------------------------------------------------------


def check_loads(path: str | Path, delegate: bool = True) -> float | None:
    """Loads the file and runs it once in another process.

    Returns how many MB that added to the process at its peak, where the system says.

    Raises UserError with the runtime's reason, naming the operators where it stopped, if the
    file is no model, is cut short, or cannot be prepared by XNNPACK (with `delegate`) or the
    built-in kernels (without).
    """
    check_is_tflite(path)
    arguments = (str(path),) if delegate else (str(path), "none")
    lines, status, stderr = run_isolated("mnv3_tf.tflite.runtime", *arguments)
    result: dict[str, Any] = lines[-1] if lines else {"error": crash_message(status, stderr)}
    if "invalid" in result:
        raise not_a_model(path)
    if error := result.get("error"):
        raise refusal(path, error, delegate)
    peak_mb: float | None = result.get("peak_mb")
    return peak_mb


def check_is_tflite(path: str | Path) -> None:
    """Cheap: raises UserError if the file is absent or does not begin like a .tflite."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(
            f"Cannot read {path}: {error.strerror}; give the path of a .tflite file."
        ) from None
    if head[4:8] != b"TFL3":
        wrong = "is empty" if not head else "is not a .tflite file"
        raise UserError(f"{path} {wrong}; give a file that a TFLite converter wrote.")


def not_a_model(path: str | Path) -> UserError:
    return UserError(f"{path} is cut short or damaged; copy or export it again.")


def refusal(path: str | Path, error: str, delegate: bool = True) -> UserError:
    if delegate:
        remedy = "quantise it with other ranges, or run it without the delegate"
        return UserError(f"{path} does not load under XNNPACK: {error}; {remedy}.")
    return UserError(f"{path} does not load: {error}; export it for the built-in operators.")


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


def crash_message(status: int, stderr: str) -> str:
    """What the runtime last said before it took the process with it."""
    said = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.strip()]
    said = [line for line in said if not line.startswith(("INFO", "WARNING", "W0", "I0"))]
    how = f"stopped by signal {-status}" if status < 0 else f"exit status {status}"
    return f"the runtime crashed ({how}{': ' + said[-1].strip() if said else ''})"


def load_error(interpreter: Any, nodes: int, error: Exception) -> str:
    """The runtime's message, with the operators that its node number stands for.

    `nodes` is how many there were before the delegate added its own, which is what XNNPACK's
    messages number.
    """
    # The runtime glues its messages together, the first one often several times.
    glued = re.sub(r"(?<=\S)(?=failed to create|unsupported |Node number)", "\n", str(error))
    parts = [" ".join(part.split()).rstrip(".") for part in glued.splitlines()]
    reason = ", ".join(dict.fromkeys(part for part in parts if part))
    numbered = re.search(r"[Nn]ode number (\d+)", reason)
    if not numbered:
        return reason
    number = int(numbered[1])
    try:
        operators = interpreter._get_ops_details()
        members = partition_members(operators, nodes).get(number, [number])
        named = [_operator_name(interpreter, operators[i]) for i in members]
    except Exception:
        # After a failure the interpreter may not answer; the reason alone must do.
        return reason
    span = named[0] if len(named) == 1 else f"{len(named)} operators from {named[0]} to {named[-1]}"
    return f"{reason} (node {number} is {span})"


def partition_members(operators: Sequence[dict[str, Any]], nodes: int) -> dict[int, list[int]]:
    """For every delegate's node, the numbers of the operators that it replaced.

    `operators` is `Interpreter._get_ops_details()` after allocation: the `nodes` of the file,
    then one per partition. LiteRT says how many were replaced only in a log that Python cannot
    turn on, so each partition is walked from its outputs back to its inputs.
    """
    producer = {int(tensor): op["index"] for op in operators[:nodes] for tensor in op["outputs"]}
    members_of = {}
    for partition in operators[nodes:]:
        borders: Collection[int] = {int(tensor) for tensor in partition["inputs"]}
        waiting, members = [int(tensor) for tensor in partition["outputs"]], set[int]()
        while waiting:
            tensor = waiting.pop()
            number = producer.get(tensor)
            if number is None or number in members or tensor in borders:
                continue
            members.add(number)
            waiting.extend(int(source) for source in operators[number]["inputs"])
        members_of[int(partition["index"])] = sorted(members)
    return members_of


def _operator_name(interpreter: Any, operator: dict[str, Any]) -> str:
    name = interpreter._get_tensor_details(int(operator["outputs"][0]), 0)["name"]
    return f"{operator['op_name']} {short_name(name)!r}"


def short_name(name: str) -> str:
    """The layer's part of a name into which the converter put everything it fused: "a;b;1"."""
    parts = [part for part in name.split(";") if part and not part.isdigit()]
    return parts[-1] if parts else name


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


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
    delegate = "none" not in options
    result: dict[str, Any] = {}
    importlib.import_module("ai_edge_litert.interpreter")  # the runtime is not the file's
    before = _peak_mb()
    try:
        interpreter = open_interpreter(path, delegate=delegate)
    except Exception:
        result = {"invalid": path}
    else:
        nodes = cast(int, interpreter._interpreter.NumNodes())
        try:
            interpreter.allocate_tensors()
            interpreter.invoke()
            after = _peak_mb()
            result = {"peak_mb": None if before is None or after is None else after - before}
        except Exception as error:
            result = {"error": load_error(interpreter, nodes, error)}
    print(json.dumps(result), flush=True)
    # Taking down an interpreter that failed to load may abort.
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
