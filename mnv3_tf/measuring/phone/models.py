"""The models to measure: content, names, and what their export's report says of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mnv3_tf.errors import UserError
from mnv3_tf.measuring.phone.adb import FOLDER
from mnv3_tf.measuring.phone.binary import sha256_of
from mnv3_tf.tflite import causes, reports
from mnv3_tf.tflite.model_graph import with_free_sides
from mnv3_tf.tflite.reports import ExportReport, FileReport, Share

MAGIC = b"TFL3"
SEVERAL = 8
"""Partitions from which on a graph counts as cut to pieces."""


@dataclass(frozen=True)
class Model:
    """`report` is the export's, None unless it lies beside the file and is of this very content."""

    path: Path
    name: str
    sha256: str
    bytes: int
    report: ExportReport | None = field(compare=False, repr=False)

    @property
    def on_phone(self) -> str:
        """Another model can never be taken for it, and no name needs quoting."""
        return f"{FOLDER}/{self.sha256}.tflite"

    @property
    def accuracy(self) -> float | None:
        """Top-1 of the exported file, 0 to 1."""
        return reports.exported_top1(self.report)

    @cached_property
    def inspected(self) -> FileReport | None:
        """None where the file cannot be looked at: that needs ai-edge-litert."""
        from mnv3_tf.tflite import inspection

        try:
            return inspection.inspect(self.path)
        except (ImportError, UserError):
            return None

    @property
    def xnnpack(self) -> Share | None:
        """What XNNPACK would take, where that is known."""
        return self.inspected["xnnpack"] if self.inspected else None

    @property
    def of_any_size(self) -> str | None:
        """What is wrong where an input's sides must be said first, if that is known."""
        ends = self.inspected.get("inputs", []) if self.inspected else []
        return causes.of_any_size(with_free_sides(end["shape"], end["signature"]) for end in ends)

    def layer(self, shape: Sequence[int]) -> tuple[str, str]:
        """The first input's tensor and the shape that it is to have, as benchmark_model reads them.

        Raises UserError where the file cannot be looked at.
        """
        if self.inspected is None:
            raise UserError(
                f"--input_shape needs the name of an input, and {self.path} cannot be looked at; "
                "install ai-edge-litert on this computer."
            )
        return self.inspected["inputs"][0]["tensor"], ",".join(map(str, shape))

    @property
    def evaluated_on(self) -> int | None:
        """How many pictures the accuracy is of."""
        return self.report.get("images") if self.report else None

    @property
    def quantize(self) -> str | None:
        return self.report.get("quantize") if self.report else None


def load(paths: Sequence[str]) -> list[Model]:
    """Raises UserError for a file that is absent or no .tflite."""
    if not paths:
        raise UserError("No model to measure; give --models=a.tflite,b.tflite.")
    files = [Path(path) for path in paths]
    stems = [file.stem for file in files]
    models = []
    for file in files:
        _check(file)
        name = file.stem if stems.count(file.stem) == 1 else str(file.with_suffix(""))
        sha256 = sha256_of(file)
        models.append(
            Model(file, name, sha256, file.stat().st_size, reports.read_beside(file, sha256))
        )
    if len({model.name for model in models}) < len(models):
        raise UserError("A model is given twice in --models; name each once.")
    return models


def _check(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            start = opened.read(8)
    except OSError as error:
        raise UserError(f"Cannot read the model {file}: {error.strerror}.") from None
    if start[4:] != MAGIC:
        raise UserError(f"{file} is no .tflite file; give what export_tflite.py wrote.")


def require_sizes(models: Sequence[Model], input_shape: Sequence[int] | None) -> None:
    """Raises UserError for an input of any size, of which a phone would time one pixel."""
    for model in models:
        if input_shape is None and model.of_any_size:
            raise UserError(f"{model.path} {model.of_any_size}.")


def warnings(models: Sequence[Model], delegate: str) -> list[str]:
    """What can be known to go wrong before a phone is touched."""
    return [text for model in models if delegate == "xnnpack" and (text := _cut(model))]


def _cut(model: Model) -> str | None:
    share = model.xnnpack
    if share is None or model.of_any_size:
        return None
    if model.inspected and (cause := model.inspected.get("cause")):
        return f"{model.name}: on this computer it {cause}."
    if share["error"]:
        return f"{model.name}: XNNPACK refuses this file ({share['error']})."
    if not share["partitions"] or share["partitions"] < SEVERAL:
        return None
    outside = share["outside"] or {}
    left = ", ".join(f"{count} {name}" for name, count in outside.items())
    remedy = " (export it with --hard_swish=composite)" if "HARD_SWISH" in outside else ""
    return (
        f"{model.name}: XNNPACK will run it in {share['partitions']} pieces, cut by {left}{remedy}."
    )
