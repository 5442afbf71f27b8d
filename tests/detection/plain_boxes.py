"""Boxes by the book, one at a time, in Python's own numbers."""

import math

import numpy as np


def overlap(a, b):
    """Intersection over union of two (ymin, xmin, ymax, xmax)."""
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    if height <= 0 or width <= 0:
        return 0.0
    both = height * width
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def to_corners(box):
    cy, cx, h, w = map(float, box)
    return cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2


def encoded(box, anchor):
    cy, cx, h, w = map(float, anchor)
    ymin, xmin, ymax, xmax = map(float, box)
    return (
        10 * ((ymin + ymax) / 2 - cy) / h,
        10 * ((xmin + xmax) / 2 - cx) / w,
        5 * math.log((ymax - ymin) / h),
        5 * math.log((xmax - xmin) / w),
    )


def matches(anchors, boxes, classes, crowd, threshold=0.5):
    """For each anchor a row, -1 or -2, of one picture."""
    answer = []
    for anchor in anchors:
        best, row, near_crowd = 0.0, -1, False
        for m, box in enumerate(boxes):
            value = overlap(to_corners(anchor), box)
            if classes[m] >= 0 and crowd[m]:
                near_crowd |= value >= threshold
            elif classes[m] >= 0 and value > best:
                best, row = value, m
        answer.append(row if best >= threshold else -2 if near_crowd else -1)
    forced = set()
    for m, box in enumerate(boxes):
        if classes[m] < 0 or crowd[m]:
            continue
        values = [overlap(to_corners(anchor), box) for anchor in anchors]
        best = max(range(len(values)), key=values.__getitem__)
        if values[best] > 0 and best not in forced:
            forced.add(best)
            answer[best] = m
    return answer


def random_boxes(rng, *shape, smallest=0.02):
    """Corners float32 (*shape, 4) within the picture."""
    low = rng.uniform(0, 0.9, (*shape, 2))
    high = low + rng.uniform(smallest, 0.6, (*shape, 2))
    return np.concatenate([low, np.minimum(high, 1)], -1).astype(np.float32)
