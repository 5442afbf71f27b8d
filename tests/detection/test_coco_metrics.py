import numpy as np
import pytest
from plain_boxes import overlap, random_boxes

from mnv3_tf.detection.coco_metrics import Evaluator
from mnv3_tf.detection.postprocess import Detections

NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.float32))
NO_TRUTH = np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, bool)


def detections(boxes, classes, scores):
    return Detections(np.array(boxes, np.float32), np.array(classes), np.array(scores, np.float32))


def test_an_example_worked_by_hand(capsys):
    """A small object found exactly, a false detection, a large one found with IoU 0.82."""
    evaluator = Evaluator(2)
    evaluator.add(
        detections(
            [[0, 0, 0.1, 0.1], [0.7, 0.1, 0.95, 0.35], [0.2, 0.4, 0.7, 0.81]], [0, 0, 0], [3, 2, 1]
        ),
        np.array([[0, 0, 0.1, 0.1], [0.2, 0.4, 0.7, 0.9]]),
        np.array([0, 0]),
        np.array([False, False]),
        (200, 200),
    )
    result = evaluator.result()
    # Recall 0 to 0.5, 51 points of 101, is of precision 1; beyond it is 2/3, up to IoU 0.8.
    both, one = (51 + 50 * 2 / 3) / 101, 51 / 101
    assert result == {
        "map": pytest.approx(0.7 * both + 0.3 * one),
        "map50": pytest.approx(both),
        "map75": pytest.approx(both),
        "map_small": pytest.approx(1.0),
        "map_medium": None,
        "map_large": pytest.approx(0.7),
        "recall100": pytest.approx(0.7 * 1 + 0.3 * 0.5),
        "per_class": [pytest.approx(both), None],
    }
    assert capsys.readouterr().out == ""


def average_precision(pictures, label):
    """At IoU 0.5, of [(Detections, boxes, classes)]; None if there is nothing to find."""
    hits, truths = [], 0
    for found, boxes, classes in pictures:
        left = [box for box, c in zip(boxes, classes, strict=True) if c == label]
        truths += len(left)
        for k in np.argsort(-found.scores):
            if found.classes[k] != label:
                continue
            values = [overlap(found.boxes[k].astype(float), box.astype(float)) for box in left]
            hit = bool(values) and max(values) >= 0.5
            if hit:
                left.pop(int(np.argmax(values)))
            hits.append((float(found.scores[k]), hit))
    if not truths:
        return None
    right, points = 0, []
    for count, (_, hit) in enumerate(sorted(hits, reverse=True), 1):
        right += hit
        points.append((right / truths, right / count))
    thresholds = [step / 100 for step in range(101)]
    best = [max([p for r, p in points if r >= t - 1e-12], default=0) for t in thresholds]
    return sum(best) / 101


def test_average_precision_is_what_loops_say():
    rng = np.random.default_rng(0)
    evaluator, pictures = Evaluator(4), []
    for _ in range(12):
        truths = random_boxes(rng, 6)
        labels = rng.integers(0, 3, 6)  # the fourth class never occurs, but is found
        near = truths + rng.normal(0, 0.03, truths.shape).astype(np.float32)
        boxes = np.concatenate([near, random_boxes(rng, 8)])
        classes = np.concatenate([labels, rng.integers(0, 4, 8)])
        found = Detections(boxes, classes, rng.random(14).astype(np.float32))
        evaluator.add(found, truths, labels, np.zeros(6, bool), (300, 400))
        pictures.append((found, truths, labels))
    result = evaluator.result()
    expected = [average_precision(pictures, label) for label in range(4)]
    assert expected[3] is None
    assert all(0.1 < value < 0.99 for value in expected[:3])
    assert result["per_class"] == [*map(pytest.approx, expected[:3]), None]
    assert result["map50"] == pytest.approx(np.mean(expected[:3]))


def test_what_lies_in_a_crowd_is_not_wrong():
    crowd = np.array([[0, 0, 0.5, 1], [0.6, 0.6, 0.9, 0.9]])
    found = detections([[0.1, 0.1, 0.3, 0.2], [0.6, 0.6, 0.9, 0.9]], [0, 0], [0.9, 0.8])
    precision = []
    for many in ([True, False], [False, False]):
        evaluator = Evaluator(1)
        evaluator.add(found, crowd, np.array([0, 0]), np.array(many), (100, 100))
        precision.append(evaluator.result()["map50"])
    assert precision[0] == pytest.approx(1)
    assert precision[1] < 0.5


def test_rows_that_only_pad():
    box = np.array([[0, 0, 0.5, 0.5], [0, 0, 0, 0]])
    evaluator = Evaluator(1)
    found = detections(box, [0, -1], [0.5, 0])
    evaluator.add(found, box, np.array([0, -1]), np.array([False, False]), (50, 50))
    assert evaluator.result()["map"] == pytest.approx(1)


def test_nothing_is_found():
    evaluator = Evaluator(1)
    evaluator.add(NOTHING, np.array([[0, 0, 0.5, 0.5]]), np.array([0]), np.array([False]), (50, 50))
    result = evaluator.result()
    assert (result["map"], result["recall100"], result["per_class"]) == (0, 0, [0])


@pytest.mark.parametrize("found", [NOTHING, detections([[0, 0, 1, 1]], [1], [0.5])])
def test_nothing_is_to_be_found(found):
    evaluator = Evaluator(2)
    evaluator.add(found, *NO_TRUTH, (50, 50))
    result = evaluator.result()
    assert result.pop("per_class") == [None, None]
    assert set(result.values()) == {None}


def test_no_pictures():
    assert Evaluator(1).result()["map"] is None
