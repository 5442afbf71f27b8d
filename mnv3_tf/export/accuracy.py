"""What a detector's or a segmentation network's file is worth, beside the network it came from.

For classifiers see `parity`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.detection.agreement import agreement
from mnv3_tf.detection.coco_metrics import Evaluator
from mnv3_tf.detection.postprocess import Detections
from mnv3_tf.detection.postprocess_tf import detect_batch
from mnv3_tf.networks.lraspp import SegmenterSpec
from mnv3_tf.networks.ssdlite import DetectorSpec
from mnv3_tf.segmentation.metrics import IGNORED, confusion, summary
from mnv3_tf.tflite.predictor import open_model
from mnv3_tf.training import detection

Batches = Iterable[tuple[Any, Any]]


def compare_detections(
    spec: DetectorSpec, trained: tf_keras.Model, path: Path, batches: Batches
) -> dict[str, Any]:
    """For a report: "images", "map" and "map50" of both, and their "agreement".

    That is the part of the network's detections, of scores from 0.5 on, that the file gives too
    (`detection.agreement`). None of them is a number where there are no pictures.
    """
    file, keras = open_model(path), detector_of(spec, trained)
    evaluators = [Evaluator(spec.num_classes) for _ in range(2)]
    images = agreed = expected = 0
    for pictures, targets in batches:
        truth = {name: np.asarray(value) for name, value in targets.items()}
        answers = keras(pictures), file.detect(np.asarray(pictures))
        for evaluator, found in zip(evaluators, answers, strict=True):
            detection.add(evaluator, found, truth)
        for ours, theirs in zip(*answers, strict=True):
            same, count = agreement(ours, theirs)
            agreed, expected = agreed + same, expected + count
        images += len(pictures)
    results = [e.result() if images else {} for e in evaluators]
    return {
        "images": images,
        **{name: _pair(*(r.get(name) for r in results)) for name in ("map", "map50")},
        "agreement": agreed / expected if expected else None,
    }


def compare_masks(
    spec: SegmenterSpec, trained: tf_keras.Model, path: Path, batches: Batches
) -> dict[str, Any]:
    """For a report: "images", "miou" and "pixel_accuracy" of both, and their "agreement".

    That is the part of the pixels to which both give the same class, ignored ones left out.
    """
    file, keras = open_model(path), segmenter_of(trained)
    matrices = [np.zeros((spec.num_classes, spec.num_classes), np.int64) for _ in range(2)]
    images = same = pixels = 0
    for pictures, labels in batches:
        labels = np.asarray(labels)
        answers = np.asarray(keras(pictures)), file.segment(np.asarray(pictures))
        for matrix, found in zip(matrices, answers, strict=True):
            matrix += np.asarray(confusion(labels, found, spec.num_classes))
        real = labels != IGNORED
        same += int((answers[0] == answers[1])[real].sum())
        pixels += int(real.sum())
        images += len(labels)
    results = [summary(matrix) if images else {} for matrix in matrices]
    return {
        "images": images,
        **{name: _pair(*(r.get(name) for r in results)) for name in ("miou", "pixel_accuracy")},
        "agreement": same / pixels if pixels else None,
    }


def detector_of(spec: DetectorSpec, trained: tf_keras.Model) -> detection.Detect:
    """The network with all that comes behind it."""
    anchors = tf.constant(spec.anchors())

    @tf.function(reduce_retracing=True, autograph=False)
    def detect(images: Any) -> Any:
        codes, logits = trained(images, training=False)
        scores = detection.class_scores(logits, spec.scores)
        return detect_batch(codes, scores, anchors, score_threshold=detection.SCORE_THRESHOLD)

    def answer(images: Any) -> list[Detections]:
        boxes, classes, scores = (part.numpy() for part in detect(images))
        return [
            Detections(b[c >= 0], c[c >= 0], s[c >= 0])
            for b, c, s in zip(boxes, classes, scores, strict=True)
        ]

    return answer


def segmenter_of(trained: tf_keras.Model) -> Any:
    """From pictures to class indices (N, H, W)."""
    return tf.function(
        lambda images: tf.argmax(trained(images, training=False), -1),
        reduce_retracing=True,
        autograph=False,
    )


def _pair(ours: float | None, theirs: float | None) -> dict[str, float | None]:
    return {"float": ours, "exported": theirs}
