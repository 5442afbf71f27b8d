"""Pascal VOC: what it means, and what is refused."""

import numpy as np
import pytest

from mnv3_tf.data.sources import open_dataset
from mnv3_tf.errors import UserError

CELL = ("cell", 11, 6, 30, 20)
PLAIN = [[CELL], [("dust", 1, 1, 50, 40)], []]


def opened(root, seed=0):
    return open_dataset(f"voc:{root}", task="detect", seed=seed, training=True)


def objects(split):
    """(class, box, crowd) of each object of each picture, in order."""
    marked = [marks for _, marks in split.encoded().as_numpy_iterator()]
    return [
        list(
            zip(
                *(marks[name].tolist() for name in ("classes", "boxes", "crowd")),
                strict=True,
            )
        )
        for marks in marked
    ]


def test_corners_are_counted_from_one_and_belong_to_the_box(make_voc):
    data = opened(make_voc(PLAIN * 2, train="abc", val="def"))
    assert data.class_names == ("cell", "dust")
    ((first,), (second,), none) = objects(data.train)
    assert first[0] == 0
    np.testing.assert_allclose(first[1], [5 / 40, 10 / 50, 20 / 40, 30 / 50], rtol=1e-6)
    assert second == (1, [0, 0, 1, 1], False)
    assert none == []
    assert objects(data.val) == objects(data.train)
    assert (data.task, data.notes, data.skipped) == ("detect", (), ())


def test_the_lists_decide_also_with_a_second_column(make_voc):
    root = make_voc(PLAIN, train="b")
    (root / "ImageSets" / "Main" / "val.txt").write_text("c -1\n\na  1\n")
    data = opened(root)
    assert [len(one) for one in objects(data.val)] == [0, 1]
    assert len(data.train) == 1


def test_labels_txt_gives_the_order_and_what_it_lacks_is_counted(make_voc):
    mould = ("mould", 1, 1, 9, 9)
    root = make_voc([[CELL], [mould, ("dust", 1, 1, 50, 40)], [mould, CELL]], train="ab", val="c")
    (root / "labels.txt").write_text("mould\ncell\n")
    data = opened(root)
    assert data.class_names == ("mould", "cell")
    assert [[label for label, *_ in one] for one in objects(data.train)] == [[1], [0]]
    assert data.notes == (
        "1 object of a class that labels.txt does not have was left out ('dust' in b.xml)",
    )


def test_difficult_objects_are_crowds(make_voc):
    data = opened(make_voc([[CELL, (*CELL, "difficult")], [CELL]], train="a", val="b"))
    assert [crowd for *_, crowd in objects(data.train)[0]] == [False, True]


def test_difficult_is_a_number_in_the_file(make_voc):
    data = opened(make_voc([[CELL], [CELL]], train="a", val="b"))
    assert objects(data.train)[0][0][2] is False


@pytest.mark.parametrize("lists", [{"trainval": "abcdefgh"}, {"train": "abcdefgh"}, {}])
def test_without_a_val_list_a_fifth_is_held_out_under_the_seed(make_voc, lists):
    root = make_voc([[("cell", 1 + n, 1, 50, 40)] for n in range(8)], **lists)

    def left(split):
        return sorted(round(one[0][1][1] * 50) for one in objects(split))

    data = opened(root, seed=1)
    assert (len(data.train), len(data.val)) == (6, 2)
    held_out = left(data.val)
    assert sorted(left(data.train) + held_out) == list(range(8))
    if "train" in lists:
        assert left(opened(root, seed=1).val) == held_out
        assert left(opened(root, seed=2).val) != held_out


def test_trainval_is_all_even_where_there_is_a_train_list(make_voc):
    data = opened(make_voc([[CELL]] * 8, train="abcdef", trainval="abcdefgh"))
    assert (len(data.train), len(data.val)) == (6, 2)


@pytest.mark.parametrize(
    ("lists", "training", "sizes"),
    [
        ({}, False, (None, 8, None)),
        ({"train": "abcdef"}, False, (6, None, None)),
        ({"trainval": "abcdef", "train": "ab", "test": "gh"}, False, (6, None, 2)),
        ({"trainval": "abcde", "test": "gh"}, True, (4, 1, 2)),
        ({"train": "abcd", "val": "e", "test": "gh"}, True, (4, 1, 2)),
        ({"test": "gh"}, True, (5, 1, 2)),
        ({"test": "gh"}, False, (None, None, 2)),
        # A list of pictures that nobody has annotated.
        ({"trainval": "abcde", "test": "xyz"}, True, (4, 1, None)),
    ],
)
def test_which_parts_there_are(make_voc, lists, training, sizes):
    root = make_voc([[CELL]] * 8, **lists)
    data = open_dataset(f"voc:{root}", task="detect", training=training)
    assert tuple(split and len(split) for split in (data.train, data.val, data.test)) == sizes


def test_pictures_that_are_missing_are_left_out_and_named(make_voc):
    root = make_voc([[CELL], [CELL], [], [CELL]], train="abc", val="d")
    (root / "JPEGImages" / "b.jpg").unlink()
    data = opened(root)
    assert data.notes == ("1 picture is missing and was left out (b.jpg)",)
    assert len(data.train) == 2


def test_a_size_that_is_not_told_is_the_pictures_own(make_voc):
    root = make_voc([[CELL], [CELL]], train="a", val="b")
    path = root / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("<width>50</width>", "<width>0</width>"))
    data = opened(root)
    assert objects(data.train) == objects(data.val)


def test_another_size_than_the_pictures_is_told(make_voc):
    root = make_voc([[CELL], [CELL]], train="a", val="b")
    path = root / "Annotations" / "a.xml"
    path.write_text(
        path.read_text().replace(">50</width", ">100</width").replace(">40</height", ">80</height")
    )
    data = opened(root)
    assert [note[:32] for note in data.notes] == ["1 picture has another size than "]
    half = np.array(objects(data.val)[0][0][1]) / 2
    np.testing.assert_allclose(objects(data.train)[0][0][1], half, rtol=1e-6)


BROKEN = {
    r"a\.xml is empty": "",
    r"a\.xml is no valid XML": "<annotation><object></annotation>",
    r"a\.xml declares a document type": (
        '<!DOCTYPE a [<!ENTITY b "boom">]><annotation>&b;</annotation>'
    ),
    r"a\.xml has an object whose bndbox has the ymin None": (
        "<annotation><object><name>x</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
    ),
    r"a\.xml has an object whose bndbox has the xmin 'left'": (
        "<annotation><object><bndbox><xmin>left</xmin></bndbox></object></annotation>"
    ),
}


@pytest.mark.parametrize("sentence", BROKEN)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_annotation_that_cannot_be_used(make_voc, sentence, encoding):
    root = make_voc(PLAIN, train="ab", val="c")
    (root / "Annotations" / "a.xml").write_text(BROKEN[sentence], encoding=encoding)
    if encoding == "utf-16" and not BROKEN[sentence]:
        sentence = "no valid XML"  # a byte order mark is something
    with pytest.raises(UserError, match=sentence):
        opened(root)


def test_an_annotation_that_is_missing(make_voc):
    root = make_voc(PLAIN, train="ab", val="c")
    (root / "Annotations" / "b.xml").unlink()
    with pytest.raises(UserError, match=r"Cannot read .*b\.xml: No such file.*no object"):
        opened(root)


def test_a_coordinate_that_is_no_number_is_counted(make_voc):
    data = opened(make_voc([[("cell", "nan", 1, 5, 5), CELL], [CELL]], train="a", val="b"))
    assert data.notes == ("1 box that is not four finite numbers was left out (a.jpg)",)
    assert len(objects(data.train)[0]) == 1


def test_an_empty_list(make_voc):
    root = make_voc(PLAIN, train="ab", val="")
    with pytest.raises(UserError, match=r"val\.txt is empty"):
        opened(root)


def test_a_name_that_is_listed_twice(make_voc):
    with pytest.raises(UserError, match=r"train\.txt has 1 names more than once"):
        opened(make_voc(PLAIN, train="aab", val="c"))


def test_nothing_marked_at_all(make_voc):
    with pytest.raises(UserError, match="marks no objects at all"):
        opened(make_voc([[], []], train="a", val="b"))


def test_another_layout(tmp_path):
    with pytest.raises(UserError, match="has no folder Annotations"):
        opened(tmp_path)


def test_the_blood_cells(shared):
    data = opened(shared / "bccd")
    assert data.class_names == ("RBC", "WBC", "Platelets")
    assert (len(data.train), len(data.val), data.skipped) == (205, 87, ())
    assert sum(len(one) for one in objects(data.val)) > 900
