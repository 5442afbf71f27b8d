"""Which object each anchor has to find.

After object_detection/matchers/argmax_matcher.py of the TF Object Detection API, with one
threshold and `force_match_for_each_row`.
"""

from typing import Any

import tensorflow as tf

from mnv3_tf.detection import boxes as geometry

BACKGROUND = -1
IGNORED = -2


def match(anchors: Any, boxes: Any, classes: Any, crowd: Any = None, threshold: float = 0.5) -> Any:
    """int32 (..., A): for each anchor the row of its box, or BACKGROUND, or IGNORED.

    `anchors` (A, 4) are cy, cx, h, w; `boxes` (..., M, 4) corners; `classes` (..., M), below 0 in
    rows that only pad; `crowd` bool (..., M), of boxes around a group of objects.

    - An anchor takes the box that it overlaps most (the first of equals), if by `threshold` IoU.
    - Each box gets the anchor that overlaps it most (the first of equals), however little, and
      whatever that anchor would have taken. If two boxes want the same anchor the earlier row
      gets it; the later one is then left with the anchors it has by the threshold, maybe none.
      The API does the same. Unlike there, a box that overlaps no anchor (an empty one) gets none.
    - A crowd is not to be found. An anchor without a box that overlaps a crowd by `threshold` is
      ignored: neither example of an object nor of background.
    """
    # One row of padding more: there may be none to take the maximum of.
    leading = [[0, 0]] * (len(classes.shape) - 1)
    boxes = tf.pad(boxes, [*leading, [0, 1], [0, 0]])
    classes = tf.pad(classes, [*leading, [0, 1]], constant_values=-1)
    single = crowds = classes >= 0
    if crowd is not None:
        crowd = tf.pad(crowd, [*leading, [0, 1]])
        single, crowds = single & ~crowd, crowds & crowd

    # Boxes in rows and anchors in columns: reducing over rows is what TensorFlow does fastest.
    overlap = geometry.iou(boxes, geometry.corners(anchors))
    of_single = overlap * tf.cast(single, overlap.dtype)[..., None]
    enough = tf.reduce_max(of_single, -2) >= threshold
    matched = tf.where(enough, tf.argmax(of_single, -2, tf.int32), BACKGROUND)

    if crowd is not None:
        of_crowd = tf.reduce_max(overlap * tf.cast(crowds, overlap.dtype)[..., None], -2)
        matched = tf.where(~enough & (of_crowd >= threshold), IGNORED, matched)

    wanted = tf.argmax(of_single, -1, tf.int32)[..., None] == tf.range(tf.shape(anchors)[0])
    wanted &= (tf.reduce_max(of_single, -1) > 0)[..., None]
    return tf.where(tf.reduce_any(wanted, -2), tf.argmax(wanted, -2, tf.int32), matched)
