"""What a network is for, as one frozen value: all that differs from task to task.

`classify`, `detect` and `segment` hold one each, and `mnv3_tf.tasks.TASKS` lists them. Whatever
needs TensorFlow is imported by the method that is asked for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypedDict, TypeVar

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.networks.graph import Operator, OperatorGraph
from mnv3_tf.networks.lraspp import HEADS, HOPS, POOLINGS
from mnv3_tf.networks.pixels import View
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.ui.settings import Checked, setting

if TYPE_CHECKING:
    from mnv3_tf.tasks.specs import NamedNetwork
    from mnv3_tf.tflite.predictor import Predictor
    from mnv3_tf.tflite.runtime import TFLiteModel
    from mnv3_tf.training.learner import Learner
    from mnv3_tf.training.recipe import Recipe

Array = np.ndarray
Function = Callable[[Any], Any]
Result = Mapping[str, Any]
Batches = Iterable[tuple[Any, Any]]
"""Of pictures (N, H, W, 3) in [-1, 1], and targets."""

Resolution = int | tuple[int, int]
"""The side of square pictures, or height and width, in pixels."""

Targets = Literal["classes", "boxes", "masks"]
TAILS = ("auto", "full", "half")


class Spec(Protocol):
    """A network of any task."""

    @property
    def task(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def backbone(self) -> NetworkSpec: ...
    @property
    def resolution(self) -> Any: ...
    @property
    def image_size(self) -> tuple[int, int]: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def hash(self) -> str: ...
    def graph(self, output_stride: int = 32) -> OperatorGraph: ...
    def with_backbone(self, backbone: NetworkSpec) -> Self: ...
    def replace(self, **changes: Any) -> Self: ...
    def to_json(self) -> str: ...


@dataclass(frozen=True)
class Head(Checked):
    """What the tasks other than classification have to choose.

    `tail` "half" has half the channels from C4 to C5 (the paper's dagger and RF2), "auto" too
    unless there are weights to start from: then it is theirs (`models.create.spec_for`), a
    classifier's being full. The others are those of `lraspp.SegmenterSpec`.
    """

    tail: str = setting(
        "auto",
        "Detection and segmentation: half or full channels from C4 to C5; auto is as the weights "
        "to start from have it (a classifier's are full), half without any.",
        choices=TAILS,
    )
    head: str = setting("lraspp", "Segmentation: the head.", choices=HEADS)
    head_filters: int = setting(128, "Segmentation: the head's filters.")
    output_stride: int = setting(16, "Segmentation: 16 or 32.", choices=tuple(HOPS))
    pooling: str = setting(
        "window", "Segmentation: window (the paper's, large) or global.", choices=POOLINGS
    )

    def is_half(self, pretrained: bool) -> bool:
        return self.tail == "half" or (self.tail == "auto" and not pretrained)


@dataclass(frozen=True)
class Metric:
    """A figure from 0 to 1: its key in results, and its title in tables and plots.

    `each_epoch`: training measures it too, and calls it val_KEY.
    """

    key: str
    title: str
    each_epoch: bool = True

    @property
    def column(self) -> str:
        """Of metrics.jsonl and summary.json."""
        return f"val_{self.key}"

    @property
    def test_column(self) -> str:
        """Of summary.json: the best epoch's on the test set."""
        return f"test_{self.key}"


S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Task(ABC, Generic[S]):
    """A task.

    Attributes:
      name: of --task, and of `Spec.task`.
      spec_class: a frozen dataclass, whose fields its JSON holds.
      targets: what a dataset must give for each picture.
      metrics: the first says which epoch is the best, and is what reports begin with.
      outputs: what a .tflite may give; the first is what it gives by default.
      forms: how outputs of a .tflite, whoever wrote it, may answer (`tflite.signature`).
      columns: of the table that predictions make, after the picture.
      quick, finetune, distill: default recipes, from random weights, given ones, and a teacher.
      views: what evaluation may see of a picture; the first is what it sees by default.
      square: whether the input's height and width must be equal.
      per_class: the figure that `measure` lists by class, if it does.
      has_val_loss: whether training measures the loss of validation pictures.
      weighs_classes: whether its learner heeds `Learner.class_weights`.
    """

    name: str
    spec_class: type[S]
    targets: Targets
    metrics: tuple[Metric, ...]
    outputs: tuple[str, ...]
    forms: tuple[str, ...]
    columns: tuple[str, ...]
    quick: str
    finetune: str
    distill: str | None = None
    views: tuple[View, ...] = ("whole",)
    square: bool = True
    per_class: Metric | None = None
    has_val_loss: bool = True
    weighs_classes: bool = False

    @property
    def score(self) -> Metric:
        """What decides which epoch is the best."""
        return self.metrics[0]

    @property
    def val_columns(self) -> tuple[str, ...]:
        """What training measures after each epoch, as metrics.jsonl calls it."""
        loss = ("val_loss",) if self.has_val_loss else ()
        return *loss, *(metric.column for metric in self.metrics if metric.each_epoch)

    def default_recipe(self, pretrained: bool, taught: bool) -> str:
        if taught and self.distill:
            return self.distill
        return self.finetune if pretrained else self.quick

    def output(self, wanted: str | None) -> str:
        """The wanted output, or the first. Raises UserError where the task has no such output."""
        if wanted not in (None, *self.outputs):
            raise UserError(
                f"--output={wanted} is not one of {', '.join(self.outputs)}, which "
                f"--task={self.name} has."
            )
        return wanted or self.outputs[0]

    def view(self, *wanted: View | None) -> View:
        """The first that is wanted, or the task's. Raises UserError where the task has it not."""
        view = next((one for one in wanted if one), self.views[0])
        if view not in self.views:
            raise UserError(
                f"--view={view} is of no use to --task={self.name}, which always takes the whole "
                "picture; leave it out."
            )
        return view

    # -- the spec ----------------------------------------------------------------------------

    def fitted(self, resolution: Resolution) -> Any:
        """As the specs of the task have it. Raises UserError where it must be square and is not."""
        height, width = sides(resolution)
        if not self.square:
            return height, width
        if height != width:
            raise UserError(
                f"--resolution={height}x{width} is not square, which --task={self.name} needs; "
                "give one number."
            )
        return height

    @abstractmethod
    def make(self, asked: "NamedNetwork", head: Head, pretrained: bool) -> S:
        """A spec on a named classifier, or on one in a JSON file."""

    def for_phones(self, spec: S) -> S:
        """The spec of what is exported: the same function from operators that suit XNNPACK."""
        return spec

    def for_training(self, spec: S, recipe: "Recipe") -> S:
        """The spec of what the recipe's loss makes."""
        return spec

    # -- the Keras model ---------------------------------------------------------------------

    @abstractmethod
    def keras_outputs(self, tensors: Mapping[str, Any]) -> Any:
        """What the model gives, of the outputs of its operators by name."""

    def initializers(self, operators: Iterable[Operator]) -> dict[str, Any]:
        """Of kernels by operator, and of biases as NAME_bias, where they are not Keras' own."""
        return {}

    @abstractmethod
    def learner(
        self, spec: S, model: Any, recipe: "Recipe", seed: int, teacher: Any = None
    ) -> "Learner":
        """The model as the training loop sees it. `teacher` is for tasks that have `distill`."""

    @abstractmethod
    def keras_predictor(self, spec: S, model: Any) -> Function:
        """From pictures (N, H, W, 3) to what `measure` takes."""

    @abstractmethod
    def measure(self, predict: Function, batches: Batches, num_classes: int) -> dict[str, Any]:
        """The metrics of a predictor, "images", and where the task has them "per_class", a list, or
        "answers", which `Answers` collected.
        """

    def distribution(self, spec: S) -> Any:
        """What the model gives, as a `quantization.distributions.Distribution`: of logits."""
        from mnv3_tf.quantization.distributions import Classes

        return Classes()

    # -- the file ----------------------------------------------------------------------------

    def file_outputs(self, given: Any, output: str, as_stored: Function, spec: S | None) -> Any:
        """Tensors that the file gives, of what the model gives; `output` is one of `outputs`.

        `as_stored` rounds what lies in [0, 1) as int8 operators will. `spec` None is the usual one.
        """
        return given

    def named_outputs(self, spec: S, given: Any, output: str) -> dict[str, Any]:
        """Tensors by name that a SavedModel gives, of what the model gives."""
        return {output: self.file_outputs(given, output, lambda values: values, spec)}

    def finished(self, spec: S, content: bytes, output: str) -> bytes:
        """The converter's file with what it cannot make itself."""
        return content

    @abstractmethod
    def compare(self, made: "Export[S]", batches: Batches) -> "Parity":
        """The file beside the network."""

    @abstractmethod
    def skeleton_outputs(self, spec: S, graph: Any, tensors: Mapping[str, int]) -> Sequence[int]:
        """Outputs of a `tflite.skeleton.FileBuilder`, whose tensors are given by operator."""

    # -- predictions of a file ---------------------------------------------------------------

    @abstractmethod
    def file_predictor(self, model: "Predictor") -> Function:
        """What `keras_predictor` is of a model."""

    @abstractmethod
    def answer(self, model: "Predictor", picture: Array) -> Any:
        """Of one picture uint8 (H, W, 3), of any size."""

    @abstractmethod
    def as_json(
        self, model: "Predictor", answer: Any, picture: Array, score: float, top: int
    ) -> dict[str, Any]:
        """The answer as JSON: detections of at least `score`, the first `top` classes."""

    @abstractmethod
    def rows(self, result: Result) -> list[tuple[object, ...]]:
        """A result as JSON, under `columns`."""

    @abstractmethod
    def draw(self, model: "Predictor", picture: Array, answer: Any, result: Result) -> Array:
        """The picture with the answer drawn into it."""

    def mask(self, answer: Any) -> Array | None:
        """A picture of class indices, where the answer is one."""
        return None


Pair = TypedDict("Pair", {"float": float | None, "exported": float | None})  # noqa: UP013
"""A figure of a network and of its file, as reports have it."""


@dataclass(frozen=True)
class Parity:
    """How a file answers beside the network that it was made of, on the same pictures.

    Attributes:
      images: how many. Without any, no figure is a number.
      metrics: by `Metric.key`.
      agreement: the part of the answers that are the same, by what the task calls so.
      divergence: the mean Kullback-Leibler divergence from the network's answers to the file's, in
        nats; None where the task has none.
      simulated: "top1" of the fake-quantised model, and its "agreement" with the file.
    """

    images: int
    metrics: Mapping[str, Pair]
    agreement: float | None
    divergence: float | None = None
    simulated: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Export(Generic[S]):
    """A trained model of `spec`, and the `file` that was made of it, which gives `output`.

    `simulated` is the fake-quantised model that an int8 file was converted from.
    """

    spec: S
    trained: Any
    file: "TFLiteModel"
    output: str
    simulated: Any = None


def parse_resolution(text: str | None) -> Resolution | None:
    """ "224", or "360x480" for height and width. Raises UserError for anything else."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise UserError(f"--resolution={text} must be a number of pixels, or HEIGHTxWIDTH.")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def resolution_text(resolution: Resolution) -> str:
    """What `parse_resolution` reads as it."""
    return str(resolution) if isinstance(resolution, int) else "x".join(map(str, resolution))


def sides(resolution: Resolution) -> tuple[int, int]:
    """Height and width."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def rounded(value: Any, digits: int = 6) -> float:
    return round(float(value), digits)


def pair(ours: float | None, theirs: float | None) -> Pair:
    return {"float": ours, "exported": theirs}
