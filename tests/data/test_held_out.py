"""A fifth is held out, and a picture is on one side only, however many copies there are of it."""

import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from refusals import refused

from mnv3_tf.data.held_out import originals
from mnv3_tf.data.sources import open_dataset


def contents(split):
    return [content for content, _ in split.encoded().as_numpy_iterator()]


def copy_all(folder, times=1):
    for path in sorted(folder.iterdir()):
        for number in range(times):
            shutil.copy(path, folder / f"{path.stem} ({number}){path.suffix}")


def test_copies_are_files_of_the_same_bytes(tmp_path):
    """Of one size, of one end, and the same."""
    end = bytes(range(256)) * 20
    for name, content in {
        "a": b"1" + end,
        "b": b"1" + end,
        "c": b"2" + end,
        "d": b"1" + end[:-1] + b"x",
        "e": b"1",
        "f": b"",
        "g": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in "abcdefgahi"]
    found = {path[-1]: first[-1] for path, first in originals(paths).items()}
    assert found == {**dict.fromkeys("ab", "a"), **dict.fromkeys("fg", "f")} | {
        x: x for x in "cdehi"
    }


def test_copies_of_a_class_are_held_out_together(make_classes):
    root = make_classes(["ant", "bee"], count=10)
    for name in ("ant", "bee"):
        copy_all(root / name, times=2)
    data = open_dataset(f"folder:{root}", training=True)
    train, val = (Counter(contents(split)) for split in (data.train, data.val))
    assert (len(train), len(val), set(train) & set(val)) == (16, 4, set())
    assert set(train.values()) == set(val.values()) == {3}
    assert data.notes == ()


def test_rows_that_are_repeated_are_held_out_together(make_classes):
    root = make_classes(["ant", "bee"], count=5)
    rows = [f"{name}/{n:03}.jpg,{k}" for k, name in enumerate(("ant", "bee")) for n in range(5)] * 3
    (root / "t.csv").write_text("\n".join(["filename,class_index", *rows]))
    data = open_dataset(f"csv:{root / 't.csv'}", training=True)
    assert (len(data.train), len(data.val)) == (24, 6)
    assert not set(contents(data.train)) & set(contents(data.val))


def test_pictures_of_several_classes_are_on_one_side_and_told(make_classes):
    root = make_classes(["ant", "bee"], count=10)
    for number in range(6):
        shutil.copy(root / "ant" / f"{number:03}.jpg", root / "bee" / f"x{number}.jpg")
    data = open_dataset(f"folder:{root}", training=True)
    assert not set(contents(data.train)) & set(contents(data.val))
    (note,) = data.notes
    assert note.startswith("6 pictures are in several classes each, of which they can have but one")
    assert "(ant/00" in note


def test_a_class_of_one_picture_and_its_copies_is_on_both_sides_and_told(make_classes):
    root = make_classes(["ant", "bee"], count=5)
    for number in range(1, 5):
        shutil.copy(root / "bee" / "000.jpg", root / "bee" / f"00{number}.jpg")
    data = open_dataset(f"folder:{root}")
    assert [split.class_counts(2) for split in (data.train, data.val)] == [[4, 4], [1, 1]]
    assert "1 picture of the validation set is in training too" in data.notes[0]


def test_rows_of_one_picture_cannot_be_split(make_classes):
    root = make_classes(["ant"], count=1)
    rows = "".join(f"ant/000.jpg,{number % 2}\n" for number in range(6))
    (root / "t.csv").write_text(f"filename,class_index\n{rows}")
    with refused("has a single picture", "ant/000.jpg", "add at least one more"):
        open_dataset(f"csv:{root / 't.csv'}")


@pytest.mark.parametrize("part", ["val", "test"])
def test_copies_on_both_sides_of_a_given_split_are_told(make_classes, part):
    names = ["train/ant", "train/bee", "val/ant", "val/bee", "test/ant", "test/bee"]
    root = make_classes(names, count=4)
    for number in (1, 3):
        shutil.copy(
            root / "train" / "bee" / f"00{number}.jpg", root / part / "bee" / f"{number}.jpg"
        )
    data = open_dataset(f"folder:{root}", training=True)
    name = {"val": "validation", "test": "test"}[part]
    assert data.notes == (
        f"2 pictures of the {name} set are in training too, which makes its figures too good "
        f"(bee/1.jpg, bee/3.jpg)",
    )


def test_copies_of_pictures_with_boxes(make_voc):
    root = make_voc([[("cell", 1, 1, 9, 9)]] * 8)
    for number, key in enumerate("abcdefgh"):
        for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml")):
            shutil.copy(root / folder / f"{key}.{suffix}", root / folder / f"{number}.{suffix}")
    data = open_dataset(f"voc:{root}", task="detect", training=True)
    assert (len(data.train), len(data.val)) == (12, 4)
    assert not set(contents(data.train)) & set(contents(data.val))
    for part, keys in (("train", "abc"), ("val", "1de")):
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(keys))
    data = open_dataset(f"voc:{root}", task="detect", training=True)
    assert data.notes[0].startswith("1 picture of the validation set is in training too")
    assert data.notes[0].endswith("(JPEGImages/1.jpg)")


def test_copies_of_pictures_with_masks(make_masks):
    mask = np.zeros((40, 50), np.uint8)
    mask[:20], mask[30:] = 1, 2
    root = make_masks([Image.fromarray(mask)] * 3)
    shutil.copy(root / "train" / "images" / "1.jpg", root / "val" / "images" / "2.jpg")
    (note,) = open_dataset(f"masks:{root}", task="segment", training=True).notes
    assert note.startswith("1 picture of the validation set is in training too")
