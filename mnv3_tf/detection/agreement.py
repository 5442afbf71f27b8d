"""Do two versions of a detector say the same of a picture? Needs NumPy alone."""

import numpy as np

from mnv3_tf.detection.postprocess import Detections, iou


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
