"""Running a .tflite with LiteRT: predictions and timings.

XNNPACK may abort the whole process over a model that it does not like, so a file of unknown
quality is first tried in a process of its own (`loading.check_loads`). A `TFLiteModel` is for files
that are known to load.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv3_tf.errors import UserError
from mnv3_tf.tflite.model_graph import TensorNode, with_free_sides
from mnv3_tf.tflite.reports import Latency, Tensor

Invoke = Callable[[], object]


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
    the first ones, `outputs` all; `input_shape` is what the former is to be, where the file leaves
    it open. The inputs hold seeded noise, so that `invoke` can be timed at once.
    """

    def __init__(
        self,
        path: str | Path,
        threads: int = 1,
        delegate: bool = True,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        self.path, self.threads, self.delegate = Path(path), threads, delegate
        self._interpreter = open_interpreter(path, threads, delegate)
        resize_input(self._interpreter, input_shape)
        self._interpreter.allocate_tensors()
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        self.input, self.outputs = tensor_info(inputs[0]), tuple(map(tensor_info, outputs))
        self.output = self.outputs[0]
        self._input_index, self._output_index = inputs[0]["index"], outputs[0]["index"]
        fill_inputs(self._interpreter)

    @property
    def shapes(self) -> dict[int, tuple[int, ...]]:
        """Of inputs and outputs, by tensor."""
        ends = (*self._interpreter.get_input_details(), *self._interpreter.get_output_details())
        return {int(end["index"]): tuple(int(side) for side in end["shape"]) for end in ends}

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
        return self.given(self.input.quantize(np.asarray(image, np.float32))[np.newaxis])

    def given(self, stored: npt.NDArray[Any]) -> list[npt.NDArray[np.float32]]:
        """The same of what the first input is to hold, batch included."""
        self._interpreter.set_tensor(self._input_index, stored)
        self._interpreter.invoke()
        details = self._interpreter.get_output_details()
        return [
            info.dequantize(self._interpreter.get_tensor(each["index"]))
            for info, each in zip(self.outputs, details, strict=True)
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


def resize_input(interpreter: Any, shape: Sequence[int] | None) -> None:
    """Gives the first input another shape, before tensors are allocated; None leaves it."""
    details = interpreter.get_input_details()
    if shape is not None and tuple(details[0]["shape"]) != tuple(shape):
        interpreter.resize_tensor_input(details[0]["index"], list(shape))


def free_shape(details: dict[str, Any]) -> tuple[int, ...]:
    """The shape of an entry of `Interpreter.get_input_details()`, -1 for a side that is free."""
    shape = tuple(int(side) for side in details["shape"])
    return with_free_sides(shape, tuple(int(side) for side in details["shape_signature"]))


def fill_inputs(interpreter: Any) -> None:
    """Seeded noise into all inputs, zeros into whole numbers without a scale.

    Those may be indices, and nobody has said what a newly allocated tensor holds.
    """
    rng = np.random.default_rng(0)
    for details in interpreter.get_input_details():
        info = tensor_info(details)
        if np.dtype(info.dtype).kind in "fiu":
            noise = np.asarray(rng.uniform(-1, 1, info.shape), np.float32)
            interpreter.set_tensor(details["index"], info.quantize(noise))


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


def stored_as(tensor: TensorNode) -> TensorInfo:
    """The same of a graph's tensor."""
    scales, zeros = tensor.quantized
    quantized = bool(scales) and scales[0] > 0 and "int" in tensor.dtype
    return TensorInfo(
        tensor.dtype,
        tensor.shape,
        float(scales[0]) if quantized else None,
        int(zeros[0]) if quantized else None,
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


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
