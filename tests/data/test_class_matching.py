"""Classes of a dataset among those of a model: by name, or in one sentence not at all."""

import numpy as np
import pytest
import tensorflow as tf
from refusals import refused

from mnv3_tf.data.class_matching import Matching, match, unmatched
from mnv3_tf.data.dataset import Dataset


def of(*names, numbered=False):
    return Dataset("d", names, None, None, numbered=numbered)


@pytest.mark.parametrize(
    ("names", "model", "table"),
    [
        ("ab", "ab", None),
        ("ab", "abc", None),
        ("ac", "abc", (0, 2)),
        ("ba", "abc", (1, 0)),
        # Folders called by numbers come in the order of their letters.
        (("0", "1", "10", "2"), tuple(map(str, range(11))), (0, 1, 10, 2)),
        # Of two classes of one name the one at the same place.
        (("a", "b"), ("a", "b", "a"), None),
    ],
)
def test_names_decide(names, model, table):
    assert match(of(*names), tuple(model), len(model), "m") == Matching(table)


def test_tables_of_numbers():
    """A class called by its own index has no name."""
    numbers = of("0", "1", numbered=True)
    assert match(numbers, ("a", "b", "c"), 3, "m") == Matching(
        None, "d names no classes, so its class_index 0 is taken for a"
    )
    assert match(numbers, None, 5, "m") == Matching()
    assert match(of("b", "a", numbered=True), ("a", "b"), 2, "m") == Matching((1, 0))
    # One that occurs nowhere has no name either.
    assert match(of("a", "1", "c", numbered=True), tuple("abc"), 3, "m") == Matching()


@pytest.mark.parametrize(
    ("dataset", "names", "classes", "named"),
    [
        (of("a", "d"), tuple("abc"), 3, ("d has the class d", "m knows a, b, c")),
        (of("0", "1"), tuple("ab"), 2, "d has the classes 0, 1"),
        (of("0", "1", "2", numbered=True), tuple("ab"), 2, "d has the class 2"),
        (of("x", "a"), ("a", "x", "a"), 3, "m has several classes called a"),
        (of("b", "1", numbered=True), tuple("ab"), 2, "names some classes"),
        (of("a", "b"), None, 3, ("d has 2 classes, but m has 3", "--labels=FILE")),
        (of("a", "b", numbered=True), None, 1, "d has 2 classes, but m has 1"),
    ],
)
def test_what_may_mean_another_class(dataset, names, classes, named):
    with refused(*([named] if isinstance(named, str) else named)):
        match(dataset, names, classes, "m")


def test_as_many_classes_without_a_name_are_taken_in_order_and_it_is_said():
    found = match(of("a", "b"), None, 2, "m")
    assert found.table is None
    assert "the first is taken for a" in found.note


def targets_of(matching, targets):
    pictures = tf.zeros((len(tf.nest.flatten(targets)[0]), 1))
    (found,) = matching.applied(tf.data.Dataset.from_tensors((pictures, targets)))
    return found[1]


def test_targets_of_every_task_are_renumbered():
    moved = Matching((2, 0))
    classes = targets_of(moved, tf.constant([0, 1, -1, 1]))
    assert (classes.dtype, classes.numpy().tolist()) == (tf.int32, [2, 0, -1, 0])
    boxes = targets_of(moved, {"classes": tf.constant([[1, 0, -1]]), "size": tf.constant([[4, 5]])})
    assert boxes["classes"].numpy().tolist() == [[0, 2, -1]]
    assert boxes["size"].numpy().tolist() == [[4, 5]]
    masks = targets_of(moved, tf.constant([[[0, 1, 255]]], tf.uint8))
    assert (masks.dtype, masks.numpy().tolist()) == (tf.uint8, [[[2, 0, 255]]])


def test_nothing_is_left_of_classes_that_say_nothing():
    none = unmatched(of("a", "b"))
    assert targets_of(none, tf.constant([0, 1])).numpy().tolist() == [-1, -1]
    assert targets_of(none, tf.constant([[[0, 1, 255]]], tf.uint8)).numpy().tolist() == [
        [[255] * 3]
    ]
    same = tf.data.Dataset.from_tensors((np.zeros(1), np.zeros(1)))
    assert Matching().applied(same) is same
