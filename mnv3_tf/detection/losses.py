"""The two losses that detectors of this family were trained with, and which object each anchor
has to find.

Matching is after object_detection/matchers/argmax_matcher.py of the TF Object Detection API, with
one threshold and `force_match_for_each_row`.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from mnv3_tf.detection import boxes as geometry

BACKGROUND = -1
IGNORED = -2


class Truth(NamedTuple):
    """Of a batch: `boxes` (N, M, 4), corners in [0, 1], `classes` (N, M) in [0, C), below 0 in
    rows that only pad, and `crowd` bool (N, M), of boxes around a group of objects.
    """

    boxes: Any
    classes: Any
    crowd: Any


@dataclass(frozen=True)
class DetectionLoss:
    """Classification plus localisation.

    - "focal": `focal_loss` summed over anchors and slots, and a mean over the four codes; the
      TF Object Detection API's configuration of SSDLite with MobileNetV3
      (samples/configs/ssdlite_mobilenet_v3_large_320x320_coco.config).
    - "hard_negative": `mined_cross_entropy`, and a sum over the four codes; torchvision's SSD
      (torchvision/models/detection/ssd.py).

    Both sums run over the batch and are divided by the number of its anchors that have a box (by
    one if none has), so that a picture weighs as much as it has matches. Localisation is the
    smooth L1 distance (quadratic up to 1) of the codes of those anchors.
    """

    kind: Literal["focal", "hard_negative"]
    alpha: float = 0.75
    gamma: float = 2.0
    negatives_per_positive: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in ("focal", "hard_negative"):
            raise ValueError(
                f"No detection loss is called {self.kind!r}; use 'focal' or 'hard_negative'."
            )

    def __call__(self, class_logits: Any, codes: Any, truth: Truth, anchors: Any) -> Any:
        """A float32 scalar.

        The network's answers are `class_logits` (N, A, C + 1), slot 0 being the background, and
        `codes` (N, A, 4), relative to `anchors` (A, 4).
        """
        class_logits, codes = tf.cast(class_logits, tf.float32), tf.cast(codes, tf.float32)
        boxes, classes = tf.cast(truth.boxes, tf.float32), tf.cast(truth.classes, tf.int32)
        anchors = tf.convert_to_tensor(anchors, tf.float32)
        matched = match(anchors, boxes, classes, truth.crowd)
        positive, negative = matched >= 0, matched == BACKGROUND

        # Anchors without a box take the one that is added here: slot 0, the background.
        row = tf.where(positive, matched, tf.shape(classes)[1])
        boxes = tf.pad(boxes, [[0, 0], [0, 1], [0, 0]])
        slots = tf.pad(classes + 1, [[0, 0], [0, 1]])
        slot = tf.gather(slots, row, batch_dims=1)
        target = geometry.encode(tf.gather(boxes, row, batch_dims=1), anchors)

        distance = tf.where(positive[..., None], smooth_l1(codes - target), 0.0)
        localisation = tf.reduce_sum(distance)
        if self.kind == "focal":
            localisation /= codes.shape[-1]  # normalize_loc_loss_by_codesize
            per_anchor = focal_loss(class_logits, slot, self.alpha, self.gamma)
            classification = tf.reduce_sum(tf.where(positive | negative, per_anchor, 0.0))
        else:
            classification = tf.reduce_sum(
                mined_cross_entropy(
                    class_logits, slot, positive, negative, self.negatives_per_positive
                )
            )
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
