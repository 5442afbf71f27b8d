"""Drawings: what is where, in which colour and size."""

import itertools

import numpy as np
import pytest

from mnv3_tf.ui import drawing
from mnv3_tf.ui.drawing import Box

GREY = 90


def grey(height, width):
    return np.full((height, width, 3), GREY, np.uint8)


def changed(before, after):
    return (before != after).any(-1)


def test_colours_differ_and_stay_the_same():
    few, many = drawing.colours(3), drawing.colours(40)
    assert many[:3] == few
    assert len(set(many)) == 40
    distances = [np.abs(np.subtract(a, b)).max() for a, b in itertools.combinations(many[:20], 2)]
    assert min(distances) > 60
    assert len(drawing.colours(1000)) == 1000
    assert drawing.colours(0) == ()


def test_a_box_is_drawn_where_it_is():
    picture = grey(200, 300)
    colour = (255, 0, 0)
    drawn = drawing.boxes(picture, [Box("cell 0.91", colour, (100, 80, 180, 150))])
    assert drawn.shape == picture.shape
    assert (drawn[80, 100:181] == colour).all()
    assert (drawn[150, 100:181] == colour).all()
    assert (drawn[80:151, 100] == colour).all()
    inside = changed(picture, drawn)[85:146, 105:176]
    assert not inside.any()
    rows, columns = np.nonzero(changed(picture, drawn))
    assert rows.min() < 72  # the text stands on it
    assert (columns.min(), columns.max(), rows.max()) == (100, 180, 150)
    assert (picture == GREY).all()  # the original is as it was


@pytest.mark.parametrize(
    "corners", [(0, 0, 30, 20), (250, 0, 299, 20), (270, 190, 299, 199), (0, 0, 299, 199)]
)
def test_texts_stay_in_the_picture(corners):
    picture = grey(200, 300)
    colour = (0, 0, 255)
    drawn = drawing.boxes(picture, [Box("thrombocyte 0.91", colour, corners)])
    # A part of the text's ground is seen at full width, in one row or another.
    widest = max(np.count_nonzero((row == colour).all(-1)) for row in drawn)
    assert widest > 80


def test_the_surest_lies_on_top():
    first, second = (255, 0, 0), (0, 255, 0)
    boxes = [Box("a 0.9", first, (50, 50, 150, 150)), Box("b 0.6", second, (50, 50, 150, 150))]
    drawn = drawing.boxes(grey(200, 200), boxes)
    assert (drawn[150, 50:151] == first).all()


def test_nothing_found_changes_nothing():
    np.testing.assert_array_equal(drawing.boxes(grey(50, 60), []), grey(50, 60))


def test_lines_grow_with_the_picture():
    widths = []
    for side in (100, 1000, 3000):
        box = Box("", (255, 0, 0), (side * 0.3, side * 0.3, side * 0.8, side * 0.8))
        drawn = drawing.boxes(grey(side, side), [box])
        column = drawn[side // 2]
        widths.append(np.count_nonzero((column == (255, 0, 0)).all(-1)) // 2)
    assert widths[0] == 1
    assert widths[0] < widths[1] < widths[2]


def test_a_mask_is_half_transparent_and_explained():
    picture = grey(300, 400)
    classes = np.zeros((300, 400), np.int32)
    classes[:, 200:] = 2
    drawn = drawing.mask(picture, classes, ["ground", "absent", "figure"])
    assert drawn.shape == picture.shape
    palette = drawing.colours(3)
    for column, index in ((150, 0), (350, 2)):
        expected = (np.array(palette[index]) + GREY) / 2
        np.testing.assert_allclose(drawn[10, column], expected, atol=1)
    legend = drawn[200:, :150].reshape(-1, 3)
    for index, there in ((0, True), (1, False), (2, True)):
        assert (legend == palette[index]).all(-1).any() == there
    # It darkens what it covers and nothing else.
    assert (drawn[:150] == drawn[0]).all()


@pytest.mark.parametrize("size", [(8, 8), (20, 300), (300, 20), (64, 64)])
def test_a_legend_never_leaves_its_picture(size):
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 30, size)
    drawn = drawing.mask(grey(*size), classes, [f"a rather long name {i}" for i in range(30)])
    assert drawn.shape == (*size, 3)


def test_a_caption_stands_below_the_picture():
    picture = grey(120, 160)
    drawn = drawing.caption(picture, [("daisy", "97.1 %"), ("rose", "2.0 %")])
    assert drawn.shape[1] == 160
    np.testing.assert_array_equal(drawn[:120], picture)
    strip = drawn[120:]
    assert 20 < len(strip) < 100
    ink = np.nonzero((strip < 100).all(-1))[1]
    assert ink.min() < 20
    assert ink.max() > 140


def test_a_long_caption_widens_the_strip():
    drawn = drawing.caption(grey(16, 16), [("a name that is much too long for it", "97.1 %")])
    assert drawn.shape[1] > 200
    left = (drawn.shape[1] - 16) // 2
    np.testing.assert_array_equal(drawn[:16, left : left + 16], grey(16, 16))


@pytest.mark.parametrize(
    ("part", "text"),
    [(1, "100.0 %"), (0.0315, "3.1 %"), (0.0001, "<0.1 %"), (0, "0.0 %"), (0.0005, "0.1 %")],
)
def test_percent(part, text):
    assert drawing.percent(part) in (text, "3.2 %" if part == 0.0315 else text)
