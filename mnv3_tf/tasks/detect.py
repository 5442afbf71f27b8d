"""Boxes around the objects in a picture, each of a class."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mnv3_tf.networks.graph import Conv, Operator
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.ssdlite import RESOLUTION, DetectorSpec, make_detector
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

if TYPE_CHECKING:
    from mnv3_tf.tasks.task import Head, Learner, NamedNetwork, Predictor, Recipe

RARE = 0.01
"""How likely an object is thought to be where nothing is known yet (Lin et al. 2017, section 4.1):
without it the first steps go into saying no to thousands of anchors."""


@dataclass(frozen=True)
class Detect(Task[DetectorSpec]):
    """Models give box codes (N, A, 4) and class logits (N, A, 1 + classes), the background first.

    Files give "raw" box codes and scores, or "detections", which an operator inside makes of them.
    """

    def make(self, asked: "NamedNetwork", head: "Head", pretrained: bool) -> DetectorSpec:
        side = RESOLUTION if asked.resolution is None else self.fitted(asked.resolution)
        backbone = resolve(asked.model, resolution=side, num_classes=asked.num_classes)
        return make_detector(backbone, asked.width, head.is_half(pretrained))

    def for_training(self, spec: DetectorSpec, recipe: "Recipe") -> DetectorSpec:
        focal = recipe.detection_loss == "focal"
        return spec.replace(scores="sigmoid" if focal else "softmax")

    def keras_outputs(self, tensors: Mapping[str, Any]) -> Any:
        return [tensors["box_codes"], tensors["class_logits"]]

    def initializers(self, operators: Iterable[Operator]) -> dict[str, Any]:
        import tf_keras

        made: dict[str, Any] = {}
        for op in operators:
            if op.stage in ("box_head", "class_head") and isinstance(op, Conv):
                made[op.name] = tf_keras.initializers.RandomNormal(stddev=0.03)
            if op.stage == "class_head" and isinstance(op, Conv):
                bias = math.log(RARE / (1 - RARE))
                made[f"{op.name}_bias"] = tf_keras.initializers.Constant(bias)
        return made

    def learner(
        self, spec: DetectorSpec, model: Any, recipe: "Recipe", seed: int, teacher: Any = None
    ) -> "Learner":
        from mnv3_tf.training.detection import Detection

        return Detection(spec, model, recipe, seed)

    def keras_predictor(self, spec: DetectorSpec, model: Any) -> Function:
        from mnv3_tf.training.detection import detector_of

        return detector_of(spec, model)

    def measure(self, predict: Function, batches: Batches, num_classes: int) -> dict[str, Any]:
        from mnv3_tf.training import detection

        return detection.measure(predict, batches, num_classes)

    def distribution(self, spec: DetectorSpec) -> Any:
        from mnv3_tf.quantization.distributions import Boxes

        return Boxes(spec.scores)

    def file_outputs(
        self, given: Any, output: str, as_stored: Function, spec: DetectorSpec | None
    ) -> Any:
        """Codes and scores, in an order of the converter's."""
        import tensorflow as tf

        codes, logits = given
        independent = spec is None or spec.scores == "sigmoid"
        scores = tf.sigmoid(logits) if independent else tf.nn.softmax(logits)
        return codes, as_stored(scores)

    def named_outputs(self, spec: DetectorSpec, given: Any, output: str) -> dict[str, Any]:
        """Box codes and scores; or boxes (N, K, 4), classes and scores (N, K), best first, where
        places that are left over have the class -1."""
        import tensorflow as tf

        from mnv3_tf.detection.boxes import detect_batch

        codes, scores = self.file_outputs(given, output, lambda values: values, spec)
        if output == "raw":
            return {"box_codes": codes, "scores": scores}
        found = detect_batch(codes, scores, tf.constant(spec.anchors()))
        return dict(zip(("boxes", "classes", "scores"), found, strict=True))

    def finished(self, spec: DetectorSpec, content: bytes, output: str) -> bytes:
        from mnv3_tf.tflite import post_process

        content = post_process.in_order(content)
        return content if output == "raw" else post_process.append(content, spec.anchors())

    def compare(self, made: Export[DetectorSpec], batches: Batches) -> Parity:
        from mnv3_tf.export.parity import compare_detections

        return compare_detections(made.spec, made.trained, made.file.path, batches)

    def skeleton_outputs(
        self, spec: DetectorSpec, graph: Any, tensors: Mapping[str, int]
    ) -> Sequence[int]:
        return [tensors["box_codes"], graph.sigmoid(tensors["class_logits"])]

    def file_predictor(self, model: "Predictor") -> Function:
        return model.detect

    def answer(self, model: "Predictor", picture: Array) -> Any:
        """`Detections`, as parts of the picture."""
        return model.detect(model.smoothed(picture)[np.newaxis])[0]

    def as_json(
        self, model: "Predictor", answer: Any, picture: Array, score: float, top: int
    ) -> dict[str, Any]:
        height, width = picture.shape[:2]
        detections = []
        rows = zip(answer.boxes, answer.classes.tolist(), answer.scores, strict=True)
        for corners, index, sure in rows:
            top_, left, bottom, right = corners * (height, width, height, width)
            if sure >= score:
                detections.append(
                    {
                        "label": model.label(index),
                        "index": index,
                        "score": rounded(sure),
                        "box": [rounded(side, 2) for side in (left, top_, right, bottom)],
                    }
                )
        return {"detections": detections}

    def rows(self, result: Result) -> list[tuple[object, ...]]:
        nothing = ("nothing", *[""] * (len(self.columns) - 1))
        return [
            (one["label"], f"{one['score']:.2f}", *(f"{side:.0f}" for side in one["box"]))
            for one in result["detections"]
        ] or [nothing]

    def draw(self, model: "Predictor", picture: Array, answer: Any, result: Result) -> Array:
        from mnv3_tf.ui import drawing

        seen = result["detections"]
        palette = drawing.colours(max([model.num_classes, *(1 + one["index"] for one in seen)]))
        boxes = [
            drawing.Box(f"{one['label']} {one['score']:.2f}", palette[one["index"]], one["box"])
            for one in seen
        ]
        return drawing.boxes(picture, boxes)


DETECT = Detect(
    name="detect",
    spec_class=DetectorSpec,
    targets="boxes",
    metrics=(
        Metric("map", "mAP"),
        Metric("map50", "mAP at IoU 0.5"),
        Metric("map75", "mAP at IoU 0.75", each_epoch=False),
    ),
    outputs=("detections", "raw"),
    forms=("detections", "raw"),
    columns=("class", "score", "left", "top", "right", "bottom"),
    quick="detect_quick",
    finetune="detect_finetune",
    per_class=Metric("map50", "mAP at IoU 0.5"),
)
