import numpy as np
import pytest
import tensorflow as tf
from plain_boxes import encoded, overlap, random_boxes

from mnv3_tf.detection import boxes, postprocess
from mnv3_tf.networks.anchors import generate

ANCHORS = generate([(3, 3), (2, 2), (1, 1)])


def test_the_two_forms_are_one_box():
    corners = tf.constant([[0.1, 0.2, 0.5, 0.4]])
    np.testing.assert_allclose(boxes.centres(corners), [[0.3, 0.3, 0.4, 0.2]], rtol=1e-6)
    np.testing.assert_allclose(boxes.corners(boxes.centres(corners)), corners, rtol=1e-6)


def test_overlap_is_of_each_with_each():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 3, 7), random_boxes(rng, 3, 4)
    found = boxes.iou(a, b)
    expected = [[[overlap(p, q) for q in b[n]] for p in a[n]] for n in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(postprocess.iou(a[0], b[0]), expected[0], atol=1e-6)


@pytest.mark.parametrize("box", [[0.5, 0.5, 0.5, 0.5], [0.2, 0.3, 0.2, 0.9], [0.9, 0.9, 0.1, 0.1]])
def test_an_empty_box_overlaps_nothing_and_has_a_code(box):
    box = np.array([box], np.float32)
    both = np.concatenate([box, [[0, 0, 1, 1]]]).astype(np.float32)
    for answer in (boxes.iou(box, both).numpy(), postprocess.iou(box, both)):
        np.testing.assert_array_equal(answer, [[0, 0]])
    assert np.isfinite(boxes.encode(tf.constant(box), ANCHORS)).all()


def test_code_of_a_box():
    truth = random_boxes(np.random.default_rng(1), 2, len(ANCHORS))
    codes = boxes.encode(truth, ANCHORS)
    expected = [[encoded(*pair) for pair in zip(row, ANCHORS, strict=True)] for row in truth]
    np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(boxes.decode(codes, ANCHORS), truth, atol=1e-6)
    np.testing.assert_allclose(postprocess.decode(codes[0].numpy(), ANCHORS), truth[0], atol=1e-6)


def test_a_code_of_zeros_is_the_anchor():
    found = boxes.decode(tf.zeros_like(ANCHORS), ANCHORS)
    np.testing.assert_allclose(found, boxes.corners(tf.constant(ANCHORS)), rtol=1e-6)


def test_a_wild_code_is_finite():
    wild = np.full_like(ANCHORS, 1e6)
    assert np.isfinite(boxes.decode(wild, ANCHORS)).all()
    assert np.isfinite(postprocess.decode(wild, ANCHORS)).all()
