"""The detection task: loss over anchors, and COCO's mean average precision."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.detection.boxes import detect_batch
from mnv3_tf.detection.coco_metrics import Evaluator
from mnv3_tf.detection.losses import DetectionLoss, Truth
from mnv3_tf.detection.postprocess import Detections
from mnv3_tf.networks.ssdlite import DetectorSpec
from mnv3_tf.tasks import DETECT
from mnv3_tf.training.learner import DenseLearner, Score
from mnv3_tf.training.recipe import Recipe

SCORE_THRESHOLD = 0.01
"""Below it detections are left out: they take long to sort, and change mAP by less than 0.001."""

Detect = Callable[[Any], list[Detections]]
"""Pictures (N, H, W, 3) in [-1, 1] to what is found in each."""


class Detection(DenseLearner):
    """A detector as the training loop sees it."""

    task = DETECT
    blank = {"boxes": 0.0, "classes": -1, "crowd": False, "size": 0}  # noqa: RUF012

    def __init__(
        self, spec: DetectorSpec, model: tf_keras.Model, recipe: Recipe, seed: int
    ) -> None:
        super().__init__(spec, model, recipe, seed)
        self._num_classes, self._scores = spec.num_classes, spec.scores
        self._anchors = tf.constant(spec.anchors())
        self._loss = DetectionLoss(
            "focal" if spec.scores == "sigmoid" else "hard_negative",
            recipe.focal_alpha,
            recipe.focal_gamma,
        )

    def loss(self, images: Any, targets: Any, step: Any, head_only: bool) -> Any:
        codes, logits = self._answer(images, head_only)
        truth = Truth(targets["boxes"], targets["classes"], targets["crowd"])
        return self._loss(logits, codes, truth, self._anchors) + self._penalty()

    def tally(self, images: Any, targets: Any) -> Any:
        codes, logits = self.evaluated(images, training=False)
        scores = class_scores(logits, self._scores)
        found = detect_batch(codes, scores, self._anchors, score_threshold=SCORE_THRESHOLD)
        truth = Truth(targets["boxes"], targets["classes"], targets["crowd"])
        loss = tf.cast(self._loss(logits, codes, truth, self._anchors), tf.float32)
        return {"found": found, "truth": targets, "loss": tf.fill(tf.shape(codes)[:1], loss)}

    def gather(self, strategy: tf.distribute.Strategy, tallies: Any) -> Any:
        return tf.nest.map_structure(lambda part: strategy.gather(part, axis=0), tallies)

    def score(self, tallies: Iterable[Any]) -> Score:
        evaluator, images, loss = Evaluator(self._num_classes), 0, 0.0
        for tally in tallies:
            tally = tf.nest.map_structure(np.asarray, tally)
            found = [Detections(*picture) for picture in zip(*tally["found"], strict=True)]
            images += add(evaluator, found, tally["truth"])
            loss += float(tally["loss"][tally["truth"]["size"][:, 0] > 0].sum())
        result = evaluator.result()
        metrics = {
            "val_loss": loss / images if images else None,
            "val_map": result["map"],
            "val_map50": result["map50"],
        }
        return Score(metrics, images)


def detector_of(spec: DetectorSpec, model: tf_keras.Model) -> Detect:
    """The network with all that comes behind it."""
    anchors = tf.constant(spec.anchors())

    @tf.function(reduce_retracing=True, autograph=False)
    def detect(images: Any) -> Any:
        codes, logits = model(images, training=False)
        scores = class_scores(logits, spec.scores)
        return detect_batch(codes, scores, anchors, score_threshold=SCORE_THRESHOLD)

    def answer(images: Any) -> list[Detections]:
        boxes, classes, scores = (part.numpy() for part in detect(images))
        return [
            Detections(b[c >= 0], c[c >= 0], s[c >= 0])
            for b, c, s in zip(boxes, classes, scores, strict=True)
        ]

    return answer


def class_scores(logits: Any, scores: str) -> Any:
    """From 0 to 1, (..., 1 + classes); `scores` is that of `DetectorSpec`."""
    logits = tf.cast(logits, tf.float32)
    return tf.sigmoid(logits) if scores == "sigmoid" else tf.nn.softmax(logits)


def measure(detect: Detect, batches: Iterable[tuple[Any, Any]], num_classes: int) -> dict[str, Any]:
    """What `Evaluator.result` gives, and "images", the number of pictures."""
    evaluator, images = Evaluator(num_classes), 0
    for pictures, targets in batches:
        truth = {name: np.asarray(value) for name, value in targets.items()}
        images += add(evaluator, detect(pictures), truth)
    return {**evaluator.result(), "images": images}


def add(evaluator: Evaluator, found: Iterable[Detections], truth: dict[str, np.ndarray]) -> int:
    """Adds a batch; returns how many pictures it has. Blank ones, of no size, are left out."""
    count = 0
    for picture, detections in enumerate(found):
        height, width = (int(side) for side in truth["size"][picture])
        if height:
            boxes, classes, crowd = (truth[k][picture] for k in ("boxes", "classes", "crowd"))
            evaluator.add(detections, boxes, classes, crowd, (height, width))
            count += 1
    return count
