"""A detector's raw answers to detections. Needs NumPy alone; postprocess_tf does batches.

After object_detection/core/post_processing.py of the TF Object Detection API: boxes are clipped
to the picture before they compete.
"""

from dataclasses import dataclass

import numpy as np

from mnv3_tf.networks.anchors import CODE_SCALES

SCORE_THRESHOLD = 1e-8
IOU_THRESHOLD = 0.6
PER_CLASS = 100
TOTAL = 100


@dataclass(frozen=True)
class Detections:
    """Of one picture, best first: `boxes` float32 (K, 4), ymin, xmin, ymax, xmax in [0, 1];
    `classes` int32 (K,), from 0, without the background; `scores` float32 (K,), in [0, 1].
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


def detect(
    codes: np.ndarray,
    scores: np.ndarray,
    anchors: np.ndarray,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
    per_class: int = PER_CLASS,
    total: int = TOTAL,
    together: bool = False,
) -> Detections:
    """Non-maximum suppression within each class, of one picture.

    `codes` (A, 4) are relative to `anchors` (A, 4); `scores` (A, C + 1) are in [0, 1], slot 0
    being the background. A class' boxes above `score_threshold` are taken best first, unless one
    taken before overlaps by more than `iou_threshold`; `per_class` of a class and `total` of all
    at most. Among equal scores the lower class, then the lower anchor comes first. A box outside
    of the picture is no detection. With `together` each anchor has its best class alone, and boxes
    of all classes suppress one another, as TFLite_Detection_PostProcess does.
    """
    boxes = np.clip(decode(np.asarray(codes, np.float32), anchors), 0, 1)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
    # (C, A); what can be taken no more is -1.
    left = np.array(scores[:, 1:].T, np.float32, order="C")
    left[~(inside & (left > score_threshold))] = -1
    if together:
        left[np.arange(len(left))[:, np.newaxis] != left.argmax(0)] = -1

    # Best first over all classes at once gives what each class alone and a sort would, and can
    # stop at `total`.
    room = np.full(len(left), per_class)
    taken: list[tuple[int, int]] = []
    found: list[float] = []
    while len(taken) < total and left.size:
        label, anchor = divmod(int(left.argmax()), left.shape[1])
        if left[label, anchor] < 0:
            break
        taken.append((label, anchor))
        found.append(left[label, anchor])
        room[label] -= 1
        left[label, anchor] = -1
        near = iou(boxes[anchor : anchor + 1], boxes)[0] > iou_threshold
        left[slice(None) if together else label, near] = -1
        if room[label] == 0:
            left[label] = -1
    labels, rows = np.array(taken, np.int32).reshape(-1, 2).T
    return Detections(boxes[rows], labels, np.array(found, np.float32))


def decode(codes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Codes (A, 4) to corners (A, 4); what boxes.decode does with tensors."""
    codes = codes / np.array(CODE_SCALES, np.float32)
    centre = codes[:, :2] * anchors[:, 2:] + anchors[:, :2]
    half = np.exp(np.minimum(codes[:, 2:], 80)) * anchors[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], 1)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M): intersection over union of corners (N, 4) and (M, 4); 0 where one is empty."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.maximum(high - low, 0).prod(2)
    areas = [np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - both
    return both / np.where(union > 0, union, 1)


def agreement(
    expected: Detections, found: Detections, score: float = 0.5, overlap: float = 0.75
) -> tuple[int, int]:
    """How many of `expected`'s detections `found` has too, and how many there are.

    Those count that have at least `score`. A partner is of the same class, overlaps by at least
    `overlap` IoU and has at least half of `score`: a score that moves across the threshold by a
    little is agreement, an object that is all but lost is not. Each partner serves once; the best
    of `expected` choose first, and take what they overlap most.
    """
    sure = np.flatnonzero(expected.scores >= score)
    sure = sure[np.argsort(-expected.scores[sure], kind="stable")]
    both = iou(expected.boxes[sure], found.boxes)
    same = expected.classes[sure][:, None] == found.classes[None]
    both[~same | (both < overlap) | (found.scores < score / 2)] = -1
    agreed = 0
    for row in both:
        if len(row) and row.max() >= 0:
            both[:, row.argmax()] = -1
            agreed += 1
    return agreed, len(sure)
