"""The command, end to end, on tiny files of every task."""

import json
from pathlib import Path

import numpy as np
import pytest
from colour_tasks import colour_file, flag_picture, picture, save
from commands import run
from looking import in_process
from PIL import Image
from refusals import check_command, check_sentence

from mnv3_tf import predict
from mnv3_tf.tflite import metadata
from mnv3_tf.ui import cli

NAMES = ["rot", "grün", "blau"]
BLACK_TOO = ["schwarz", *NAMES]
CORNER = ("red", (0, 0, 24, 16))
MIDDLE = ("blue", (96, 64, 120, 80))


def call(*arguments) -> int:
    return cli.call(predict.main, predict.define_flags, ["predict", *map(str, arguments)], "image")


def last_json(capsys) -> dict:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


LABELS = {"classify": NAMES, "detect": NAMES, "scores": BLACK_TOO, "classes": BLACK_TOO}


def named_files(made, folder: Path) -> None:
    for kind, names in LABELS.items():
        content = (made(colour_file, kind) / "m.tflite").read_bytes()
        (folder / f"{kind}.tflite").write_bytes(metadata.add_metadata(content, names))


@pytest.fixture(scope="module")
def files(made) -> dict[str, Path]:
    ours = {kind: made(named_files) / f"{kind}.tflite" for kind in LABELS}
    others = {f"foreign {kind}": made(colour_file, kind) / "m.tflite" for kind in LABELS}
    return ours | others | {"detect raw": made(colour_file, "detect raw") / "m.tflite"}


@pytest.fixture(autouse=True)
def at_once():
    """Nothing here crashes."""
    with in_process():
        yield


def flag(path: Path) -> str:
    return f"--model_file={path}"


def test_what_a_classifier_sees(files, tmp_path, capsys):
    """The flag decides, else what the file records, else the centre."""
    shown = flag_picture(tmp_path / "p.png")
    recorded = tmp_path / "recorded.tflite"
    recorded.write_bytes(metadata.add_metadata(files["classify"].read_bytes(), NAMES, view="whole"))
    for file, words, seen in (
        (files["classify"], [], ("crop", "grün")),
        (files["classify"], ["--view=whole"], ("whole", "rot")),
        (recorded, [], ("whole", "rot")),
        (recorded, ["--view=crop"], ("crop", "grün")),
    ):
        assert call(flag(file), shown, *words, "--json") == 0
        found = last_json(capsys)
        assert (found["view"], found["pictures"][0]["classes"][0]["label"]) == seen
    assert call(flag(files["detect"]), shown, "--view=crop") == 2
    check_sentence(capsys.readouterr().err, "--view=crop", "--task=detect", "the whole picture")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_classifier(files, tmp_path, capsys):
    shown = save(picture((90, 120), ("green", (0, 0, 120, 90))), tmp_path / "leaf.png")
    out = tmp_path / "out"
    assert call(flag(files["classify"]), shown, f"--out={out}", "--top=2", "--json") == 0
    text = capsys.readouterr().out
    found = json.loads(text.strip().splitlines()[-1])
    assert (found["task"], found["labels"], found["failed"]) == ("classify", NAMES, [])
    classes = found["pictures"][0]["classes"]
    assert [one["label"] for one in classes] == ["grün", "rot"]
    assert classes[0]["index"] == 1
    assert classes[0]["probability"] > 0.99
    assert "grün" in text
    assert json.loads((out / "leaf.json").read_text()) == found["pictures"][0]
    drawn = pixels(out / "leaf.png")
    np.testing.assert_array_equal(drawn[:90, :120], pixels(shown))
    assert len(drawn) > 110


def test_a_detector(files, tmp_path, capsys):
    shown = save(picture((128, 192), CORNER, MIDDLE), tmp_path / "cells.png")
    out = tmp_path / "out"
    assert call(flag(files["detect"]), shown, f"--out={out}", "--json") == 0
    found = last_json(capsys)["pictures"][0]
    assert (found["width"], found["height"]) == (192, 128)
    boxes = {one["label"]: one["box"] for one in found["detections"]}
    assert boxes == {"rot": [0, 0, 24, 16], "blau": [96, 64, 120, 80]}
    assert json.loads((out / "cells.json").read_text()) == found
    drawn = pixels(out / "cells.png")
    assert drawn.shape == (128, 192, 3)
    assert (drawn != pixels(shown)).any()


def test_the_score_decides(files, tmp_path, capsys):
    shown = save(picture((128, 192), CORNER), tmp_path / "cells.png")
    counts = []
    for score in (0.01, 0.5, 1):
        assert call(flag(files["detect"]), shown, f"--score={score}", "--json") == 0
        counts.append(len(last_json(capsys)["pictures"][0]["detections"]))
    assert counts[0] > 10
    assert counts[1:] == [1, 0]
    assert call(flag(files["detect"]), shown, "--score=1") == 0
    assert "nothing" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["scores", "classes"])
def test_a_segmentation_network(files, tmp_path, capsys, kind):
    shown = save(picture((128, 192), ("green", (0, 0, 192, 64))), tmp_path / "street.png")
    out = tmp_path / "out"
    assert call(flag(files[kind]), shown, f"--out={out}", "--json") == 0
    found = last_json(capsys)["pictures"][0]
    shares = {one["label"]: one["share"] for one in found["classes"]}
    assert set(shares) == {"schwarz", *NAMES}
    assert shares["rot"] == shares["blau"] == 0
    assert abs(shares["grün"] - 0.5) < 0.02
    mask = pixels(out / "street.mask.png")
    assert mask.shape == (128, 192)
    assert (mask[:60] == 2).all()
    assert (mask[70:] == 0).all()
    assert found["mask"] == str(out / "street.mask.png")
    assert pixels(out / "street.png").shape == (128, 192, 3)


@pytest.mark.parametrize("kind", ["classify", "detect", "scores", "classes"])
def test_files_of_others(files, tmp_path, capsys, kind):
    shown = save(picture((64, 64), ("blue", (8, 8, 16, 16))), tmp_path / "a.png")
    out = tmp_path / "out"
    assert call(flag(files[f"foreign {kind}"]), shown, f"--out={out}", "--json") == 0
    found = last_json(capsys)
    one = found["pictures"][0]
    labels = [c["label"] for c in one.get("detections", one.get("classes"))]
    assert found["labels"] is None
    assert ("class 3" if found["task"] == "segment" else "class 2") in labels
    assert (out / "a.png").is_file()


def test_boxes_are_those_of_the_upright_picture(files, tmp_path, capsys):
    upright = picture((128, 192), CORNER, MIDDLE)
    # 6: the camera was turned; a viewer turns the stored pixels a quarter clockwise.
    shown = save(np.rot90(upright), tmp_path / "turned.png", orientation=6)
    out = tmp_path / "out"
    assert call(flag(files["detect"]), shown, f"--out={out}", "--json") == 0
    found = last_json(capsys)["pictures"][0]
    assert (found["width"], found["height"]) == (192, 128)
    boxes = {one["label"]: one["box"] for one in found["detections"]}
    assert boxes["rot"] == [0, 0, 24, 16]
    assert pixels(out / "turned.png").shape == (128, 192, 3)


def test_without_a_folder_there_is_a_table_alone(files, tmp_path, monkeypatch, capsys):
    shown = save(picture((90, 120), CORNER), tmp_path / "in" / "a.png")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert call(flag(files["classify"]), shown) == 0
    assert "a.png" in capsys.readouterr().out
    assert not list(tmp_path.glob("here/*"))


def test_pictures_of_one_name_do_not_meet(files, tmp_path, capsys):
    shades = {"a/x.png": "red", "b/x.png": "green", "b/X.bmp": "blue", "a/x-2.png": "blue"}
    for name, colour in shades.items():
        save(picture((64, 64), (colour, (0, 0, 64, 64))), tmp_path / name)
    out = tmp_path / "out"
    given = [tmp_path / name for name in shades]
    assert call(flag(files["classify"]), *given, f"--out={out}", "--json") == 0
    found = last_json(capsys)["pictures"]
    assert len({one["drawing"].casefold() for one in found}) == 4
    best = [one["classes"][0]["label"] for one in found]
    assert best == ["rot", "grün", "blau", "blau"]
    for one, shown in zip(found, given, strict=True):
        assert one["picture"] == str(shown)
        told = json.loads(Path(one["drawing"]).with_suffix(".json").read_text())
        assert told == one


def test_masks_and_drawings_do_not_meet(files, tmp_path, capsys):
    for name, colour in (("s.mask.png", "red"), ("s.png", "green")):
        save(picture((64, 64), (colour, (0, 0, 64, 64))), tmp_path / "in" / name)
    out = tmp_path / "out"
    assert call(flag(files["scores"]), tmp_path / "in", f"--out={out}", "--json") == 0
    found = last_json(capsys)["pictures"]
    written = [one[key] for one in found for key in ("drawing", "mask")]
    assert len(set(written)) == 4
    assert sorted(np.unique(pixels(Path(one["mask"]))).tolist()[0] for one in found) == [1, 2]


def test_a_picture_is_not_overwritten(files, tmp_path, capsys):
    shown = save(picture((64, 64), CORNER), tmp_path / "a.png")
    before = shown.read_bytes()
    assert call(flag(files["classify"]), shown, f"--out={tmp_path}", "--json") == 0
    assert shown.read_bytes() == before
    assert last_json(capsys)["pictures"][0]["drawing"] == str(tmp_path / "a-2.png")


def test_a_folder_stands_for_its_pictures(files, tmp_path, capsys):
    for name in ("b.PNG", "a.jpg", "deep/c.png", ".hidden.png"):
        save(picture((64, 64), CORNER), tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    folder, out = tmp_path / "in", tmp_path / "in" / "out"
    for _ in range(2):  # what the first time wrote is no picture of the second
        given = (folder, folder / "a.jpg", folder / "deep" / ".." / "a.jpg")
        assert call(flag(files["classify"]), *given, f"--out={out}", "--json") == 0
        found = [Path(one["picture"]).name for one in last_json(capsys)["pictures"]]
        assert found == ["a.jpg", "b.PNG", "c.png"]


def test_what_cannot_be_read_is_named_and_the_others_are_done(files, tmp_path, capsys):
    good = save(picture((64, 64), CORNER), tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff no picture")
    given = (tmp_path / "bad.jpg", good, tmp_path / "absent.png")
    out = tmp_path / "out"
    assert call(flag(files["classify"]), *given, f"--out={out}", "--json") == 1
    said = capsys.readouterr()
    found = json.loads(said.out.strip().splitlines()[-1])
    assert [Path(one["picture"]).name for one in found["pictures"]] == ["good.png"]
    assert [Path(one["picture"]).name for one in found["failed"]] == ["bad.jpg", "absent.png"]
    assert "bad.jpg" in found["failed"][0]["reason"]
    last = said.err.strip().splitlines()[-1]
    assert last.startswith("2 of 3 pictures failed; the others are done: ")
    assert "bad.jpg is " in last
    assert "absent.png cannot be read: No such file or directory" in last
    assert sorted(path.name for path in out.iterdir()) == ["good.json", "good.png"]


def test_nothing_but_what_cannot_be_read(files, tmp_path, capsys):
    (tmp_path / "bad.jpg").write_bytes(b"")
    assert call(flag(files["classify"]), tmp_path / "bad.jpg") == 1
    assert "1 of 1 pictures failed: " in capsys.readouterr().err


def test_bad_input(files, tmp_path, closed_folder, capsys):
    shown = save(picture((64, 64), CORNER), tmp_path / "in" / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.tflite").write_bytes(files["classify"].read_bytes()[:999])
    (tmp_path / "file").write_text("")
    model = flag(files["classify"])
    cases = [
        ([model, tmp_path / "empty"], "holds no pictures"),
        ([flag(tmp_path / "none.tflite"), shown], "none.tflite: No such file"),
        ([flag(shown), shown], "is not a .tflite file"),
        ([flag(tmp_path / "damaged.tflite"), shown], "cut short or damaged"),
        ([model, shown.parent, f"--out={shown.parent}"], "is the folder of the pictures"),
        ([model, shown, f"--out={tmp_path / 'file'}"], "is a file; choose a folder"),
        ([model, shown, f"--out={closed_folder / 'out'}"], "choose a folder that you can write"),
        ([flag(files["detect raw"]), shown], "does not tell the anchors"),
    ]
    for arguments, named in cases:
        words = [f"--image={word}" if isinstance(word, Path) else word for word in arguments]
        check_command(predict, words, named, capsys, tmp_path)
    for words, named in (([], "--model_file is missing; give"), ([model], "Which pictures? Give")):
        assert call(*words) == 2
        assert capsys.readouterr().err.startswith(named)
    for wrong in ("--score=2", "--score=-0.1", "--top=0", "--threads=0", "--ous=x"):
        assert call(model, shown, wrong) == 2
        assert wrong.strip("-").partition("=")[0] in capsys.readouterr().err


def test_tensorflow_is_not_needed(files, tmp_path):
    shown = save(picture((64, 64), CORNER), tmp_path / "a.png")
    code = (
        "import sys; from mnv3_tf import predict\n"
        "from mnv3_tf.ui import cli\n"
        "for file in sys.argv[1:]:\n"
        "    words = ['predict', '--model_file=' + file, "
        f"'{shown}', '--out={tmp_path / 'out'}']\n"
        "    assert cli.call(predict.main, predict.define_flags, words, 'image') == 0\n"
        "assert 'tensorflow' not in sys.modules"
    )
    models = [str(files[kind]) for kind in ("classify", "detect", "scores")]
    status, _, err = run("-c", code, *models)
    assert status == 0, err
