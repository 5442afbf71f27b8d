import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.segmentation import confusion, summary

modes = pytest.mark.parametrize("mode", [lambda f: f, tf.function], ids=["eager", "graph"])


def masks(seed, classes):
    """Labels, some of them 255, and predictions that are right more often than not."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, (2, 9, 7)).astype(np.uint8)
    predicted = np.where(rng.random(labels.shape) < 0.6, labels, rng.choice(classes, labels.shape))
    labels[rng.random(labels.shape) < 0.2] = 255
    return labels, predicted


@modes
def test_confusion_is_what_loops_say(mode):
    labels, predicted = masks(0, [0, 1, 3])
    expected = np.zeros((5, 5), np.int64)
    for truth, answer in zip(labels.ravel(), predicted.ravel(), strict=True):
        if truth != 255:
            expected[truth, answer] += 1
    found = mode(lambda *a: confusion(*a, 5))(labels, predicted)
    assert found.dtype == tf.int64
    np.testing.assert_array_equal(found, expected)


def test_another_label_may_be_the_ignored_one():
    found = confusion(np.array([0, 1, 2]), np.array([0, 1, 1]), 2, ignored=2)
    np.testing.assert_array_equal(found, [[1, 0], [0, 1]])


@modes
@pytest.mark.parametrize(("label", "answer", "word"), [(2, 0, "Labels"), (0, 2, "Predictions")])
def test_a_class_that_does_not_exist(mode, label, answer, word):
    count = mode(lambda *a: confusion(*a, 2))
    with pytest.raises(tf.errors.InvalidArgumentError, match=word):
        count(tf.constant([label]), tf.constant([answer]))


@pytest.mark.parametrize("seed", range(3))
def test_summary_is_what_loops_say(seed):
    labels, predicted = masks(seed, [0, 2, 3])
    expected = []
    for label in range(5):
        both = either = 0
        for truth, answer in zip(labels.ravel(), predicted.ravel(), strict=True):
            if truth != 255:
                both += truth == label and answer == label
                either += truth == label or answer == label
        expected.append(both / either if either else None)
    found = summary(confusion(labels, predicted, 5))
    assert found["per_class"][1] is None
    assert found["per_class"][4] is None
    assert found["per_class"] == expected
    assert found["miou"] == pytest.approx(np.mean([v for v in expected if v is not None]))
    counted = labels != 255
    assert found["pixel_accuracy"] == pytest.approx(np.mean((labels == predicted)[counted]))


def test_a_class_that_is_predicted_but_absent_counts_as_nought():
    assert summary(np.array([[3, 0, 1], [0, 4, 0], [0, 0, 0]])) == {
        "miou": pytest.approx((0.75 + 1 + 0) / 3),
        "pixel_accuracy": 0.875,
        "per_class": [0.75, 1.0, 0.0],
    }


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_truth_of_one_class_has_nothing_to_tell_apart(wrong):
    found = summary(np.array([[3, wrong], [0, 0]]))
    assert found["miou"] is None
    assert found["pixel_accuracy"] == 3 / (3 + wrong)


def test_no_pixels():
    nothing = {"miou": None, "pixel_accuracy": None, "per_class": [None, None]}
    assert summary(np.zeros((2, 2), np.int64)) == nothing
