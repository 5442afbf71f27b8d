"""Boxes as tensors: two forms, their overlap, codes relative to anchors, and suppression.

A box is (ymin, xmin, ymax, xmax), its corners, or (cy, cx, h, w), as anchors are; in parts of the
picture.
"""

from typing import Any

import tensorflow as tf

from mnv3_tf.detection.postprocess import IOU_THRESHOLD, PER_CLASS, SCORE_THRESHOLD, TOTAL
from mnv3_tf.networks.anchors import CODE_SCALES

SMALLEST = 1e-8
"""Sizes below are taken for it, so that an empty box has a finite code."""

LARGEST_LOG = 80.0
"""Bound of a decoded log size: an untrained network's answer must not become infinite."""


def corners(boxes: Any) -> Any:
    """(..., 4): cy, cx, h, w to ymin, xmin, ymax, xmax."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return tf.concat([centre - half, centre + half], -1)


def centres(boxes: Any) -> Any:
    """(..., 4): ymin, xmin, ymax, xmax to cy, cx, h, w."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return tf.concat([(low + high) / 2, high - low], -1)


def iou(a: Any, b: Any) -> Any:
    """(..., N, M): intersection over union of each of `a` (..., N, 4) with each of `b` (..., M, 4).

    Both are corners. An empty box, or one whose corners are the wrong way round, overlaps nothing.
    """
    a, b = tf.expand_dims(a, -2), tf.expand_dims(b, -3)
    height = tf.minimum(a[..., 2], b[..., 2]) - tf.maximum(a[..., 0], b[..., 0])
    width = tf.minimum(a[..., 3], b[..., 3]) - tf.maximum(a[..., 1], b[..., 1])
    both = tf.nn.relu(height) * tf.nn.relu(width)
    return tf.math.divide_no_nan(both, _area(a) + _area(b) - both)


def encode(boxes: Any, anchors: Any) -> Any:
    """Corners (..., A, 4) relative to anchors (A, 4): codes (ty, tx, th, tw), (..., A, 4).

    Distance of the centres in anchor sizes, and logarithm of the ratio of sizes, each times its
    scale: object_detection/box_coders/faster_rcnn_box_coder.py of the TF Object Detection API.
    """
    boxes = centres(boxes)
    place = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    size = tf.math.log(tf.maximum(boxes[..., 2:], SMALLEST) / anchors[..., 2:])
    return tf.concat([place, size], -1) * tf.constant(CODE_SCALES)


def decode(codes: Any, anchors: Any) -> Any:
    """Corners (..., A, 4) of codes (..., A, 4); the inverse of `encode`, not clipped."""
    codes = codes / tf.constant(CODE_SCALES)
    centre = codes[..., :2] * anchors[..., 2:] + anchors[..., :2]
    size = tf.exp(tf.minimum(codes[..., 2:], LARGEST_LOG)) * anchors[..., 2:]
    return corners(tf.concat([centre, size], -1))


def detect_batch(
    codes: Any,
    scores: Any,
    anchors: Any,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
    per_class: int = PER_CLASS,
    total: int = TOTAL,
) -> tuple[Any, Any, Any]:
    """What `postprocess.detect` means, for batches of tensors.

    Boxes float32 (N, K, 4), classes int32 (N, K) and scores float32 (N, K), K being `total`.

    Arguments are as in postprocess.detect, with a leading dimension: `codes` (N, A, 4), `scores`
    (N, A, C + 1). Rows that hold no detection come last and have class -1. Among equal scores
    the order is TensorFlow's own.
    """
    codes, scores = tf.cast(codes, tf.float32), tf.cast(scores[..., 1:], tf.float32)
    anchors = tf.convert_to_tensor(anchors, tf.float32)
    boxes = tf.clip_by_value(decode(codes, anchors), 0.0, 1.0)
    inside = tf.reduce_all(boxes[..., 2:] > boxes[..., :2], -1, keepdims=True)
    found, best, classes, count = tf.image.combined_non_max_suppression(
        tf.expand_dims(boxes, 2),
        tf.where(inside, scores, -1.0),
        max_output_size_per_class=per_class,
        max_total_size=total,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        clip_boxes=False,
    )
    real = tf.range(total) < count[:, None]
    return found, tf.where(real, tf.cast(classes, tf.int32), -1), best


def _area(boxes: Any) -> Any:
    return tf.nn.relu(boxes[..., 2] - boxes[..., 0]) * tf.nn.relu(boxes[..., 3] - boxes[..., 1])
