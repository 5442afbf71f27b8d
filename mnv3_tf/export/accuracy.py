"""What a detector's or a segmentation network's file is worth, beside the network it came from.

For classifiers see `parity`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from mnv3_tf.detection.coco_metrics import Evaluator
from mnv3_tf.detection.postprocess import agreement
from mnv3_tf.networks.lraspp import SegmenterSpec
from mnv3_tf.networks.ssdlite import DetectorSpec
from mnv3_tf.segmentation import IGNORED, confusion, summary
from mnv3_tf.tasks.task import Batches, pair
from mnv3_tf.tflite.predictor import open_model
from mnv3_tf.training import detection, segmentation


def compare_detections(
    spec: DetectorSpec, trained: tf_keras.Model, path: Path, batches: Batches
) -> dict[str, Any]:
    """For a report: "images", "map" and "map50" of both, and their "agreement".

    That is the part of the network's detections, of scores from 0.5 on, that the file gives too
    (`detection.postprocess.agreement`). None of them is a number where there are no pictures.
    """
    file, keras = open_model(path), detection.detector_of(spec, trained)
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
        **{name: pair(*(r.get(name) for r in results)) for name in ("map", "map50")},
        "agreement": agreed / expected if expected else None,
    }


def compare_masks(
    spec: SegmenterSpec, trained: tf_keras.Model, path: Path, batches: Batches
) -> dict[str, Any]:
    """For a report: "images", "miou" and "pixel_accuracy" of both, and their "agreement".

    That is the part of the pixels to which both give the same class, ignored ones left out.
    """
    file, keras = open_model(path), segmentation.segmenter_of(trained)
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
        **{name: pair(*(r.get(name) for r in results)) for name in ("miou", "pixel_accuracy")},
        "agreement": same / pixels if pixels else None,
    }
