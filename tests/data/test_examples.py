"""Examples of each class are counted on opening, and what has none is said before training."""

import json

import numpy as np
import pytest
from PIL import Image
from refusals import refused

from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.examples import checked
from mnv3_tf.data.sources import open_dataset
from mnv3_tf.data.tfrecords import write_shards

DOG, CAT = (3, 5, 10, 20, 8), (7, 0, 0, 50, 40)
GROUND = np.zeros((40, 50), np.uint8)


def mask(**values):
    """A ground of zeros whose first rows are of each of the values, as v255=2 for two rows."""
    rows = GROUND.copy()
    row = 0
    for value, count in values.items():
        rows[row : row + count] = int(value[1:])
        row += count
    return Image.fromarray(rows)


def told(counts, task="classify", names=("ant", "bee", "cow"), cause=""):
    return checked(Dataset("it", names, None, None, task=task, examples=counts), cause).notes


def test_classes_without_examples_are_said():
    assert told({"train": (1, 2, 3), "val": (1, 1, 1)}) == ()
    assert told({"train": (1, 0, 3), "val": (1, 1, 1)}, cause="who knows") == (
        "The class 'bee' has no pictures in training and cannot be learned (who knows)",
    )
    assert told({"train": (0, 2, 0), "val": (1, 1, 1)}, "detect") == (
        "2 classes ('ant', 'cow') have no boxes in training and cannot be learned",
    )
    assert told({"train": (4, 0, 4), "val": (9, 0, 0)}, "segment") == (
        "The class 'bee' has no pixels in training and cannot be learned",
        "The class 'cow' has no pixels in the validation set, which says nothing of it",
    )
    assert told({"train": (1, 1, 1), "val": (0, 0, 0)}) == (
        "The validation set has no pictures, so that it tells nothing",
    )


def test_nothing_is_missed_where_nothing_is_counted_or_learned():
    assert told({}) == told({"val": (0, 9, 0)}) == ()
    assert told({"val": (0, 9, 9)}, cause="why") == (
        "The class 'ant' has no pictures in the validation set, which says nothing of it (why)",
    )
    assert told({"val": (9, 9, 9), "test": (0, 0, 0)}) == (
        "The test set has no pictures, so that it tells nothing",
    )


@pytest.mark.parametrize(
    ("task", "counts", "named"),
    [
        ("classify", (0, 0, 0), ["it has no pictures to learn from (why)", "give a set"]),
        ("classify", (0, 5, 0), ["pictures of 'bee' alone", "none of 'ant', 'cow' (why)"]),
        ("segment", (9, 0, 0), ["pixels of 'ant' alone", "none of 'bee', 'cow' (why)"]),
        ("detect", (0, 0, 0), ["it has no boxes to learn from (why)"]),
    ],
)
def test_nothing_left_to_learn_is_refused(task, counts, named):
    with refused(*named):
        told({"train": counts, "val": (1, 1, 1)}, task, cause="why")


def test_one_class_is_enough_for_boxes(make_voc):
    data = open_dataset(
        f"voc:{make_voc([[('plate', 1, 1, 9, 9)]] * 2)}", task="detect", training=False
    )
    assert (data.class_names, data.notes) == (("plate",), ())


# -- every source counts ---------------------------------------------------------------------


def test_a_folder(make_classes):
    root = make_classes(["train/ant", "train/bee", "val/ant", "val/bee"], count=60)
    (root / "train" / "bee" / "001.jpg").write_bytes(b"no picture")
    data = open_dataset(f"folder:{root}", training=False)
    assert data.examples == {"train": (60, 59), "val": (60, 60)}


def table(root, rows):
    lines = ["filename,class_index", *(f"{folder}/{n:03}.jpg,{i}" for folder, n, i in rows)]
    (root / "t.csv").write_text("\n".join(lines))
    return f"csv:{root / 't.csv'}"


@pytest.mark.parametrize("training", [True, False])
def test_a_table_whose_classes_begin_at_one(make_classes, training):
    root = make_classes(["ant", "bee"], count=10)
    rows = [(name, n, i) for i, name in ((1, "ant"), (2, "bee")) for n in range(10)]
    data = open_dataset(table(root, rows), training=training)
    assert sum(map(np.array, data.examples.values())).tolist() == [0, 10, 10]
    (note,) = data.notes
    assert "The class '0' has no pictures" in note
    assert "its class_index begins at 1, but must count from 0" in note


def test_a_table_of_one_class(make_classes):
    root = make_classes(["ant"], count=10)
    name = table(root, [("ant", n, 1) for n in range(10)])
    with refused("t.csv has pictures of '1' alone", "begins at 1"):
        open_dataset(name, training=True)
    assert len(open_dataset(name, training=False).val) == 10  # to be evaluated on


def test_boxes_that_are_crowds_do_not_count(make_coco_twice, tmp_path):
    name = make_coco_twice([[DOG, CAT]] * 4)
    tree = json.loads((tmp_path / "c.json").read_text())
    for mark in tree["annotations"][1::2]:
        mark["iscrowd"] = 1
    (tmp_path / "c.json").write_text(json.dumps(tree))
    data = open_dataset(name, task="detect", training=False)
    assert data.examples == {"train": (4, 0), "val": (4, 0)}
    assert data.notes == ("The class 'cat' has no boxes in training and cannot be learned",)
    for mark in tree["annotations"]:
        mark["iscrowd"] = 1
    (tmp_path / "c.json").write_text(json.dumps(tree))
    with refused("no boxes to learn from", "8 of training are crowds or difficult"):
        open_dataset(name, task="detect", training=False)


def test_what_was_left_out_is_said_where_nothing_is_left(make_coco_twice):
    far = {"image_id": 77, "category_id": 3, "bbox": [0, 0, 25, 20]}
    crowd = far | {"image_id": 0, "iscrowd": 1}
    name = make_coco_twice([[]] * 2, annotations=[far, crowd])
    with refused(
        "no boxes to learn from (2 annotations of unknown image ids were left out (77); 1"
    ):
        open_dataset(name, task="detect", training=False)


def test_a_class_that_is_in_no_annotation(make_voc):
    root = make_voc([[("cell", 1, 1, 9, 9)]] * 2, train="a", val="b")
    (root / "labels.txt").write_text("dummy\ncell\n")
    data = open_dataset(f"voc:{root}", task="detect", training=False)
    assert data.examples == {"train": (0, 1), "val": (0, 1)}
    assert data.notes == ("The class 'dummy' has no boxes in training and cannot be learned",)


def masks(make_masks, *some, labels="ground\nobject\n"):
    return open_dataset(f"masks:{make_masks(list(some), labels)}", task="segment", training=False)


def test_pixels_of_masks(make_masks):
    data = masks(make_masks, mask(v1=3), mask(v255=5, v1=1))
    assert data.examples == dict.fromkeys(("train", "val"), ((37 + 34) * 50, (3 + 1) * 50))
    assert data.notes == ()


def test_masks_whose_object_is_written_as_255(make_masks):
    cause = "255, the only value of its masks beside 0, is ignored: write the index of the class"
    with refused("pixels of 'ground' alone", "none of 'object'", cause, "such as 1"):
        masks(make_masks, mask(v255=9), mask(v255=2))


def test_masks_whose_ground_is_written_as_255(make_masks):
    with refused("pixels of 'object' alone", "beside 1, is ignored", "such as 0"):
        masks(make_masks, mask(v255=30, v1=10))


def test_a_class_that_no_mask_has(make_masks):
    data = masks(make_masks, mask(v1=4, v255=4), labels="ground\nobject\ntree\n")
    assert data.notes == (
        "The class 'tree' has no pixels in training and cannot be learned (255, which 10.0 % of "
        "its pixels are, is ignored)",
    )


def test_a_mask_of_255_alone_is_left_out(make_masks):
    data = masks(make_masks, mask(v1=4), mask(v255=40))
    assert (len(data.train), len(data.val)) == (1, 1)
    assert data.notes == ("2 pictures were left out, for their masks ignore every pixel (1.jpg)",)


def test_masks_of_255_alone(make_masks):
    with refused("no pixels to learn from"):
        masks(make_masks, mask(v255=40))


def test_masks_of_one_class(make_masks):
    with refused("labels.txt has one class only, 'object'", "name the ground as well"):
        masks(make_masks, mask(v255=3), labels="object\n")


def test_shards_keep_the_counts(make_classes, tmp_path):
    data = open_dataset(f"folder:{make_classes(['ant', 'bee'], count=10)}", training=True)
    index = write_shards(data, tmp_path / "shards")
    assert open_dataset(f"shards:{tmp_path / 'shards'}").examples == data.examples
    assert index.examples == {"train": (8, 8), "val": (2, 2)}


def test_what_is_told_is_printed_on_opening(make_voc, capsys):
    root = make_voc([[("cell", 1, 1, 9, 9)]] * 2, train="a", val="b")
    (root / "labels.txt").write_text("dummy\ncell\n")
    data = open_dataset(f"voc:{root}", task="detect", training=False)
    assert capsys.readouterr().out == f"{data.notes[0]}.\n"
