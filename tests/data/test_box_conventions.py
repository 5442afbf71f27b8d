"""Boxes that are written by another convention than the format's are found out."""

import json

import numpy as np
import pytest
from refusals import refused

from mnv3_tf.data.box_conventions import COCO, VOC, check
from mnv3_tf.data.sources import open_dataset

HEIGHT, WIDTH = SIZE = 300, 400
RNG = np.random.default_rng(0)
LEFT, TOP = (RNG.uniform(0, side * 0.8, 60) for side in (WIDTH, HEIGHT))
RIGHT, BOTTOM = (
    side - RNG.uniform(0, 0.7, 60) * (side - near) for side, near in ((WIDTH, LEFT), (HEIGHT, TOP))
)
ACROSS, DOWN = RIGHT - LEFT, BOTTOM - TOP
CORNERS = np.stack([TOP, LEFT, BOTTOM, RIGHT], 1)
"""Sixty boxes anywhere in a picture."""


def corners_read(fmt, a, b, c, d):
    """What the reader of a format makes of four numbers."""
    if fmt is COCO:
        return np.stack([b, a, b + d, a + c], 1)
    return np.stack([b - 1, a - 1, d, c], 1)


def checked(fmt, *numbers, taken=SIZE, own=SIZE):
    check("it", [(corners_read(fmt, *numbers), taken, own)], fmt)


def test_boxes_as_they_are_meant():
    checked(COCO, LEFT, TOP, ACROSS, DOWN)
    checked(VOC, LEFT + 1, TOP + 1, RIGHT, BOTTOM)
    checked(VOC, LEFT, TOP, RIGHT, BOTTOM)  # counted from 0
    check("it", [], COCO)


OTHERS = {
    "corners, x1, y1, x2 and y2": (COCO, LEFT, TOP, RIGHT, BOTTOM),
    "parts of the picture, from 0 to 1: write x": (
        *(COCO, LEFT / WIDTH, TOP / HEIGHT),
        *(ACROSS / WIDTH, DOWN / HEIGHT),
    ),
    "of the centre, width and height: write x": (
        *(COCO, (LEFT + RIGHT) / 2 / WIDTH, (TOP + BOTTOM) / 2 / HEIGHT),
        *(ACROSS / WIDTH, DOWN / HEIGHT),
    ),
    "of two corners": (COCO, LEFT / WIDTH, TOP / HEIGHT, RIGHT / WIDTH, BOTTOM / HEIGHT),
    "be the centre, width and height": (COCO, (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2, ACROSS, DOWN),
    "y before x": (COCO, TOP, LEFT, DOWN, ACROSS),
    "boxes with lengths below 0": (COCO, RIGHT, BOTTOM, -ACROSS, -DOWN),
    "parts of the picture, from 0 to 1: write xmin": (
        *(VOC, LEFT / WIDTH, TOP / HEIGHT),
        *(RIGHT / WIDTH, BOTTOM / HEIGHT),
    ),
    "x, y, width and height: write xmin": (VOC, LEFT, TOP, ACROSS, DOWN),
    "corners in another order": (VOC, RIGHT, BOTTOM, LEFT, TOP),
}


@pytest.mark.parametrize("seeming", OTHERS)
def test_another_convention_is_named(seeming):
    with refused("of the 60 boxes of it leave their pictures", "they seem to be", seeming):
        checked(*OTHERS[seeming])


def test_corners_are_put_in_order():
    sizes = np.full((60, 2), 100.0)
    read = VOC.others["corners in another order"]
    found = read(np.stack([RIGHT, BOTTOM, LEFT, TOP], 1), sizes)
    np.testing.assert_array_equal(found, np.stack([TOP, LEFT, BOTTOM, RIGHT], 1))


def test_boxes_that_suit_no_convention_are_refused_without_a_guess():
    with refused("60 of the 60 boxes", "pixel; write x, y, width and height in pixels"):
        checked(COCO, 1000 + LEFT, 1000 + TOP, ACROSS, DOWN)


def test_sizes_beside_the_boxes_that_are_not_the_pictures():
    with refused("they suit the sizes of the pictures", "correct the latter"):
        checked(COCO, LEFT, TOP, ACROSS, DOWN, taken=(10, 10))


def test_some_that_leave_their_pictures_are_no_other_convention():
    """A tenth, and in a small set half of them, may be mistakes."""
    far = np.where(np.arange(60) < 6, 1000, 0)
    checked(COCO, LEFT + far, TOP, ACROSS, DOWN)
    with refused("7 of the 60", "be the centre, width and height"):
        checked(COCO, (LEFT + RIGHT) / 2, *few_beyond())
    two = (np.array([0.0, 1000]), np.zeros(2), np.full(2, 9.0), np.full(2, 9.0))
    checked(COCO, *two)


def few_beyond():
    """Small boxes about centres, of which seven as corners would leave the picture."""
    middle = (LEFT + RIGHT) / 2
    reach = np.minimum(middle, WIDTH - middle) * 2
    across = np.minimum(reach, WIDTH - middle - 2)
    outermost = np.argsort(middle)[-7:]
    across[outermost] = reach[outermost]
    return np.full(60, 150.0), across, np.full(60, 20.0)


# -- of files --------------------------------------------------------------------------------


@pytest.fixture
def write(make_coco_twice):
    def with_boxes(*boxes):
        return make_coco_twice([[(3, *box) for box in boxes], [(7, 1, 1, 9, 9)]] * 2)

    return with_boxes


def test_each_part_is_checked_by_itself(make_coco, tmp_path):
    """A small validation file is a part of its own."""
    name = make_coco([[(3, 1, 1, 9, 9), (7, 1, 1, 9, 9)]] * 9)
    tree = json.loads((tmp_path / "c.json").read_text())
    tree["annotations"] = [{"image_id": 0, "category_id": 3, "bbox": [30, 20, 45, 38]}]
    (tmp_path / "v.json").write_text(json.dumps(tree))
    with refused("1 of the 1 boxes of coco:", " for val leave", "corners, x1, y1, x2 and y2"):
        open_dataset(
            f"{name},{tmp_path / 'v.json'},{tmp_path / 'pictures'}", task="detect", training=False
        )


def test_what_sticks_out_and_what_is_tiny_is_counted(write):
    data = open_dataset(
        write([40, 30, 20, 9], [5, 5, 0.5, 9], *[[1, 1, 9, 9]] * 9), task="detect", training=False
    )
    assert data.notes == (
        "4 boxes are smaller than a pixel (0.jpg, 2.jpg)",
        "4 boxes leave their pictures and were cut (0.jpg, 2.jpg)",
    )


def test_parts_of_the_picture_in_an_xml(make_voc):
    root = make_voc([[("cell", 0.25, 0.2, 0.5, 0.75)]] * 4)
    with refused("4 of the 4 boxes of voc:", "parts of the picture"):
        open_dataset(f"voc:{root}", task="detect", training=False)


def test_boxes_that_count_from_0(make_voc):
    data = open_dataset(
        f"voc:{make_voc([[('cell', 0, 5, 9, 9)]] * 2)}", task="detect", training=False
    )
    (note,) = data.notes
    assert note.startswith("2 boxes begin at pixel 0, where Pascal VOC counts from 1")
