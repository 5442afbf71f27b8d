"""A class for each pixel of a picture."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mnv3_tf.networks.graph import Operator
from mnv3_tf.networks.lraspp import SegmenterSpec, make_segmenter
from mnv3_tf.networks.named import resolve
from mnv3_tf.tasks.task import (
    Array,
    Batches,
    Export,
    Function,
    Metric,
    Parity,
    Result,
    Task,
    rounded,
)
from mnv3_tf.ui.tables import percent

if TYPE_CHECKING:
    from mnv3_tf.tasks.task import Head, Learner, NamedNetwork, Predictor, Recipe


@dataclass(frozen=True)
class Segment(Task[SegmenterSpec]):
    """Models give logits (N, H, W, classes), files these "scores" or their arg-max, "classes"."""

    def make(self, asked: "NamedNetwork", head: "Head", pretrained: bool) -> SegmenterSpec:
        backbone = resolve(asked.model, num_classes=asked.num_classes)
        return make_segmenter(
            backbone,
            self.fitted(asked.resolution or backbone.resolution),
            asked.width,
            head.is_half(pretrained),
            head=head.head,
            filters=head.head_filters,
            output_stride=head.output_stride,
            pooling=head.pooling,
        )

    def for_phones(self, spec: SegmenterSpec) -> SegmenterSpec:
        return spec.replace(mobile=True)

    def keras_outputs(self, tensors: Mapping[str, Any]) -> Any:
        return tensors["semantic"]

    def initializers(self, operators: Iterable[Operator]) -> dict[str, Any]:
        import tf_keras

        # One each: an initialiser gives the same values every time.
        names = ("logits", "skip_logits")
        return {name: tf_keras.initializers.RandomNormal(stddev=0.01) for name in names}

    def learner(
        self, spec: SegmenterSpec, model: Any, recipe: "Recipe", seed: int, teacher: Any = None
    ) -> "Learner":
        from mnv3_tf.training.segmentation import Segmentation

        return Segmentation(spec, model, recipe, seed)

    def keras_predictor(self, spec: SegmenterSpec, model: Any) -> Function:
        from mnv3_tf.training.segmentation import segmenter_of

        return segmenter_of(model)

    def measure(self, predict: Function, batches: Batches, num_classes: int) -> dict[str, Any]:
        from mnv3_tf.training import segmentation

        return segmentation.measure(predict, batches, num_classes)

    def file_outputs(
        self, given: Any, output: str, as_stored: Function, spec: SegmenterSpec | None
    ) -> Any:
        import tensorflow as tf

        return tf.argmax(given, -1, tf.int32) if output == "classes" else given

    def compare(self, made: Export[SegmenterSpec], batches: Batches) -> Parity:
        from mnv3_tf.export.parity import compare_masks

        return compare_masks(made.spec, made.trained, made.file.path, batches)

    def skeleton_outputs(
        self, spec: SegmenterSpec, graph: Any, tensors: Mapping[str, int]
    ) -> Sequence[int]:
        return [tensors["semantic"]]

    def file_predictor(self, model: "Predictor") -> Function:
        return model.segment

    def answer(self, model: "Predictor", picture: Array) -> Any:
        """Class indices, int32 (H, W), of the picture's own size."""
        return model.mask(model.smoothed(picture), picture.shape[:2])

    def as_json(
        self, model: "Predictor", answer: Any, picture: Array, score: float, top: int
    ) -> dict[str, Any]:
        """Shares of all classes in their order, those that do not occur too."""
        counts = np.bincount(answer.reshape(-1), minlength=model.num_classes).tolist()
        return {
            "classes": [
                {"label": model.label(i), "index": i, "share": rounded(count / answer.size)}
                for i, count in enumerate(counts)
            ]
        }

    def rows(self, result: Result) -> list[tuple[object, ...]]:
        seen = sorted((c for c in result["classes"] if c["share"]), key=lambda c: -c["share"])
        return [(c["label"], percent(c["share"])) for c in seen]

    def draw(self, model: "Predictor", picture: Array, answer: Any, result: Result) -> Array:
        from mnv3_tf.ui import drawing

        return drawing.mask(picture, answer, [one["label"] for one in result["classes"]])

    def mask(self, answer: Any) -> Array | None:
        return answer.astype("uint8" if answer.max() < 256 else "uint16")


SEGMENT = Segment(
    name="segment",
    spec_class=SegmenterSpec,
    targets="masks",
    metrics=(Metric("miou", "mIoU"), Metric("pixel_accuracy", "pixels")),
    outputs=("scores", "classes"),
    forms=("scores", "classes"),
    columns=("class", "share"),
    quick="segment_quick",
    finetune="segment_finetune",
    square=False,
    per_class=Metric("iou", "IoU"),
)
