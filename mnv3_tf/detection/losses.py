"""The two losses that detectors of this family were trained with."""

from typing import Any, Literal

import tensorflow as tf

from mnv3_tf.detection import boxes as geometry
from mnv3_tf.detection.matching import BACKGROUND, match

Kind = Literal["focal", "hard_negative"]


def detection_loss(
    class_logits: Any,
    codes: Any,
    boxes: Any,
    classes: Any,
    crowd: Any,
    anchors: Any,
    kind: Kind,
    alpha: float = 0.75,
    gamma: float = 2.0,
    negatives_per_positive: float = 3.0,
) -> Any:
    """Classification plus localisation, of a batch: a float32 scalar.

    The network's answers are `class_logits` (N, A, C + 1), slot 0 being the background, and
    `codes` (N, A, 4), relative to `anchors` (A, 4). The truth is `boxes` (N, M, 4), corners in
    [0, 1], `classes` (N, M) in [0, C), below 0 in rows that only pad, and `crowd` bool (N, M).

    - "focal": `focal_loss` summed over anchors and slots, and a mean over the four codes; the
      TF Object Detection API's configuration of SSDLite with MobileNetV3
      (samples/configs/ssdlite_mobilenet_v3_large_320x320_coco.config).
    - "hard_negative": `mined_cross_entropy`, and a sum over the four codes; torchvision's SSD
      (torchvision/models/detection/ssd.py).

    Both sums run over the batch and are divided by the number of its anchors that have a box (by
    one if none has), so that a picture weighs as much as it has matches. Localisation is the
    smooth L1 distance (quadratic up to 1) of the codes of those anchors.
    """
    class_logits, codes = tf.cast(class_logits, tf.float32), tf.cast(codes, tf.float32)
    boxes, classes = tf.cast(boxes, tf.float32), tf.cast(classes, tf.int32)
    anchors = tf.convert_to_tensor(anchors, tf.float32)
    matched = match(anchors, boxes, classes, crowd)
    positive, negative = matched >= 0, matched == BACKGROUND

    # Anchors without a box take the one that is added here: slot 0, the background.
    row = tf.where(positive, matched, tf.shape(classes)[1])
    boxes = tf.pad(boxes, [[0, 0], [0, 1], [0, 0]])
    slots = tf.pad(classes + 1, [[0, 0], [0, 1]])
    slot = tf.gather(slots, row, batch_dims=1)
    target = geometry.encode(tf.gather(boxes, row, batch_dims=1), anchors)

    distance = tf.where(positive[..., None], smooth_l1(codes - target), 0.0)
    localisation = tf.reduce_sum(distance)
    if kind == "focal":
        localisation /= codes.shape[-1]  # normalize_loc_loss_by_codesize
        per_anchor = focal_loss(class_logits, slot, alpha, gamma)
        classification = tf.reduce_sum(tf.where(positive | negative, per_anchor, 0.0))
    elif kind == "hard_negative":
        classification = tf.reduce_sum(
            mined_cross_entropy(class_logits, slot, positive, negative, negatives_per_positive)
        )
    else:
        raise ValueError(f"No detection loss is called {kind!r}; use 'focal' or 'hard_negative'.")
    matches = tf.reduce_sum(tf.cast(positive, tf.float32))
    return (classification + localisation) / tf.maximum(matches, 1.0)


def smooth_l1(difference: Any) -> Any:
    """Elementwise: quadratic up to 1, linear beyond (Girshick, arXiv 1504.08083, equation 3)."""
    size = tf.abs(difference)
    return tf.where(size < 1, 0.5 * size**2, size - 0.5)


def focal_loss(logits: Any, slots: Any, alpha: float, gamma: float) -> Any:
    """(..., A), summed over slots: each of (..., A, C + 1) is a yes or no of its own.

    Lin et al., arXiv 1708.02002, equation 5: cross-entropy times (1 - p)^gamma, p being the
    probability of the right answer, times alpha where that is yes and 1 - alpha where it is no.
    Slot 0 of `slots` (..., A), the background, is a no to all, slot 0 too (the API's
    `encode_background_as_zeros`).
    """
    # A slot of -1 has a row of noes.
    yes = tf.one_hot(tf.where(slots > 0, slots, -1), logits.shape[-1], True, False)
    # Logit of the wrong answer. In logarithms the gradient is finite wherever sigmoids saturate.
    wrong = tf.where(yes, -logits, logits)
    cross_entropy = tf.nn.softplus(wrong)
    weight = tf.where(yes, alpha, 1 - alpha) * tf.exp(gamma * (wrong - cross_entropy))
    return tf.reduce_sum(weight * cross_entropy, -1)


def mined_cross_entropy(logits: Any, slots: Any, positive: Any, negative: Any, ratio: float) -> Any:
    """(N,): softmax cross-entropy over slots, of all positive anchors and the hardest negatives.

    For each positive anchor of a picture, its `ratio` negative ones of highest loss count; where
    there are fewer, all of them. A picture without positives costs nothing, as in torchvision.
    (There, positives count once more where negatives run out. They do not here.)
    """
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(slots, logits)
    found = tf.reduce_sum(tf.where(positive, each, 0.0), -1)
    hardest = tf.sort(tf.where(negative, each, 0.0), -1, "DESCENDING")
    counted = ratio * tf.reduce_sum(tf.cast(positive, tf.float32), -1, keepdims=True)
    counts = tf.range(tf.shape(each)[-1], dtype=tf.float32) < counted
    return found + tf.reduce_sum(tf.where(counts, hardest, 0.0), -1)
