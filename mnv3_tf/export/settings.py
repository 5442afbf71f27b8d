"""What a user asks of an export: the flags of `export_tflite.py`."""

from dataclasses import MISSING, dataclass
from typing import Literal, get_args

from mnv3_tf.errors import UserError
from mnv3_tf.export.targets import TARGETS, Quantize, TargetName
from mnv3_tf.networks.activations import Lowering
from mnv3_tf.networks.pixels import InputRange, View
from mnv3_tf.tasks import TASKS
from mnv3_tf.tasks.specs import VIEW, WEIGHTS_RANGE, NamedNetwork
from mnv3_tf.tasks.task import Head
from mnv3_tf.ui.settings import Checked, setting

Method = Literal["ptq", "qat"]
InputType = Literal["uint8", "int8", "float32"]
Format = Literal["tflite", "savedmodel"]

_OUTPUTS = {task.name: " or ".join(task.outputs) for task in TASKS.values()}


@dataclass(frozen=True)
class ExportOptions(Checked):
    """What the file shall be. Raises UserError for what does not go together."""

    quantize: Quantize = setting("none", "none, float16, dynamic or int8.")
    hard_swish: Literal["auto", Lowering] = setting(
        "auto",
        "fused (one operator), composite (two), equalized (composite, and a more exact stem that "
        "takes longer), or auto: by --target, and by what the stem is worth.",
    )
    target: TargetName = setting(
        "xnnpack",
        "What is to run the file: xnnpack, gpu, nnapi, edgetpu, or reference (TFLite's built-in "
        "kernels).",
    )
    input_type: InputType | None = setting(
        None, "uint8, int8 or float32; uint8 for int8, else float32."
    )
    output: str | None = setting(
        None,
        "What the file gives: " + "; ".join(f"to {n} {out}" for n, out in _OUTPUTS.items()) + ".",
        choices=tuple(name for task in TASKS.values() for name in task.outputs),
    )
    threads: int = setting(1, "Threads for the latency.", least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quantize != "int8" and self.input_type not in (None, "float32"):
            raise UserError(
                f"--input_type={self.input_type} needs --quantize=int8; "
                f"a file with --quantize={self.quantize} takes float32."
            )
        refused = TARGETS[self.target].refused
        if self.quantize in refused:
            others = " or ".join(q for q in get_args(Quantize) if q not in refused)
            raise UserError(
                f"--target={self.target} has no use for --quantize={self.quantize}: "
                f"{refused[self.quantize]}; give --quantize={others}."
            )

    @property
    def stored_input(self) -> InputType:
        return self.input_type or ("uint8" if self.quantize == "int8" else "float32")

    def lowering(self) -> tuple[Lowering, str]:
        """How h-swish is written, and why."""
        if self.hard_swish != "auto":
            return self.hard_swish, "asked for"
        if self.quantize == "int8":
            return TARGETS[self.target].hard_swish, TARGETS[self.target].reason
        return (
            "fused",
            "in float all but the Edge TPU compute HARD_SWISH as one operator",
        )


_OF_FILES = {
    "quantize": "none",
    "hard_swish": "auto",
    "target": "xnnpack",
    "input_type": None,
    "threads": 1,
    "calibration": (),
    "dataset": None,
}
"""Settings that say nothing to a SavedModel, with their defaults."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings(ExportOptions, NamedNetwork, Head):
    """Which network becomes which file, and by which pictures.

    The network is a run's, or the named one with `weights`. Raises UserError for what does not go
    together.
    """

    out: str = setting(MISSING, "The .tflite to write, or the folder of a SavedModel.")
    format: Format = setting(
        "tflite",
        "tflite, or savedmodel: a folder for Keras 3 (keras.layers.TFSMLayer) and TensorFlow "
        "Serving, in float32.",
    )
    run: str | None = setting(None, "Folder of a run of train.py; or else --model and --weights.")
    weights: str | None = setting(
        None, 'Weights of --model: "imagenet", a file, or a run folder, for its best ones.'
    )
    input_range: InputRange | None = setting(None, WEIGHTS_RANGE)
    method: Method | None = setting(
        None, "ptq or qat, for int8; qat where there is a --run, else ptq."
    )
    qat_steps: int | None = setting(None, "Training steps of qat.", least=1)
    calibration: tuple[str, ...] = setting(
        (),
        "Pictures for int8; the run's training pictures if not given. Given several times, the "
        "first chooses ranges, and qat trains on all.",
        repeated=True,
    )
    calibration_images: int = setting(512, "How many of them.", least=1)
    dataset: str | None = setting(
        None,
        "Pictures to evaluate on; the run's if not given. Those of --calibration do not judge.",
    )
    view: View | None = setting(None, VIEW)
    data_dir: str | None = setting(None, "Where tensorflow_datasets keeps its sets.")
    labels: str | None = setting(
        None, "Text file with a class name on each line; the run's if not given, never a dataset's."
    )

    def __post_init__(self) -> None:
        if not self.out:
            raise UserError("--out is missing; give the .tflite to write.")
        super().__post_init__()
        if self.format == "savedmodel":
            self._check_saved_model()
        elif not self.out.endswith(".tflite"):
            raise UserError(f"--out={self.out} must end in .tflite.")
        if bool(self.run) == bool(self.weights):
            raise UserError("Give either --run, or --model and --weights.")
        if self.quantize != "int8" and (self.method or self.qat_steps):
            raise UserError("--method and --qat_steps are of int8; give --quantize=int8.")
        if self.method == "ptq" and self.qat_steps:
            raise UserError("--qat_steps is of --method=qat; leave it out, or choose qat.")
        if self.quantize == "int8" and not (self.run or self.calibration):
            raise UserError(
                "int8 needs pictures to calibrate on; give --calibration, such as "
                "--calibration=folder:photos. Labels are not needed."
            )

    def _check_saved_model(self) -> None:
        for name, usual in _OF_FILES.items():
            if (value := getattr(self, name)) != usual:
                given = value if isinstance(value, str | int) else ",".join(value)
                raise UserError(
                    f"--{name}={given} is of a .tflite, and a SavedModel computes in float32 as "
                    "the network does; leave it out, or give --format=tflite."
                )
        if self.out.endswith(".tflite"):
            raise UserError(
                f"--out={self.out} is the name of a .tflite, and --format=savedmodel makes a "
                "folder; choose another."
            )

    @property
    def chosen_method(self) -> Method | None:
        """How int8 is made: by training where a run's pictures are at hand, or steps are given."""
        if self.quantize != "int8":
            return None
        return self.method or ("qat" if self.run or self.qat_steps else "ptq")
