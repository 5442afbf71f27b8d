import math

import numpy as np
import pytest
import tensorflow as tf
from plain_boxes import encoded, matches, random_boxes

from mnv3_tf.detection.losses import DetectionLoss, Truth, focal_loss, smooth_l1
from mnv3_tf.networks.anchors import generate

ANCHORS = generate([(4, 4), (2, 2), (1, 1)])
CLASSES = 4

kinds = pytest.mark.parametrize("kind", ["focal", "hard_negative"])


def batch(seed, pictures=4, rows=5):
    """Answers and truth; the first picture has no boxes, the last has every kind."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (pictures, len(ANCHORS), CLASSES + 1)).astype(np.float32)
    codes = rng.normal(0, 2, (pictures, len(ANCHORS), 4)).astype(np.float32)
    boxes = random_boxes(rng, pictures, rows, smallest=0.2)
    classes = rng.integers(-1, CLASSES, (pictures, rows)).astype(np.int32)
    crowd = rng.random((pictures, rows)) < 0.3
    classes[0] = -1
    classes[-1], crowd[-1] = [3, 0, 1, -1, 2], [False, True, False, False, True]
    return logits, codes, boxes, classes, crowd


def huber(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def by_loops(logits, codes, boxes, classes, crowd, kind):
    classification = localisation = 0.0
    count = 0
    for n in range(len(logits)):
        negatives, positives = [], 0
        for a, row in enumerate(matches(ANCHORS, boxes[n], classes[n], crowd[n])):
            slot = int(classes[n][row]) + 1 if row >= 0 else 0
            scores = logits[n][a].astype(float)
            if row >= 0:
                positives += 1
                target = encoded(boxes[n][row], ANCHORS[a])
                for t, found in zip(target, codes[n][a], strict=True):
                    localisation += huber(float(found) - t)
            if row == -2:
                continue
            if kind == "focal":
                for c, z in enumerate(scores):
                    yes = c == slot and c > 0
                    p = sigmoid(z) if yes else 1 - sigmoid(z)
                    classification -= (0.75 if yes else 0.25) * (1 - p) ** 2 * math.log(p)
            else:
                loss = math.log(sum(math.exp(z) for z in scores)) - scores[slot]
                if row >= 0:
                    classification += loss
                else:
                    negatives.append(loss)
        classification += sum(sorted(negatives, reverse=True)[: 3 * positives]) if positives else 0
        count += positives
    if kind == "focal":
        localisation /= 4
    return (classification + localisation) / max(1, count)


@kinds
def test_it_is_what_loops_say(kind):
    plain = DetectionLoss(kind)
    graph = tf.function(plain)
    for seed in range(2):
        arguments = batch(seed)
        expected = pytest.approx(by_loops(*arguments, kind), rel=1e-5)
        logits, codes, *truth = arguments
        for loss in (plain, graph):
            found = loss(logits, codes, Truth(*truth), ANCHORS)
            assert found.dtype == tf.float32
            assert float(found) == expected


def gradients(logits, codes, *truth, kind):
    logits, codes = tf.Variable(logits), tf.Variable(codes)
    with tf.GradientTape() as tape:
        loss = DetectionLoss(kind)(logits, codes, Truth(*truth), ANCHORS)
    return loss, *tape.gradient(loss, [logits, codes])


@kinds
@pytest.mark.parametrize("rows", [0, 5])
def test_pictures_of_nothing(kind, rows):
    logits, codes, boxes, classes, crowd = batch(0)
    truth = boxes[:, :rows], np.full_like(classes[:, :rows], -1), crowd[:, :rows]
    loss, of_logits, of_codes = gradients(logits, codes, *truth, kind=kind)
    assert np.isfinite(loss)
    assert np.isfinite(of_logits).all()
    assert not of_codes.numpy().any()
    # Focal loss learns from background alone; mining finds nothing to weigh it against.
    assert of_logits.numpy().any() == (kind == "focal")


@kinds
@pytest.mark.parametrize("size", [0.0, 1e4])
def test_gradients_are_finite_wherever_the_answers_are(kind, size):
    logits, codes, boxes, classes, crowd = batch(1)
    boxes[1, 0] = 0.5  # an empty box
    wild = np.sign(logits) * size, np.sign(codes) * size
    for answer in gradients(*wild, boxes, classes, crowd, kind=kind):
        assert np.isfinite(answer).all()


@kinds
def test_crowds_and_anchors_without_a_box_teach_no_place(kind):
    arguments = batch(2)
    _, of_logits, of_codes = gradients(*arguments, kind=kind)
    for n, picture in enumerate(zip(*arguments[2:], strict=True)):
        rows = np.array(matches(ANCHORS, *picture))
        np.testing.assert_array_equal(of_codes[n].numpy().any(-1), rows >= 0)
        assert not of_logits[n].numpy()[rows == -2].any()


def test_mining_takes_all_negatives_where_there_are_few():
    logits = tf.zeros((1, 2, 3))
    anchors = np.array([[0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 0.5, 0.5]], np.float32)
    truth = np.array([[[0, 0, 0.5, 0.5]]], np.float32), np.array([[1]]), np.array([[False]])
    loss = DetectionLoss("hard_negative")(logits, tf.zeros((1, 2, 4)), Truth(*truth), anchors)
    assert float(loss) == pytest.approx(2 * math.log(3))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradient_of_focal_loss_is_the_papers(gamma):
    # Appendix B, with x the logit times 1 or -1: (1 - p)^gamma (gamma p log(p) + p - 1).
    logits = np.linspace(-6, 6, 13)[:, None] * [0.0, 1.0]
    variable = tf.Variable(logits, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = focal_loss(variable, tf.ones(13, tf.int32), 1.0, gamma)
    p = 1 / (1 + np.exp(-logits[:, 1]))
    expected = (1 - p) ** gamma * (gamma * p * np.log(p) + p - 1)
    np.testing.assert_allclose(loss, -((1 - p) ** gamma) * np.log(p), rtol=1e-4)
    np.testing.assert_allclose(tape.gradient(loss, variable)[:, 1], expected, rtol=1e-3)


def test_half_precision_answers_are_taken_in_full():
    logits, codes, *truth = batch(4)
    half = [tf.cast(answer, tf.float16) for answer in (logits, codes)]
    found = DetectionLoss("focal")(*half, Truth(*truth), ANCHORS)
    assert found.dtype == tf.float32
    assert float(found) == pytest.approx(by_loops(*map(np.array, half), *truth, "focal"), rel=1e-5)


def test_smooth_l1():
    x = np.linspace(-3, 3, 25)
    np.testing.assert_allclose(smooth_l1(tf.constant(x)), [huber(v) for v in x])


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="'hinge'"):
        DetectionLoss("hinge")
