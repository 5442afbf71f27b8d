import numpy as np
import pytest
from plain_boxes import random_boxes

from mnv3_tf.detection.postprocess import Detections, agreement

BOX = [0.2, 0.2, 0.6, 0.6]
NARROWER = [0.2, 0.2, 0.6, 0.52]  # IoU 0.8
NARROW = [0.2, 0.2, 0.6, 0.48]  # IoU 0.7


def some(*rows):
    """Of rows (box, class, score)."""
    boxes, classes, scores = zip(*rows, strict=True) if rows else ((), (), ())
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int32),
        np.array(scores, np.float32),
    )


def test_a_picture_agrees_with_itself():
    rng = np.random.default_rng(0)
    rows = zip(random_boxes(rng, 20), rng.integers(0, 3, 20), rng.random(20), strict=True)
    one = some(*rows)
    count = int((one.scores >= 0.5).sum())
    assert agreement(one, one) == (count, count)


@pytest.mark.parametrize(
    ("partner", "agreed"),
    [
        ((BOX, 1, 0.9), 1),
        ((NARROWER, 1, 0.9), 1),
        ((NARROW, 1, 0.9), 0),
        ((BOX, 2, 0.9), 0),
        ((BOX, 1, 0.3), 1),  # below the threshold, by a little
        ((BOX, 1, 0.2), 0),
    ],
)
def test_who_is_a_partner(partner, agreed):
    assert agreement(some((BOX, 1, 0.9)), some(partner)) == (agreed, 1)


def test_each_partner_serves_once():
    two = some((BOX, 1, 0.9), (NARROWER, 1, 0.8))
    assert agreement(two, some((BOX, 1, 0.9))) == (1, 2)
    # The better one leaves to the other what it overlaps less.
    assert agreement(two, some((NARROWER, 1, 0.9), (BOX, 1, 0.9))) == (2, 2)


def test_what_is_unsure_is_not_asked_for():
    assert agreement(some((BOX, 1, 0.4)), some()) == (0, 0)


def test_nothing_found():
    assert agreement(some((BOX, 1, 0.9)), some()) == (0, 1)
    assert agreement(some(), some((BOX, 1, 0.9))) == (0, 0)
