"""Folders and tables, good and bad."""

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from mnv3_tf.data.dataset import Split
from mnv3_tf.data.picture_files import PictureFile, checked, open_splits
from mnv3_tf.data.sources import open_dataset
from mnv3_tf.errors import UserError
from mnv3_tf.upright import NoPictureError

PLAIN = ["ant", "bee", "cow"]
SPLIT = [f"{part}/{name}" for part in ("train", "val") for name in PLAIN]


def labels_of(split: Split) -> list[int]:
    return [int(label) for _, label in split.encoded()]


def files_of(split: Split) -> list[bytes]:
    return [content for content, _ in split.encoded().as_numpy_iterator()]


@pytest.mark.parametrize("name", ["", "flowers", "folder:", "shapes:3", "csv", "zip:x"])
def test_an_unknown_source_is_refused_with_those_known(name):
    with pytest.raises(UserError, match=f"{re.escape(repr(name))}.*shapes, folder:DIR"):
        open_dataset(name, training=False)


def test_a_folder_with_train_and_val(make_classes):
    data = open_dataset(f"folder:{make_classes(SPLIT)}", training=False)
    assert data.class_names == tuple(PLAIN)
    assert data.num_classes == 3
    assert (len(data.train), len(data.val)) == (12, 12)
    assert labels_of(data.val) == [0] * 4 + [1] * 4 + [2] * 4
    assert data.skipped == ()


def test_a_folder_of_classes_is_split_by_class_and_seed(make_classes):
    name = f"folder:{make_classes(PLAIN, count=10)}"
    data = open_dataset(name, seed=1, training=True)
    assert labels_of(data.val) == [0, 0, 1, 1, 2, 2]
    assert np.bincount(labels_of(data.train)).tolist() == [8, 8, 8]

    ours, others = files_of(data.val), set(files_of(data.train))
    assert files_of(open_dataset(name, seed=1, training=True).val) == ours
    assert files_of(open_dataset(name, seed=2, training=True).val) != ours
    assert (len(set(ours)), len(others), others & set(ours)) == (6, 24, set())


TEST = [f"test/{name}" for name in PLAIN]


@pytest.mark.parametrize(
    ("folders", "training", "sizes"),
    [
        # Nothing is held out but for training.
        (PLAIN, False, (None, 30, None)),
        (["ant"], False, (None, 10, None)),
        # A fifth is held out of train where there is no val.
        (SPLIT + TEST, True, (30, 30, 30)),
        (SPLIT[:3] + TEST, True, (24, 6, 30)),
        (SPLIT[:3] + TEST, False, (30, None, 30)),
        # Any part can judge alone, and need not have all classes.
        (TEST, False, (None, None, 30)),
        (SPLIT[3:], False, (None, 30, None)),
        ([*SPLIT, "test/bee"], False, (30, 30, 10)),
    ],
)
def test_which_parts_there_are(make_classes, folders, training, sizes):
    data = open_dataset(f"folder:{make_classes(folders, count=10)}", training=training)
    assert tuple(split and len(split) for split in (data.train, data.val, data.test)) == sizes
    if "test/bee" in folders and "test/ant" not in folders:
        assert labels_of(data.test) == [1] * 10


def test_hidden_and_system_files_are_passed_over(make_classes):
    root = make_classes(SPLIT)
    (root / ".cache").mkdir()
    (root / "train" / ".cache").mkdir()
    (root / "__MACOSX" / "train").mkdir(parents=True)
    for name in (".DS_Store", "Thumbs.db", "._000.jpg", "desktop.ini"):
        (root / "train" / "ant" / name).write_bytes(b"no picture")
    data = open_dataset(f"folder:{root}", training=False)
    assert (len(data.train), data.skipped, data.notes) == (12, (), ())


NAMED_AS_PARTS = {
    # A class called train, or val.
    ("train", "car"): (("car", "train"), ()),
    ("train", "val", "car"): (("car", "train", "val"), ()),
    ("train", "train/steam", "test", "car"): (("car", "test", "train"), ("train/steam",)),
    ("train/steam", "car", "bus"): (("bus", "car", "train"), ("train/steam",)),
    ("test", "car"): (("car", "test"), ()),
    # Parts, with a class of their name, beside another folder, and with pictures of no class.
    ("train/train", "train/car", "val/train", "val/car"): (("car", "train"), ()),
    ("train/ant", "train/bee", "val/ant", "val/bee", "raw"): (("ant", "bee"), ("raw",)),
    ("train/ant", "train/bee", "val/ant", "val/bee", "test"): (("ant", "bee"), ("test",)),
    ("train/ant", "train/bee", "val/ant", "val/bee", "train"): (("ant", "bee"), ("000.jpg",)),
}


@pytest.mark.parametrize("folders", NAMED_AS_PARTS)
def test_what_is_a_class_and_what_a_part(make_classes, folders):
    root = make_classes(sorted(folders, key=lambda folder: folder.count("/")), count=10)
    data = open_dataset(f"folder:{root}", training=True)
    class_names, told = NAMED_AS_PARTS[folders]
    assert data.class_names == class_names
    assert [told[0] in note for note in data.notes] == [True] * len(told)


def test_pictures_within_a_classes_folders_are_of_the_class(make_classes):
    root = make_classes(["ant", "ant/red/old", "bee"])
    (root / "dog").symlink_to(make_classes(["p", "q", "r", "dogs"], root="store") / "dogs")
    (root / "ant" / "notes.txt").write_text("none")
    (root / "stray.JPG").write_bytes((root / "bee" / "000.jpg").read_bytes())
    data = open_dataset(f"folder:{root}", training=False)
    assert data.examples == {"val": (8, 4, 4)}
    assert data.notes == (
        "1 picture is in no folder of a class and was left out (stray.JPG)",
        "1 file is no picture by its name and was passed over (notes.txt)",
        "4 pictures of folders within a class's were taken to be of that class (ant/red/old)",
    )


def test_each_class_may_have_its_pictures_in_a_folder_more(make_classes):
    data = open_dataset(f"folder:{make_classes(['ant/images', 'bee/images'])}", training=False)
    assert data.examples == {"val": (4, 4)}


def test_names_in_another_form_of_unicode_are_the_same(make_classes):
    short, long = (unicodedata.normalize(form, "\u00e9") for form in ("NFC", "NFD"))
    folders = [f"train/{short}", "train/z", f"val/{long}", "val/z"]
    data = open_dataset(f"folder:{make_classes(folders)}", training=False)
    assert data.class_names == ("z", short)
    assert data.examples["val"] == (4, 4)


FOLDERS_REFUSED = {
    r"The folders 'training', 'validation' of .* hold no pictures but folders, such as 'ant'": [
        *("training/ant", "training/bee", "validation/ant", "validation/bee")
    ],
    r"train holds no folders of classes; put its pictures into .*train/CLASS": ["train", "val"],
    r"val holds no folders of classes": ["train/ant", "train/bee", "val"],
    r"two folders for the class 'ant', 'ant' and 'ant '; put them together": ["ant", "ant ", "bee"],
    "one class only, ant": ["ant"],
    r"train holds one class only, ant": ["train/ant", "val/ant"],
    r"different classes: cow, dog in one of them only": [
        *("train/ant", "train/bee", "train/cow"),
        *("val/ant", "val/bee", "val/dog"),
    ],
    r"no folder 'val', only train, valid": ["train/ant", "train/bee", "valid/ant", "valid/bee"],
    r"test has the class dog, which .*train does not have": [*SPLIT, "test/ant", "test/dog"],
    r"no folder 'train', only val": ["val/ant", "val/bee"],
}


@pytest.mark.parametrize("sentence", FOLDERS_REFUSED)
def test_a_folder_that_cannot_be_used(make_classes, sentence):
    root = make_classes(FOLDERS_REFUSED[sentence])
    with pytest.raises(UserError, match=sentence):
        open_dataset(f"folder:{root}", training=True)


def test_a_missing_folder(tmp_path):
    with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
        open_dataset(f"folder:{tmp_path / 'nowhere'}", training=False)


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="holds no folders"):
        open_dataset(f"folder:{tmp_path}", training=False)


def test_a_class_without_pictures(make_classes):
    root = make_classes(PLAIN)
    (root / "dog").mkdir()
    with pytest.raises(UserError, match="dog holds no pictures"):
        open_dataset(f"folder:{root}", training=False)


def test_a_class_with_a_single_picture_cannot_be_split(make_classes):
    with pytest.raises(UserError, match="has a single picture"):
        open_dataset(f"folder:{make_classes(PLAIN, count=1)}", training=True)


def test_pictures_that_cannot_be_decoded_are_left_out_and_named(make_classes):
    root = make_classes(SPLIT, count=35)
    cut, text = root / "train" / "bee" / "003.jpg", root / "val" / "ant" / "010.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    text.write_text("not a picture\n")
    data = open_dataset(f"folder:{root}", training=False)
    assert data.skipped == (str(cut), str(text))
    assert (len(data.train), len(data.val)) == (104, 104)
    assert np.bincount(labels_of(data.train)).tolist() == [35, 34, 35]


def test_too_many_pictures_that_cannot_be_decoded(make_classes):
    root = make_classes(SPLIT, count=8)
    (root / "train" / "cow" / "000.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of 48 pictures cannot be decoded.*cow/000\.jpg"):
        open_dataset(f"folder:{root}", training=False)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "WEBP", "GIF"])
def test_a_picture_cut_short_anywhere_is_no_picture(make_photo, encode_photo, form):
    whole = encode_photo(make_photo(), form)
    assert checked(whole) == whole
    for part in (0.0, 0.02, 0.3, 0.6, 0.9):
        with pytest.raises(NoPictureError):
            checked(whole[: int(part * len(whole))])


def test_sets_that_are_not_kept_in_memory_are_the_same(make_classes):
    root = make_classes(["ant"], count=6)
    files = {"train": [PictureFile(str(path), 0) for path in sorted(root.glob("*/*"))]}
    runs = []
    for bound in (2**20, 0):
        split = open_splits(files, bound)[0]["train"]
        assert split.view == "crop"
        runs.append(split.images(6, 32))
    np.testing.assert_array_equal(*runs)
    # What is not kept is read when it is its turn.
    Path(files["train"][0].path).write_bytes(b"gone")
    assert b"gone" in files_of(split)


def test_a_set_is_kept_up_to_the_bound(make_classes):
    root = make_classes(["ant"], count=2)
    paths = sorted(root.glob("*/*"))
    files = {"val": [PictureFile(str(path), 0) for path in paths]}
    size = sum(path.stat().st_size for path in paths)
    kept, read = (open_splits(files, bound)[0]["val"] for bound in (size, size - 1))
    paths[0].write_bytes(b"gone")
    assert [b"gone" in files_of(split) for split in (kept, read)] == [False, True]


@pytest.fixture
def make_table(make_classes):
    def write(text: str, count: int = 5):
        root = make_classes(PLAIN, count)
        (root / "t.csv").write_text(text, encoding="utf-8")
        return f"csv:{root / 't.csv'}"

    return write


EVERY = "filename,class_index\n" + "".join(
    f"{name}/{index:03}.jpg,{label}\n" for label, name in enumerate(PLAIN) for index in range(5)
)


def test_a_table_without_splits_is_evaluated_whole(make_table):
    data = open_dataset(make_table(EVERY), training=False)
    assert (data.train, len(data.val)) == (None, 15)
    assert data.class_names == ("0", "1", "2")
    assert labels_of(data.val) == [0] * 5 + [1] * 5 + [2] * 5


def test_a_table_without_splits_is_held_out_of_for_training(make_table):
    data = open_dataset(make_table(EVERY), training=True)
    assert (len(data.train), len(data.val)) == (12, 3)
    assert sorted(labels_of(data.train) + labels_of(data.val)) == [0] * 5 + [1] * 5 + [2] * 5


def test_a_table_may_have_one_picture_of_each_class(make_table):
    rows = [f"{name}/000.jpg,{label}\n" for label, name in enumerate(PLAIN)]
    data = open_dataset(make_table("filename,class_index\n" + "".join(rows)), training=True)
    assert (len(data.train), len(data.val)) == (2, 1)


def test_a_table_with_splits_and_names(make_table):
    data = open_dataset(
        make_table(
            "\ufefffilename,class_index,class_name,split\n"
            'ant/000.jpg,0,"ant, small",train\nant/000.jpg,0,"ant, small",train\n'
            "cow/001.jpg,2,cow,train\ncow/002.jpg,2,cow,val\n"
        ),
        training=False,
    )
    assert data.class_names == ("ant, small", "1", "cow")
    assert labels_of(data.train) == [0, 0, 2]
    assert labels_of(data.val) == [2]


def test_a_table_with_a_test_split(make_table):
    rows = EVERY.replace("class_index\n", "class_index,split\n").replace(".jpg,0", ".jpg,0,test")
    name = make_table(re.sub(r"(jpg,[12])", r"\1,train", rows))
    data = open_dataset(name, training=True)
    assert [len(split) for split in (data.train, data.val, data.test)] == [8, 2, 5]
    data = open_dataset(name, training=False)
    assert (len(data.train), data.val, len(data.test)) == (10, None, 5)
    assert data.part()[0] == "test"


TABLES_REFUSED = {
    r"no column 'class_index', only filename, label": "filename,label\nant/000.jpg,0\n",
    r"no column 'filename', only nothing": "",
    r"names no pictures": "filename,class_index\n",
    r"Row 3 of .*ant/99\.jpg, which is not there": (
        "filename,class_index\nant/000.jpg,0\nant/99.jpg,0\n"
    ),
    r"Row 2 .*which is not there": "filename,class_index\n,0\n",
    r"Row 2 .*class_index '-1'": "filename,class_index\nant/000.jpg,-1\n",
    r"Row 2 .*class_index '1\.5'": "filename,class_index\nant/000.jpg,1.5\n",
    r"Row 2 .*class_index ''": "filename,class_index\nant/000.jpg\n",
    r"Row 2 .*class_index '1000000000'": "filename,class_index\nant/000.jpg,1000000000\n",
    r"Row 2 .*split 'all'": "filename,class_index,split\nant/000.jpg,0,all\n",
    r"Row 3 .*class 0 'bug', a row before it 'ant'": (
        "filename,class_index,class_name\nant/000.jpg,0,ant\nant/001.jpg,0,bug\n"
    ),
}


@pytest.mark.parametrize("sentence", TABLES_REFUSED)
def test_a_table_that_cannot_be_used(make_table, sentence):
    with pytest.raises(UserError, match=sentence):
        open_dataset(make_table(TABLES_REFUSED[sentence]), training=False)


def test_a_missing_table(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read .*t\.csv: No such file"):
        open_dataset(f"csv:{tmp_path / 't.csv'}", training=False)


def test_a_table_that_is_no_text(make_table, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xff\xfe\x00\x01" * 9)
    with pytest.raises(UserError, match="no csv file"):
        open_dataset(f"csv:{path}", training=False)


def test_the_flowers(shared, some_of, tmp_path):
    data = open_dataset(f"folder:{some_of(shared / 'flowers', tmp_path, 20)}", training=False)
    assert data.class_names == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert (len(data.train), len(data.val), data.skipped) == (100, 100, ())
