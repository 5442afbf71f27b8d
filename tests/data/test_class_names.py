"""Names of classes: checked on opening, and the same from there to the file."""

import os
import unicodedata

import pytest
from refusals import refused

from mnv3_tf.data.sources import open_dataset

CELL = ("cell", 1, 1, 9, 9)


def table(root, *names):
    """A csv whose class n is called by the n-th of names, with a picture of each."""
    rows = [f'ant/{number:03}.jpg,{number},"{name}"' for number, name in enumerate(names)]
    (root / "t.csv").write_text("\n".join(["filename,class_index,class_name", *rows]))
    return f"csv:{root / 't.csv'}"


def test_names_are_stripped_and_composed(make_classes):
    root = make_classes(["ant"], count=3)
    short, long = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    data = open_dataset(table(root, " ant ", f"{long} 2\t", "[red]"), training=False)
    assert data.class_names == ("ant", f"{short} 2", "[red]")


def test_a_name_of_two_lines(make_classes):
    for name in ("an\nt", "an\u2028t", "an\x0bt", "an\x07t"):
        with refused("t.csv has a class called", ascii(name)[1:-1], "rename it"):
            open_dataset(table(make_classes(["ant"], root=ascii(name)), name), training=False)


def test_names_that_are_no_text(make_classes, tmp_path, capsys):
    root = make_classes(["ant", "bee"])
    os.rename(root / "bee", os.fsencode(root) + b"/caf\xe9")
    with refused("folder:", "has a class called 'caf\\udce9', which is not one line of text"):
        open_dataset(f"folder:{root}", training=False)


def test_pictures_whose_names_are_no_text_can_be_told(make_classes, capsys):
    root = make_classes(["ant", "bee"], count=60)
    for name in (b"\xe9.jpg", b"a\nb.txt"):
        with open(os.fsencode(root) + b"/ant/" + name, "wb") as file:
            file.write(b"no picture")
    data = open_dataset(f"folder:{root}", training=False)
    assert "a\\nb.txt" in data.notes[0]
    assert data.told[-1].endswith("/ant/\\udce9.jpg")
    assert "\n".join(data.told).isprintable() is False
    assert all(sentence.isprintable() for sentence in data.told)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_names_that_several_classes_have_are_told(make_classes):
    data = open_dataset(table(make_classes(["ant"]), "crane", "ant", "crane "), training=False)
    assert data.class_names == ("crane", "ant", "crane")
    assert data.notes == (
        "Several classes have one name ('crane'), which does not tell them apart",
    )


@pytest.mark.parametrize(("name", "words"), [("", "no name for class 1"), (None, "is None")])
def test_a_category_without_a_name(make_coco, name, words):
    categories = [{"id": 3, "name": "dog"}, {"id": 7, "name": name}]
    with refused("c.json", words):
        open_dataset(
            make_coco([[(3, 1, 1, 9, 9)]], categories=categories), task="detect", training=False
        )


def test_an_object_without_a_name(make_voc):
    root = make_voc([[CELL], [(" ", 1, 1, 9, 9)]])
    with refused("b.xml has an object without a name"):
        open_dataset(f"voc:{root}", task="detect", training=False)


def test_names_of_objects_match_however_they_are_written(make_voc):
    short, long = (unicodedata.normalize(form, "\u00e9") for form in ("NFC", "NFD"))
    root = make_voc([[(f" {short}", 1, 1, 9, 9)], [(long, 1, 1, 9, 9)]])
    data = open_dataset(f"voc:{root}", task="detect", training=False)
    assert (data.class_names, data.examples) == ((short,), {"val": (2,)})
    (root / "labels.txt").write_text(f"{long} \r\n")
    assert open_dataset(f"voc:{root}", task="detect", training=False).examples == {"val": (2,)}


def test_a_list_of_labels_that_has_a_name_twice_after_stripping(make_voc):
    root = make_voc([[CELL]] * 2)
    (root / "labels.txt").write_text("cell\n cell \n")
    with refused("labels.txt has the class 'cell' twice"):
        open_dataset(f"voc:{root}", task="detect", training=False)
