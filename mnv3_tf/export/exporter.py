"""A trained network becomes a .tflite, with a report that proves what it is."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import tf_keras

from mnv3_tf.errors import UserError
from mnv3_tf.export.convert import InputType, Quantize, convert
from mnv3_tf.export.parity import layer_sqnr, layer_steps, parting_of
from mnv3_tf.files import atomic_write
from mnv3_tf.layers import Lowering
from mnv3_tf.quantization.lowering import lowered_model
from mnv3_tf.quantization.pipeline import Int8, Training, quantize
from mnv3_tf.tasks import TASKS, Spec, task_of
from mnv3_tf.tasks.task import Export, Parity, pair
from mnv3_tf.tflite import inspection, metadata, reports, runtime
from mnv3_tf.tflite.reports import ExportReport, Simulation

HardSwish = Literal["auto", "fused", "composite", "equalized"]
Target = Literal["xnnpack", "gpu", "nnapi", "edgetpu", "reference"]
SQNR_IMAGES = 8


@dataclass(frozen=True)
class ExportOptions:
    """What `export_tflite.py` asks for. `input_type` None is uint8 for int8, else float32."""

    quantize: Quantize = "none"
    hard_swish: HardSwish = "auto"
    target: Target = "xnnpack"
    input_type: InputType | None = None
    output: str | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        choices = {
            "quantize": get_args(Quantize),
            "hard_swish": get_args(HardSwish),
            "target": get_args(Target),
            "output": (None, *(name for task in TASKS.values() for name in task.outputs)),
            "input_type": (None, *get_args(InputType)),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                listed = ", ".join(filter(None, known))
                raise UserError(f"--{name}={getattr(self, name)} is not one of {listed}.")
        if self.quantize != "int8" and self.input_type not in (None, "float32"):
            raise UserError(
                f"--input_type={self.input_type} needs --quantize=int8; "
                f"a file with --quantize={self.quantize} takes float32."
            )

    @property
    def stored_input(self) -> InputType:
        return self.input_type or ("uint8" if self.quantize == "int8" else "float32")

    def lowering(self) -> tuple[Lowering, str]:
        """How h-swish is written, and why."""
        if self.hard_swish != "auto":
            return self.hard_swish, "asked for"
        if self.quantize == "int8" and self.target == "xnnpack":
            return "composite", "XNNPACK has no int8 HARD_SWISH: each would cut the graph in two"
        if self.quantize == "int8":
            return "fused", f"{self.target} computes HARD_SWISH as one operator"
        return "fused", "in float every runtime computes HARD_SWISH as one operator"


def export(
    spec: Spec,
    trained: tf_keras.Model,
    options: ExportOptions,
    out: Path,
    class_names: Sequence[str] | None = None,
    calibration: np.ndarray | None = None,
    evaluation: Iterable[tuple[Any, Any]] = (),
    training: Training | None = None,
) -> ExportReport:
    """Writes `out` and `out` with the suffix .report.json, and returns the report.

    Args:
      spec, trained: the network, as `load_model` gives it.
      options: what to write.
      out: path of the .tflite.
      class_names: travel inside the file as TFLite metadata.
      calibration: pictures (N, H, W, 3) in [-1, 1], without labels; int8 needs them.
      evaluation: batches of (pictures in [-1, 1], labels) to compare the file with the network.
      training: makes int8 by quantisation-aware training. Its checkpoints, if it keeps any, are
        removed once the file is written.

    Raises:
      UserError: options that do not go together, no pictures to calibrate on, or a file that
        the runtime refuses; nothing is written then.
    """
    lowering, reason = options.lowering()
    output = task_of(spec).output(options.output)
    # Opened first: a folder that cannot be written to is found before the work, not after it.
    with atomic_write(out) as temporary:
        if options.quantize == "int8":
            made = quantize(
                spec,
                trained,
                lowering,
                may_equalize_stem=options.hard_swish == "auto",
                pictures=np.empty(0) if calibration is None else calibration,
                training=training,
            )
        else:
            lowered = lowered_model(spec, trained, lowering)
            made = Int8(lowered, lowered, lowering, {}, {})
        content = _converted(spec, made.quantized, options, output)
        description = "{} at {}x{}.".format(spec.name, *spec.image_size)
        temporary.write_bytes(
            metadata.add_metadata(content, class_names, spec.name, description, spec.to_json())
        )
        file = inspection.inspect(temporary)
        if error := file["xnnpack"]["error"]:
            raise runtime.refusal(out, "; ".join([error, *made.notes.get("warnings", ())]))
        exported = runtime.TFLiteModel(temporary, options.threads)
        is_int8 = options.quantize == "int8"
        simulated = made.quantized if is_int8 else None
        parity = task_of(spec).compare(
            Export(spec, trained, exported, output, simulated), evaluation
        )
        pictures = _a_few(calibration, evaluation, made.lowered.input_shape[1:])
        report: ExportReport = {
            "sha256": file["sha256"],
            "bytes": file["bytes"],
            "model": spec.name,
            "task": spec.task,
            "spec_hash": spec.hash,
            "quantize": options.quantize,
            "method": ("qat" if training else "ptq") if is_int8 else None,
            **made.notes,
            "hard_swish": file["hard_swish"],
            "hard_swish_reason": reason,
            "target": options.target,
            "input": file["input"],
            "output": file["output"],
            "ops": file["ops"],
            "float_islands": file["float_islands"],
            "xnnpack": file["xnnpack"],
            "images": parity.images,
            "agreement": parity.agreement,
            "divergence": parity.divergence,
            "top1": pair(None, None),
            "simulation": _simulation(temporary, simulated, parity, pictures),
            "latency_ms": runtime.measure_latency(exported),
            "layers": layer_sqnr(temporary, made.lowered, pictures),
        }
        report = reports.with_metrics(report, parity)
        reports.write(report, out)
    if training and training.checkpoints:
        shutil.rmtree(training.checkpoints, ignore_errors=True)
    return report


def _converted(spec: Spec, model: tf_keras.Model, options: ExportOptions, output: str) -> bytes:
    content = convert(model, options.quantize, options.stored_input, output, spec)
    return task_of(spec).finished(spec, content, output)


def _simulation(
    path: Path, simulated: tf_keras.Model | None, parity: Parity, pictures: np.ndarray
) -> Simulation | None:
    if simulated is None:
        return None
    parting = parting_of(layer_steps(path, simulated, pictures))
    simulation: Simulation = {"first_parting": parting}
    if "top1" in parity.simulated:
        simulation["top1"] = parity.simulated["top1"]
        simulation["agreement"] = parity.simulated["agreement"]
    return simulation


def _a_few(
    calibration: np.ndarray | None, evaluation: Iterable[tuple[Any, Any]], shape: tuple[int, ...]
) -> np.ndarray:
    """Pictures to compare layers on; noise where there are no pictures at all."""
    if calibration is not None and len(calibration):
        return calibration[:SQNR_IMAGES]
    for pictures, _ in evaluation:
        return np.asarray(pictures)[:SQNR_IMAGES]
    return np.random.default_rng(0).uniform(-1, 1, (SQNR_IMAGES, *shape)).astype(np.float32)
