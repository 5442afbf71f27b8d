"""What postprocess.detect means, for batches of tensors; made for evaluation while training."""

from typing import Any

import tensorflow as tf

from mnv3_tf.detection import boxes as geometry
from mnv3_tf.detection.postprocess import IOU_THRESHOLD, PER_CLASS, SCORE_THRESHOLD, TOTAL


def detect_batch(
    codes: Any,
    scores: Any,
    anchors: Any,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
    per_class: int = PER_CLASS,
    total: int = TOTAL,
) -> tuple[Any, Any, Any]:
    """Boxes float32 (N, K, 4), classes int32 (N, K) and scores float32 (N, K), K being `total`.

    Arguments are as in postprocess.detect, with a leading dimension: `codes` (N, A, 4), `scores`
    (N, A, C + 1). Rows that hold no detection come last and have class -1. Among equal scores
    the order is TensorFlow's own.
    """
    codes, scores = tf.cast(codes, tf.float32), tf.cast(scores[..., 1:], tf.float32)
    anchors = tf.convert_to_tensor(anchors, tf.float32)
    boxes = tf.clip_by_value(geometry.decode(codes, anchors), 0.0, 1.0)
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
