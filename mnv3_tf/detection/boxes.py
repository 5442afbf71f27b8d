"""Boxes as tensors: two forms, their overlap, and the code of one relative to an anchor.

A box is (ymin, xmin, ymax, xmax), its corners, or (cy, cx, h, w), as anchors are; in parts of the
picture.
"""

from typing import Any

import tensorflow as tf

from mnv3_tf.networks.anchors import CODE_SCALES

SCALES = CODE_SCALES

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
    return tf.concat([place, size], -1) * tf.constant(SCALES)


def decode(codes: Any, anchors: Any) -> Any:
    """Corners (..., A, 4) of codes (..., A, 4); the inverse of `encode`, not clipped."""
    codes = codes / tf.constant(SCALES)
    centre = codes[..., :2] * anchors[..., 2:] + anchors[..., :2]
    size = tf.exp(tf.minimum(codes[..., 2:], LARGEST_LOG)) * anchors[..., 2:]
    return corners(tf.concat([centre, size], -1))


def _area(boxes: Any) -> Any:
    return tf.nn.relu(boxes[..., 2] - boxes[..., 0]) * tf.nn.relu(boxes[..., 3] - boxes[..., 1])
