import numpy as np
import pytest
import tensorflow as tf
from plain_boxes import matches, random_boxes

from mnv3_tf.detection.losses import match
from mnv3_tf.networks.anchors import generate

ANCHORS = generate([(8, 8), (4, 4), (2, 2), (1, 1)])
SQUARES = np.array([[0.25, 0.25, 0.5, 0.5], [0.25, 0.75, 0.5, 0.5]], np.float32)
"""Anchors that fill the upper quarters of the picture, left and right."""


def one(anchors, boxes, classes=None, crowd=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    classes = np.zeros(len(boxes), np.int32) if classes is None else np.array(classes, np.int32)
    return match(anchors, boxes, classes, crowd).numpy().tolist()


@pytest.mark.parametrize("seed", range(2))
def test_it_is_what_loops_say(seed):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 6, 9)
    classes = rng.integers(-1, 4, (6, 9)).astype(np.int32)
    crowd = rng.random((6, 9)) < 0.3
    classes[0] = -1  # a picture of nothing
    expected = [matches(ANCHORS, *picture) for picture in zip(boxes, classes, crowd, strict=True)]
    assert {-2, -1, 0, 1} <= set(np.ravel(expected))
    for mode in (lambda f: f, tf.function):
        found = mode(match)(ANCHORS, boxes, classes, crowd)
        assert found.dtype == tf.int32
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(match(ANCHORS, boxes[1], classes[1], crowd[1]), expected[1])


def test_a_box_gets_its_best_anchor_below_the_threshold():
    assert one(SQUARES, [0, 0, 0.2, 0.2]) == [0, -1]


def test_an_anchor_takes_what_it_overlaps_most():
    # Each has its own; the third box, next best for the first anchor, gets none.
    assert one(SQUARES, [[0, 0, 0.5, 0.45], [0, 0.5, 0.5, 1]]) == [0, 1]


def test_a_forced_match_overrides():
    # The first anchor is the best of both boxes. It would take the second, of IoU 1.
    assert one(SQUARES, [[0, 0, 0.2, 0.2], [0, 0, 0.5, 0.5]]) == [0, -1]


def test_of_two_boxes_that_want_one_anchor_the_earlier_gets_it():
    assert one(SQUARES, [[0, 0, 0.2, 0.2], [0, 0, 0.1, 0.1]]) == [0, -1]
    assert one(SQUARES, [[0, 0, 0.1, 0.1], [0, 0, 0.2, 0.2]]) == [0, -1]


def test_the_first_of_equals():
    middle = [0.0, 0.25, 0.5, 0.75]
    assert one(SQUARES, middle) == [0, -1]
    assert one(SQUARES[:1], [[0, 0, 0.5, 0.5]] * 2) == [0]


@pytest.mark.parametrize("box", [[0.3, 0.3, 0.3, 0.3], [0.6, 0.6, 0.9, 0.9]])
def test_a_box_that_overlaps_no_anchor_gets_none(box):
    assert one(SQUARES, box) == [-1, -1]


def test_a_crowd_is_ignored():
    crowd = [0, 0, 0.5, 0.5]
    assert one(SQUARES, crowd, crowd=np.array([True])) == [-2, -1]
    both = [crowd, [0, 0, 0.5, 0.4]]
    assert one(SQUARES, both, crowd=np.array([True, False])) == [1, -1]
    assert one(SQUARES, crowd, classes=[-1], crowd=np.array([True])) == [-1, -1]


def test_no_rows_at_all():
    empty = np.zeros((2, 0), np.int32), np.zeros((2, 0), bool)
    np.testing.assert_array_equal(match(SQUARES, np.zeros((2, 0, 4), np.float32), *empty), -1)


def test_an_overlap_of_exactly_the_threshold_is_enough():
    anchors = np.array([[0.5, 0.5, 1, 1], [0.25, 0.5, 0.5, 1], [0.125, 0.5, 0.25, 1]], np.float32)
    whole = np.array([[0, 0, 1, 1]], np.float32)
    assert one(anchors, whole) == [0, 0, -1]
    quarter = match(anchors, whole, np.zeros(1, np.int32), threshold=0.25)
    assert quarter.numpy().tolist() == [0, 0, 0]
    # A crowd takes in what it overlaps by as much.
    assert one(anchors, whole, crowd=np.ones(1, bool)) == [-2, -2, -1]
