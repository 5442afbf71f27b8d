"""COCO files, good and bad."""

import json

import numpy as np
import pytest
from refusals import refused

from mnv3_tf.data.sources import open_dataset
from mnv3_tf.errors import UserError

DOG, CAT = (3, 5, 10, 20, 8), (7, 0, 0, 50, 40)
PLAIN = [[DOG, CAT], [CAT], [], [DOG], [DOG]]


def opened(name, seed=0):
    return open_dataset(name, task="detect", seed=seed, training=True)


def marks(split):
    """{"boxes", "classes", "crowd", "size"} of each picture, in order."""
    return [of_picture for _, of_picture in split.encoded().as_numpy_iterator()]


def classes(split):
    return [of_picture["classes"].tolist() for of_picture in marks(split)]


def left(split):
    """The left side of each picture's first box, in pixels."""
    return [round(50 * of_picture["boxes"][0, 1]) for of_picture in marks(split)]


def test_ids_with_gaps_become_classes_in_their_order(make_coco_twice):
    data = opened(make_coco_twice(PLAIN))
    assert data.class_names == ("dog", "cat")
    assert classes(data.val) == [[0, 1], [1], [], [0], [0]]
    first, *_ = found = marks(data.val)
    np.testing.assert_allclose(first["boxes"][0], [10 / 40, 5 / 50, 18 / 40, 25 / 50], rtol=1e-6)
    assert [of_picture["size"].tolist() for of_picture in found] == [[40, 50]] * 5
    assert (data.task, data.notes, data.skipped) == ("detect", (), ())


def test_a_fifth_is_held_out_under_the_seed(make_coco):
    name = make_coco([[(3, index, 0, 5, 5)] for index in range(10)])

    data = opened(name)
    assert len(left(data.val)) == 2
    assert sorted(left(data.train) + left(data.val)) == list(range(10))
    assert left(opened(name).val) == left(data.val)
    assert left(opened(name, 1).val) != left(data.val)
    whole = open_dataset(name, task="detect", training=False)
    assert (whole.train, left(whole.val)) == (None, list(range(10)))


def test_crowds_are_told(make_coco_twice):
    name = make_coco_twice(PLAIN)
    path = name.removeprefix("coco:").split(",")[0]
    with open(path) as file:
        document = json.load(file)
    document["annotations"][1]["iscrowd"] = 1
    with open(path, "w") as file:
        json.dump(document, file)
    crowd = [of_picture["crowd"].tolist() for of_picture in marks(opened(name).val)]
    assert crowd == [[False, True], [False], [], [False], [False]]


def test_pictures_without_boxes_are_kept(make_coco_twice):
    data = opened(make_coco_twice([[], [DOG], [], []]))
    found = marks(data.train)
    assert [len(of_picture["boxes"]) for of_picture in found] == [0, 1, 0, 0]
    assert classes(data.val) == [[], [0], [], []]


def rewritten(tmp_path, **changes):
    """The annotations with other values, each a function of the one before."""
    tree = json.loads((tmp_path / "c.json").read_text())
    for annotation in tree["annotations"]:
        for key, change in changes.items():
            annotation[key] = change(annotation.get(key, 0))
    (tmp_path / "c.json").write_text(json.dumps(tree))


@pytest.mark.parametrize("key", ["image_id", "category_id"])
@pytest.mark.parametrize("write", [str, float, " {}".format])
def test_ids_match_however_they_are_written(make_coco_twice, tmp_path, key, write):
    name = make_coco_twice(PLAIN)
    rewritten(tmp_path, **{key: write})
    data = opened(name)
    assert classes(data.val) == [[0, 1], [1], [], [0], [0]]
    assert data.notes == ()


@pytest.mark.parametrize(
    ("written", "crowd"),
    [
        *(("0", False), ("1", True), (False, False), (True, True), (None, False)),
        *(("false", False), ("None", False), ("TRUE", True)),
    ],
)
def test_a_crowd_may_be_text(make_coco_twice, tmp_path, written, crowd):
    name = make_coco_twice([[DOG, CAT]] * 2)
    tree = json.loads((tmp_path / "c.json").read_text())
    tree["annotations"][1]["iscrowd"] = written
    (tmp_path / "c.json").write_text(json.dumps(tree))
    assert marks(opened(name).val)[0]["crowd"].tolist() == [False, crowd]


def test_a_crowd_that_is_neither(make_coco_twice, tmp_path):
    name = make_coco_twice([[DOG, CAT]] * 2)
    rewritten(tmp_path, iscrowd=lambda _: "maybe")
    with refused("c.json is built otherwise", "iscrowd is 'maybe', but must be 0 or 1"):
        opened(name)


def test_categories_of_one_name_are_one_class(make_coco_twice):
    name = make_coco_twice(
        [[(3, 1, 1, 9, 9), (7, 1, 1, 9, 9), (9, 1, 1, 9, 9)]] * 2,
        categories=[{"id": i, "name": n} for i, n in ((3, "dog"), (7, "cat "), (9, "dog"))],
    )
    data = opened(name)
    assert data.class_names == ("dog", "cat")
    assert classes(data.val) == [[0, 1, 0]] * 2
    assert data.notes == ("2 categories have the names of others and are the same classes ('dog')",)


def test_a_picture_with_two_ids_is_one_picture(make_coco_twice):
    """With the annotations of both, those that are the same once."""
    other = (3, 30, 20, 8, 8)
    entries = [{"id": i, "file_name": f"{i % 3}.jpg", "height": 40, "width": 50} for i in range(4)]
    data = opened(make_coco_twice([[DOG, CAT], [CAT], [DOG], [CAT, other]], images=entries))
    assert classes(data.val) == [[0, 1, 0], [1], [0]]
    (note,) = data.notes
    assert note.startswith("2 pictures have further ids, whose annotations were put to")
    assert note.endswith("(0.jpg)")


def test_an_entry_that_is_there_twice_is_one(make_coco_twice):
    entry = {"id": 0, "file_name": "0.jpg", "height": 40, "width": 50}
    data = opened(make_coco_twice([[DOG, CAT]], images=[entry, entry]))
    assert (classes(data.val), data.notes) == ([[0, 1]], ())


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("image_id", "5 of the 6 annotations of .* none of its images has, such as 100"),
        ("category_id", "5 of the 6 annotations of .* none of its categories has, such as 103"),
    ],
)
def test_annotations_most_of_which_belong_nowhere(make_coco_twice, tmp_path, key, sentence):
    name = make_coco_twice([[DOG, CAT]] * 3)
    tree = json.loads((tmp_path / "c.json").read_text())
    for annotation in tree["annotations"][:5]:
        annotation[key] += 100
    (tmp_path / "c.json").write_text(json.dumps(tree))
    with pytest.raises(UserError, match=sentence):
        opened(name)


@pytest.mark.parametrize("first", [2, 4])
def test_annotations_whose_categories_are_numbered_by_one_off(make_coco_twice, first):
    """Some would belong to another category, and only the last to none."""
    categories = [{"id": id_, "name": f"c{id_}"} for id_ in (3, 4, 5)]
    boxes = [[(first + n, 1, 1, 9, 9) for n in range(3)]] * 2
    name = make_coco_twice(boxes, categories=categories)
    with refused("c.json have category ids from", f"from {first} on, its categories from 3 on"):
        opened(name)


LEFT_OUT = {
    "1 box of no area was left out (0.jpg)": {"bbox": [5, 5, 0, 9]},
    "1 box outside of its picture was left out (0.jpg)": {"bbox": [60, 5, 9, 9]},
    "1 box that is not four finite numbers was left out (0.jpg)": {"bbox": [1, 2, 3]},
    "1 annotation of an unknown image id was left out (99)": {"image_id": 99},
    "1 annotation of an unknown category id was left out (5 in 0.jpg)": {"category_id": 5},
}


@pytest.mark.parametrize("note", LEFT_OUT)
def test_annotations_that_cannot_be_used_are_counted(make_coco, note):
    good = [
        {"image_id": index, "category_id": category, "bbox": [0, 0, 25, 20]}
        for index in range(2)
        for category in (3, 7)
    ]
    name = make_coco([[]] * 2, annotations=[good[0] | LEFT_OUT[note], *good])
    data = opened(name)
    assert data.notes == (note,)
    assert classes(data.train) + classes(data.val) == [[0, 1]] * 2


@pytest.mark.parametrize("box", ["[NaN, 0, 5, 5]", "[0, 0, Infinity, 5]", "null", '"abcd"', "[]"])
def test_what_is_no_box_is_counted(make_coco, box):
    name = make_coco([[DOG, DOG, CAT]] * 2)
    path = name.removeprefix("coco:").split(",")[0]
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace("[5, 10, 20, 8]", box, 1))
    assert opened(name).notes == ("1 box that is not four finite numbers was left out (0.jpg)",)


def test_pictures_that_are_missing_are_left_out_and_named(make_coco_twice, tmp_path):
    name = make_coco_twice(PLAIN)
    for index in (0, 2):
        (tmp_path / "pictures" / f"{index}.jpg").unlink()
    data = opened(name)
    assert (len(data.train), len(data.val)) == (3, 5)
    assert classes(data.train) == [[1], [0], [0]]
    assert data.notes == ("2 pictures are missing and were left out (0.jpg, 2.jpg)",)


def test_pictures_that_cannot_be_decoded_are_skipped_with_their_boxes(make_coco_twice, tmp_path):
    name = make_coco_twice([[(3, index % 40, 0, 5, 5)] for index in range(120)])
    cut = tmp_path / "pictures" / "7.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    data = opened(name)
    assert data.skipped == (str(cut),)
    assert left(data.train) == [index % 40 for index in range(120) if index != 7]


REFUSED = {
    r"c\.json lacks 'images'": {"images": None},
    r"c\.json lacks 'bbox'": {"annotations": [{"image_id": 0, "category_id": 3}]},
    r"c\.json is built otherwise": {"annotations": 3},
    r"c\.json is built otherwise \(invalid literal": {"categories": [{"id": "x", "name": "y"}]},
    r"c\.json has a category id twice": {"categories": [{"id": 1, "name": n} for n in "ab"]},
    r"c\.json lacks 'file_name'": {"images": [{"id": 0}]},
    r"has 0 images and 2 categories": {"images": [], "annotations": []},
    r"has 2 images and 0 categories": {"categories": []},
    r"the image id 4 twice, for x\.jpg and y\.jpg": {
        "images": [{"id": 4, "file_name": "x.jpg"}, {"id": 4, "file_name": "y.jpg"}]
    },
    r"None of the .* pictures .* is there, the first would be .*jpg; correct the folder": {
        "images": [{"id": n, "file_name": f"gone{n}.jpg"} for n in range(2)]
    },
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_file_that_is_not_as_it_should_be(make_coco, sentence):
    name = make_coco([[DOG], [DOG]], **REFUSED[sentence])
    if None in REFUSED[sentence].values():
        path = name.removeprefix("coco:").split(",")[0]
        with open(path, "w") as file:
            json.dump({"annotations": [], "categories": []}, file)
    with pytest.raises(UserError, match=sentence):
        opened(name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"c\.json is empty"),
        (" \n", r"c\.json is empty"),
        ("{", r"c\.json is no valid JSON"),
        ("[" * 100_000, r"c\.json is no valid JSON"),
        ("[1]", r"c\.json holds a list, no object"),
    ],
)
def test_a_file_that_is_no_json_object(make_coco, tmp_path, text, sentence):
    name = make_coco([[DOG], [DOG]])
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(UserError, match=sentence):
        opened(name)


def test_a_missing_file_and_a_missing_folder(make_coco, tmp_path):
    make_coco([[DOG], [DOG]])
    with pytest.raises(UserError, match=r"Cannot read .*d\.json: No such file"):
        opened(f"coco:{tmp_path / 'd.json'},{tmp_path}")
    with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
        opened(f"coco:{tmp_path / 'c.json'},{tmp_path / 'nowhere'}")


@pytest.mark.parametrize("given", ["a.json", "a.json,b,c.json", "a.json,", "a,b,c,d,e"])
def test_the_wrong_number_of_parts(given):
    with pytest.raises(UserError, match=r"give coco:ANNOTATIONS\.json,IMAGES or"):
        opened(f"coco:{given}")


def test_both_files_need_the_same_categories(make_coco, tmp_path):
    name = make_coco([[DOG], [DOG]])
    other = json.loads((tmp_path / "c.json").read_text())
    other["categories"][0]["name"] = "lynx"
    (tmp_path / "v.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match=r"different categories, the first is 7 \(cat\)"):
        opened(f"{name},{tmp_path / 'v.json'},{tmp_path / 'pictures'}")


def test_the_128(shared):
    root = shared / "coco128"
    files = [f"{root}/instances_{part}2017.json,{root}" for part in ("train", "val")]
    data = opened(f"coco:{','.join(files)}")
    assert (len(data.train), len(data.val), data.num_classes) == (128, 64, 80)
    assert data.skipped == ()
    with open(f"{root}/instances_val2017.json") as file:
        assert sum(map(len, classes(data.val))) == len(json.load(file)["annotations"])
