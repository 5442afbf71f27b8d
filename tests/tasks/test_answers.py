"""Answers of a classifier, class by class, against counts by hand and scikit-learn's formulas."""

import numpy as np
import pytest

from mnv3_tf.tasks.answers import MOST_MISTAKES, Answers

RNG = np.random.default_rng(0)


def collected(truths, scores, batch=3):
    answers = Answers()
    pictures = np.linspace(-1, 1, len(truths))[:, None, None, None] * np.ones((1, 2, 2, 3))
    for start in range(0, len(truths), batch):
        part = slice(start, start + batch)
        answers.add(pictures[part], truths[part], scores[part])
    return answers


def test_two_faulty_parts_of_two_that_are_missed():
    truths = np.array([0] * 60 + [1] * 2)
    found = collected(truths, np.tile([0.9, 0.1], (62, 1))).named(["good", "faulty"])
    assert found.matrix.tolist() == [[60, 0], [2, 0]]
    assert found.as_json() == {
        "per_class": [
            {"name": "good", "images": 60, "precision": 60 / 62, "recall": 1.0},
            {"name": "faulty", "images": 2, "precision": None, "recall": 0.0},
        ],
        "balanced_accuracy": 0.5,
        "confusion": [[60, 0], [2, 0]],
    }
    assert found.missed == [1]


def test_precision_and_recall_by_their_definitions():
    truths, answered = RNG.integers(0, 3, 100), RNG.integers(0, 4, 100)
    found = collected(truths, np.eye(4)[answered]).named("abc")
    assert found.names == ("a", "b", "c", "class 3")
    for index in range(3):
        right = ((truths == index) & (answered == index)).sum()
        assert found.recall[index] == pytest.approx(right / (truths == index).sum())
        assert found.precision[index] == pytest.approx(right / (answered == index).sum())
    assert (found.images[3], found.recall[3]) == (0, None)
    assert found.balanced_accuracy == pytest.approx(np.mean(found.recall[:3]))
    wrong = found.confusions()
    assert sum(count for *_, count in wrong) == (truths != answered).sum()
    assert [count for *_, count in wrong] == sorted((count for *_, count in wrong), reverse=True)


def test_the_surest_mistakes_are_kept_with_their_pictures():
    count = 3 * MOST_MISTAKES
    sure = RNG.permutation(np.linspace(0.5, 0.99, count))
    truths = np.arange(count) % 2
    # Every other one is right.
    scores = np.stack([1 - sure, sure], 1)
    found = collected(truths, scores).named(["a", "b"])
    wrong = np.flatnonzero(truths == 0)
    wanted = wrong[np.argsort(-sure[wrong])][:MOST_MISTAKES]
    assert [one.place for one in found.mistakes] == wanted.tolist()
    first = found.mistakes[0]
    assert (first.truth, first.answer) == (0, 1)
    assert first.confidence == pytest.approx(sure[first.place], abs=1e-6)
    shown = np.linspace(0, 255, count)[first.place]
    assert first.picture.dtype == np.uint8
    np.testing.assert_allclose(first.picture, shown, atol=0.51)


def test_logits_have_the_probability_of_their_softmax_and_gaps_count_for_nothing():
    found = collected(np.array([1, -1]), np.array([[2.0, 0.0], [5.0, 0.0]])).named(["a", "b"])
    (mistake,) = found.mistakes
    assert mistake.confidence == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert found.images == [0, 1]


def test_of_no_pictures_nothing_is_known():
    found = Answers().named(["a"])
    assert (found.balanced_accuracy, found.as_json()["confusion"]) == (None, [])
