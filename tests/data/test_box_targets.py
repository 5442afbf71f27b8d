"""Boxes as they are found, cleaned and counted, and as a batch has them."""

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.data.annotations import Reason, Tally
from mnv3_tf.data.box_targets import MOST_BOXES, Marked, padded, reader_of_objects, usable

NAN, INF = float("nan"), float("inf")


def cleaned(corners, size=(100, 200)):
    count, tally = len(corners), Tally()
    marked = Marked(np.array(corners, float), np.arange(count), np.arange(count) % 2 == 1, None)
    return usable(marked, size, "a.jpg", tally), tally.sentences()


def test_a_box_is_in_parts_of_height_and_width():
    objects, notes = cleaned([[10, 20, 60, 180]])
    np.testing.assert_allclose(objects.boxes, [[0.1, 0.1, 0.6, 0.9]], rtol=1e-6)
    assert (objects.boxes.dtype, objects.classes.dtype, objects.crowd.dtype) == (
        np.float32,
        np.int32,
        bool,
    )
    assert (objects.size, notes) == ((100, 200), ())


def test_what_leaves_the_picture_is_clipped_and_counted():
    objects, notes = cleaned([[-10, -20, 150, 100], [90, 190, 1e9, 1e9]])
    np.testing.assert_allclose(objects.boxes, [[0, 0, 1, 0.5], [0.9, 0.95, 1, 1]], rtol=1e-6)
    assert notes == ("2 boxes leave their pictures and were cut (a.jpg)",)


def test_a_pixel_more_is_clipped_for_some_count_from_1():
    objects, notes = cleaned([[-1, -1, 50, 100], [50, 100, 101, 201]])
    np.testing.assert_allclose(objects.boxes, [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], rtol=1e-6)
    assert notes == ()


def test_what_is_smaller_than_a_pixel_is_counted():
    objects, notes = cleaned([[5, 5, 6, 6], [5, 5, 5.9, 50], [99.5, 5, 150, 50]])
    assert len(objects.boxes) == 3
    assert notes == (
        "2 boxes are smaller than a pixel (a.jpg)",
        "1 box leaves its picture and was cut (a.jpg)",
    )


USELESS = {
    "1 box of no area was left out (a.jpg)": [[5, 5, 5, 50]],
    "2 boxes of no area were left out (a.jpg)": [[5, 5, 50, 5], [50, 5, 5, 50]],
    "1 box outside of its picture was left out (a.jpg)": [[-9, 5, -1, 50]],
    "2 boxes outside of their pictures were left out (a.jpg)": [[0, 200, 9, 210], [100, 0, 101, 9]],
    "2 boxes that are not four finite numbers were left out (a.jpg)": [
        [NAN, 0, 9, 9],
        [0, 0, 9, INF],
    ],
}


@pytest.mark.parametrize("note", USELESS)
def test_boxes_that_cannot_be_used_are_left_out_and_counted(note):
    good = [10, 20, 60, 180]
    objects, notes = cleaned([*USELESS[note], good])
    assert notes == (note,)
    np.testing.assert_allclose(objects.boxes, [[0.1, 0.1, 0.6, 0.9]], rtol=1e-6)
    assert objects.classes.tolist() == [len(USELESS[note])]  # each keeps what is its own
    assert objects.crowd.tolist() == [len(USELESS[note]) % 2 == 1]


def test_of_too_many_boxes_the_largest_are_kept_in_their_order():
    sides = np.random.default_rng(0).permutation(np.arange(1, 121)) / 2
    objects, notes = cleaned([[0, 0, side, side] for side in sides], (100, 100))
    np.testing.assert_allclose(objects.boxes[:, 2] * 100, sides[sides > 10], rtol=1e-5)
    np.testing.assert_array_equal(objects.classes, np.flatnonzero(sides > 10))
    assert notes == ("20 boxes beyond the 100 largest of their pictures were left out (a.jpg)",)


def test_a_picture_without_boxes():
    objects, notes = cleaned([])
    assert (objects.boxes.shape, notes) == ((0, 4), ())


def test_up_to_three_names_are_told_each_once():
    tally = Tally()
    for name in "bbacd":
        tally.add(Reason("egg", "eggs"), f"{name}.jpg")
    tally.add(Reason("nest", "nests"), "z.jpg", 0)
    assert tally.sentences() == ("5 eggs (b.jpg, a.jpg, c.jpg, ...)",)


def test_each_index_has_its_own_objects_and_padding_says_where_they_end():
    pictures = [
        cleaned(corners)[0] for corners in ([], [[0, 0, 50, 100]] * 2, [[50, 100, 100, 200]], [])
    ]
    read = reader_of_objects(pictures)
    indices = tf.data.Dataset.range(4)
    batch = next(iter(indices.map(read).map(padded).batch(4)))
    assert batch["boxes"].shape == (4, MOST_BOXES, 4)
    np.testing.assert_array_equal((batch["classes"].numpy() >= 0).sum(1), [0, 2, 1, 0])
    np.testing.assert_array_equal(batch["boxes"][1, :3], [[0, 0, 0.5, 0.5]] * 2 + [[0] * 4])
    np.testing.assert_array_equal(batch["boxes"][2, :2], [[0.5, 0.5, 1, 1], [0] * 4])
    np.testing.assert_array_equal(batch["classes"][1, :4], [0, 1, -1, -1])
    np.testing.assert_array_equal(batch["crowd"][1, :4], [False, True, False, False])
    np.testing.assert_array_equal(batch["size"], [[100, 200]] * 4)
