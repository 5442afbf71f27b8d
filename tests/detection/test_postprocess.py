import math

import numpy as np
import pytest
import tensorflow as tf
from plain_boxes import overlap

from mnv3_tf.detection.boxes import detect_batch
from mnv3_tf.detection.postprocess import detect
from mnv3_tf.networks.anchors import generate

ANCHORS = generate([(6, 6), (3, 3), (2, 2), (1, 1)])

modes = pytest.mark.parametrize("mode", [lambda f: f, tf.function], ids=["eager", "graph"])
settings = pytest.mark.parametrize(
    "limits",
    [
        {},
        {"score_threshold": 0.6},
        {"score_threshold": 0.01, "iou_threshold": 0.3, "per_class": 4, "total": 300},
        {"per_class": 50, "total": 7},
    ],
)


def answers(seed, pictures=3, classes=5):
    """Scores that are all different, and boxes of which some leave the picture."""
    rng = np.random.default_rng(seed)
    codes = rng.normal(0, 3, (pictures, len(ANCHORS), 4)).astype(np.float32)
    codes[:, ::9, 0] += 100
    count = len(ANCHORS) * (classes + 1)
    scores = np.stack([rng.permutation(count) + 0.5 for _ in range(pictures)]) / count
    return codes, scores.reshape(pictures, len(ANCHORS), classes + 1).astype(np.float32)


def by_loops(codes, scores, score_threshold=1e-8, iou_threshold=0.6, per_class=100, total=100):
    """[(score, class, box)], class by class."""
    boxes = []
    for (ty, tx, th, tw), (cy, cx, h, w) in zip(codes.tolist(), ANCHORS.tolist(), strict=True):
        cy, cx = cy + ty / 10 * h, cx + tx / 10 * w
        h, w = h * math.exp(th / 5), w * math.exp(tw / 5)
        box = (cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2)
        boxes.append(tuple(min(1.0, max(0.0, value)) for value in box))
    found = []
    for label in range(scores.shape[1] - 1):
        kept = []
        for a in np.argsort(-scores[:, label + 1]):
            ymin, xmin, ymax, xmax = boxes[a]
            if scores[a, label + 1] <= score_threshold or ymax <= ymin or xmax <= xmin:
                continue
            if len(kept) < per_class and all(
                overlap(boxes[a], boxes[k]) <= iou_threshold for k in kept
            ):
                kept.append(a)
        found += [(float(scores[a, label + 1]), label, boxes[a]) for a in kept]
    return sorted(found, reverse=True)[:total]


@settings
def test_numpy_is_what_loops_say(limits):
    for codes, scores in zip(*answers(0), strict=True):
        found = detect(codes, scores, ANCHORS, **limits)
        expected = by_loops(codes, scores, **limits)
        np.testing.assert_array_equal(found.classes, [label for _, label, _ in expected])
        np.testing.assert_array_equal(found.scores, [score for score, _, _ in expected])
        np.testing.assert_allclose(found.boxes, [box for _, _, box in expected], atol=1e-5)
        assert (found.boxes.dtype, found.scores.dtype) == (np.float32, np.float32)
        assert found.classes.dtype == np.int32


@modes
@settings
def test_tensorflow_is_what_numpy_says(mode, limits):
    codes, scores = answers(7)
    boxes, classes, best = mode(lambda *a: detect_batch(*a, ANCHORS, **limits))(codes, scores)
    rows = limits.get("total", 100)
    assert (boxes.shape, classes.shape, best.shape) == ((3, rows, 4), (3, rows), (3, rows))
    assert classes.dtype == tf.int32
    for n in range(3):
        expected = detect(codes[n], scores[n], ANCHORS, **limits)
        count = len(expected.scores)
        assert count > 0
        np.testing.assert_array_equal(classes[n, :count], expected.classes)
        np.testing.assert_array_equal(best[n, :count], expected.scores)
        np.testing.assert_allclose(boxes[n, :count], expected.boxes, atol=1e-6)
        np.testing.assert_array_equal(classes[n, count:], -1)
        np.testing.assert_array_equal(best[n, count:], 0)


def test_nothing_is_found():
    codes, scores = answers(0)
    found = detect(codes[0], scores[0] * 0, ANCHORS)
    assert (found.boxes.shape, found.classes.shape, found.scores.shape) == ((0, 4), (0,), (0,))
    boxes, classes, best = detect_batch(codes, scores * 0, ANCHORS)
    assert not boxes.numpy().any()
    np.testing.assert_array_equal(classes, -1)
    np.testing.assert_array_equal(best, 0)


def test_the_threshold_itself_is_not_enough():
    codes, scores = answers(0)
    exactly = float(scores[0, 0, 1])
    limits = {"score_threshold": exactly, "total": 1000, "per_class": 1000, "iou_threshold": 1.0}
    found = detect(codes[0], scores[0], ANCHORS, **limits)
    assert found.scores.min() > exactly
    assert detect_batch(codes, scores, ANCHORS, **limits)[2].numpy()[0, len(found.scores)] == 0


def test_among_equal_scores_the_lower_class_then_the_lower_anchor_comes_first():
    scores = np.full((len(ANCHORS), 3), 0.5, np.float32)
    found = detect(np.zeros_like(ANCHORS), scores, ANCHORS, total=3, iou_threshold=1.0)
    assert found.classes.tolist() == [0, 0, 0]
    np.testing.assert_allclose((found.boxes[:, 2] - found.boxes[:, 0])[:1], [0.1], rtol=1e-6)
    every = detect(np.zeros_like(ANCHORS), scores, ANCHORS, per_class=2, total=1000)
    assert every.classes.tolist() == [0, 0, 1, 1]


def test_an_answer_that_is_not_a_number_is_no_detection():
    codes, scores = answers(0)
    codes[0, 0], scores[0, 1, 1] = np.nan, np.nan
    found = detect(codes[0], scores[0], ANCHORS)
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.scores).all()
    assert len(found.scores)


def test_together_every_anchor_has_its_best_class_and_all_suppress_one_another():
    rng = np.random.default_rng(3)
    anchors = np.concatenate([rng.uniform(0.2, 0.8, (60, 2)), rng.uniform(0.1, 0.4, (60, 2))], 1)
    codes = rng.normal(0, 1, (60, 4)).astype(np.float32)
    scores = rng.uniform(0, 1, (60, 4)).astype(np.float32)
    best = scores[:, 1:].max(1)
    # One class of the best scores is suppressed as all are together.
    alone = detect(codes, np.stack([best, best], 1), anchors)
    found = detect(codes, scores, anchors, together=True)
    np.testing.assert_array_equal(found.boxes, alone.boxes)
    np.testing.assert_array_equal(found.scores, alone.scores)
    for label, score in zip(found.classes, found.scores, strict=True):
        assert score in scores[:, 1 + label]
    assert len(set(found.classes)) == 3
    assert len(found.scores) < len(detect(codes, scores, anchors).scores)
