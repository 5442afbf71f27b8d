"""Which files are a dataset's: the same ones, however computers and people name them."""

import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refused

from mnv3_tf.data.annotations import Tally
from mnv3_tf.data.listing import Finder, by_name, files, only, pictures
from mnv3_tf.data.sources import open_dataset

CELL = ("cell", 1, 1, 9, 9)
DOG = (3, 5, 10, 20, 8)
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Müsli é") for form in ("NFC", "NFD"))


def voc(root, **options):
    return open_dataset(f"voc:{root}", task="detect", training=True, **options)


def sizes(data):
    return len(data.train), len(data.val)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"nothing")


# -- the lister ------------------------------------------------------------------------------


def test_what_computers_leave_is_passed_over_at_any_depth(tmp_path):
    touch(tmp_path, "b.jpg", "deep/er/a.jpg", "._b.jpg", ".DS_Store", ".git/c.jpg")
    touch(tmp_path, "Thumbs.db", "deep/desktop.ini", "__MACOSX/d.jpg", "deep/@eaDir/e.jpg")
    tally = Tally()
    found = [str(path.relative_to(tmp_path)) for path in files(tmp_path, tally)]
    assert found == ["b.jpg", "deep/er/a.jpg"]
    assert tally.sentences() == ()


def test_links_are_followed_once_and_counted_where_they_lead_nowhere(tmp_path):
    touch(tmp_path, "there/a.jpg", "here/b.jpg")
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "there")
    (tmp_path / "here" / "round").symlink_to(tmp_path / "here")
    (tmp_path / "here" / "c.jpg").symlink_to(tmp_path / "there" / "a.jpg")
    (tmp_path / "here" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    tally = Tally()
    assert [path.name for path in files(tmp_path / "here", tally)] == ["b.jpg", "c.jpg", "a.jpg"]
    assert tally.sentences() == ("1 link leads nowhere and was passed over (gone.jpg)",)


def test_pictures_are_known_by_suffix_or_by_their_first_bytes(tmp_path, encode_photo, make_photo):
    touch(tmp_path, "a.JPG", "b.jpeg", "c.PnG", "notes.txt", "a.xml")
    (tmp_path / "nameless").write_bytes(encode_photo(make_photo(), "PNG"))
    tally = Tally()
    found = pictures(files(tmp_path, tally), tally)
    assert [path.name for path in found] == ["a.JPG", "b.jpeg", "c.PnG", "nameless"]
    assert tally.sentences() == (
        "2 files are no pictures by their names and were passed over (a.xml, notes.txt)",
    )


def test_names_are_compared_composed_and_without_suffix(tmp_path):
    touch(tmp_path, f"sub/{DECOMPOSED}.JPG", "twice.jpg", "twice.png")
    found = by_name(files(tmp_path, Tally()), tmp_path)
    assert set(found) == {f"sub/{COMPOSED}", "twice"}
    assert only(found[f"sub/{COMPOSED}"]).suffix == ".JPG"
    with refused("twice.jpg and twice.png differ in their suffixes alone"):
        only(found["twice"])


@pytest.mark.parametrize("written", ["sub/a.jpg", "sub/a.JPG", "sub\\a.jpg", f"{COMPOSED}.png"])
def test_a_file_is_found_however_it_is_written(tmp_path, written):
    touch(tmp_path, "sub/a.Jpg", f"{DECOMPOSED}.PNG")
    found = Finder().find(tmp_path / written)
    assert found in (tmp_path / "sub" / "a.Jpg", tmp_path / f"{DECOMPOSED}.PNG")
    assert Finder().find(tmp_path / "sub" / "b.jpg") is None
    assert Finder().find(tmp_path / "none" / "a.jpg") is None


# -- Pascal VOC ------------------------------------------------------------------------------


def renamed(root: Path, names: dict[str, str]) -> None:
    for old, new in names.items():
        for folder, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".xml")):
            (root / folder / f"{old}{suffix}").rename(root / folder / f"{new}{suffix}")


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        '"{}"',
        "{}.jpg",
        "'{}.JPG'",
        "JPEGImages/{}.jpg",
        "C:\\photos\\{}.jpg",
        "{} 1",
        "{}  -1",
        "\ufeff{}\r",
    ],
)
@pytest.mark.parametrize(
    "name", ["a b (1)", "WhatsApp 2024-01-01 at 10.11", "b.c", DECOMPOSED, "7 1"]
)
def test_lists_of_pictures_as_programs_write_them(make_voc, line, name):
    root = make_voc([[CELL]] * 3)
    renamed(root, {"a": name})
    # Lists and disks differ in the form.
    listed = f"{line.format(unicodedata.normalize('NFC', name))}\n"
    (root / "ImageSets" / "Main" / "train.txt").write_text(f"{listed}b\n", encoding="utf-8")
    (root / "ImageSets" / "Main" / "val.txt").write_text("c\n")
    data = voc(root)
    assert (sizes(data), data.notes) == ((2, 1), ())


def test_a_list_of_pictures_and_their_annotations(make_voc):
    root = make_voc([[CELL]] * 2)
    for part, name in (("train", "a"), ("val", "b")):
        line = f"JPEGImages/{name}.jpg Annotations/{name}.xml\n"
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text(line)
    assert sizes(voc(root)) == (1, 1)


def test_a_listed_picture_is_never_taken_for_another(make_voc):
    root = make_voc([[CELL]] * 2, val="b")
    (root / "ImageSets" / "Main" / "train.txt").write_text("a cat\n")
    with refused("a cat.xml: No such file"):
        voc(root)


def test_annotations_and_pictures_as_computers_name_them(make_voc):
    root = make_voc([[CELL]] * 4)
    touch(root, "Annotations/._a.xml", "JPEGImages/._a.jpg", "JPEGImages/Thumbs.db")
    (root / "Annotations" / "a.xml").rename(root / "Annotations" / "a.XML")
    (root / "JPEGImages" / "b.jpg").rename(root / "JPEGImages" / "b.JPG")
    for folder, suffix in (("Annotations", "xml"), ("JPEGImages", "jpg")):
        (root / folder / "day 2").mkdir()
        (root / folder / f"c.{suffix}").rename(root / folder / "day 2" / f"c.{suffix}")
    data = voc(root)
    assert (sum(sizes(data)), data.notes) == (4, ())


@pytest.mark.parametrize("apart", [True, False])
def test_annotations_beside_the_pictures(make_voc, apart):
    root = make_voc([[CELL]] * 4)
    for path in list((root / "Annotations").iterdir()):
        shutil.copy(path, root / "JPEGImages")
    if not apart:
        shutil.rmtree(root / "Annotations")
    assert sum(sizes(voc(root))) == 4
    if not apart:
        assert sum(sizes(voc(root / "JPEGImages"))) == 4


def test_pictures_that_nobody_has_annotated_are_counted(make_voc):
    root = make_voc([[CELL]] * 4)
    shutil.copy(root / "JPEGImages" / "a.jpg", root / "JPEGImages" / "z.jpg")
    assert voc(root).notes == ("1 picture has no annotation and was left out (z.jpg)",)


def test_two_pictures_of_one_name(make_voc):
    root = make_voc([[CELL]] * 2)
    shutil.copy(root / "JPEGImages" / "a.jpg", root / "JPEGImages" / "a.jpeg")
    with refused("a.jpeg and a.jpg differ in their suffixes alone"):
        voc(root)


# -- masks -----------------------------------------------------------------------------------


def segments(root, **options):
    return open_dataset(f"masks:{root}", task="segment", training=True, **options)


@pytest.fixture
def some_masks(make_masks):
    def make(count):
        mask = np.zeros((40, 50), np.uint8)
        mask[:20], mask[30:] = 1, 2
        return make_masks([Image.fromarray(mask)] * count)

    return make


def test_masks_as_computers_name_them(some_masks):
    root = some_masks(3)
    touch(root, "train/images/Thumbs.db", "train/images/._0.jpg", "train/masks/._0.png")
    touch(root, "train/images/notes.txt")
    images, own = root / "train" / "images", root / "train" / "masks"
    (own / "0.png").rename(own / "0.PNG")
    (own / "1.png").rename(own / f"{DECOMPOSED}.png")
    (images / "1.jpg").rename(images / f"{COMPOSED}.JPG")
    for folder, name in ((images, "2.jpg"), (own, "2.png")):
        (folder / "city").mkdir()
        (folder / name).rename(folder / "city" / name)
    data = segments(root)
    assert sizes(data) == (3, 3)
    assert data.notes == ("1 file is no picture by its name and was passed over (notes.txt)",)


def test_without_masks_for_validation_a_fifth_is_held_out(some_masks):
    root = some_masks(10)
    shutil.rmtree(root / "val")
    assert sizes(segments(root)) == (8, 2)
    first, again = (list(segments(root).val.encoded().as_numpy_iterator()) for _ in range(2))
    assert first == again


def test_a_mask_of_another_kind_is_named(some_masks):
    root = some_masks(2)
    (root / "train" / "masks" / "1.png").rename(root / "train" / "masks" / "1.bmp")
    with refused("1.jpg has no mask", "masks/1.png, only 1.bmp"):
        segments(root)


# -- tables, COCO, and the home folder ---------------------------------------------------------


def test_a_table_as_spreadsheets_write_it(make_classes):
    root = make_classes(["ant", DECOMPOSED], count=2)
    (root / "ant" / "000.jpg").rename(root / "ant" / "0 0.JPG")
    (root / "t.csv").write_bytes(
        b"\xef\xbb\xbffilename, class_index ,split\r\n"
        b'"ant/0 0.jpg", 0, train\r\n'
        b"ant\\001.jpg ,0,val\r\n\r\n" + f"{DECOMPOSED}/000.jpg,1,train\r\n".encode()
    )
    data = open_dataset(f"csv:{root / 't.csv'}", training=True)
    assert (data.examples, data.class_names) == ({"train": (1, 1), "val": (1, 0)}, ("0", "1"))


def test_coco_names_pictures_as_another_computer_has_them(make_coco, tmp_path):
    name = make_coco([[DOG, (7, 1, 1, 9, 9)]] * 3)
    tree = json.loads((tmp_path / "c.json").read_text())
    folder = tmp_path / "pictures"
    (folder / "0.jpg").rename(folder / "0.JPG")
    (folder / "1.jpg").rename(folder / f"{DECOMPOSED}.jpg")
    tree["images"][1]["file_name"] = f"{COMPOSED}.jpg"
    (tmp_path / "c.json").write_text(json.dumps(tree))
    data = open_dataset(name, task="detect", training=True)
    assert (sum(sizes(data)), data.notes) == (3, ())


def test_the_home_folder(make_voc, make_coco, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make_voc([[CELL]] * 2).parent == tmp_path
    assert sum(sizes(voc("~/voc"))) == 2
    make_coco([[DOG, (7, 1, 1, 9, 9)]] * 3)
    data = open_dataset("coco:~/c.json,~/pictures", task="detect", training=True)
    assert sum(sizes(data)) == 3
