import hashlib
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from colour_tasks import COLOURS, colour_file, flag_picture
from commands import last_json
from making import LABELS, exported, network, photos, trained_run
from refusals import check_command

from mnv3_tf import evaluate
from mnv3_tf.tflite import metadata
from mnv3_tf.training.run_folder import RunFolder, origin_of
from mnv3_tf.ui import cli

JUDGED = 6
"""Of the 24 `photos`."""


def call(*arguments: str) -> int:
    return cli.call(evaluate.main, evaluate.define_flags, ["evaluate", *arguments])


@pytest.fixture(scope="module")
def pictures(made) -> Path:
    return made(photos)


@pytest.fixture(scope="module")
def run(made) -> Path:
    return made(trained_run) / "run"


@pytest.fixture(scope="module")
def summary(run) -> dict:
    return json.loads((run / "summary.json").read_text())


@pytest.fixture(scope="module")
def nameless(made) -> list[str]:
    """Weights of which nothing is known but the network."""
    source = made(network, "classify")
    return [f"--model_file={source}/network.weights.h5", f"--model={source}/spec.json"]


@pytest.fixture(scope="module")
def weights(run) -> list[str]:
    return [f"--model_file={run}/best.weights.h5", f"--model={run.parent}/model.json"]


def test_a_run_folder_is_judged_by_the_pictures_that_it_was_judged_by(run, summary, capsys):
    assert call(f"--model_file={run}", "--json") == 0
    printed = capsys.readouterr().out
    found = last_json(printed)
    title = next(line for line in printed.splitlines() if "top-1" in line)
    assert title.split() == ["model", "split", "view", "images", "top-1", "top-5"]
    row = ["shallow", "val", "crop", str(JUDGED), f"{found['top1']:.4f}", "1.0000"]
    assert row in [line.split() for line in printed.splitlines()]
    assert found["top1"] == summary["val_top1"]
    assert found["images"] == JUDGED
    assert (found["top5"], found["skipped"], found["split"]) == (1.0, 0, "val")
    assert found["skipped_files"] == []
    assert (found["model"], found["task"], found["num_classes"]) == ("shallow", "classify", 3)
    assert (found["model_file"], found["resolution"]) == (str(run), 32)
    assert found["class_names"] == sorted(LABELS)
    assert found["dataset"] in printed


def test_its_weights_file_gives_the_same(weights, pictures, summary, capsys):
    """On the run's own pictures, however they are called, and of none that trained it."""
    detour = f"{pictures}/../{pictures.name}/"
    assert call(*weights, f"--dataset=folder:{detour}", "--json") == 0
    found = last_json(capsys.readouterr().out)
    assert (found["top1"], found["images"]) == (summary["val_top1"], JUDGED)


def test_which_pictures_judge(run, weights, pictures, monkeypatch, capsys):
    """Those of the run unless others are given; only its own may have been trained on."""
    from mnv3_tf.data import sources
    from mnv3_tf.errors import Failure

    asked = {}

    def keep(name, **options):
        asked.update(options, name=name)
        raise Failure("Enough.")

    monkeypatch.setattr(sources, "open_dataset", keep)
    own, same = f"folder:{pictures}", {"resolution": 32, "task": "classify"}
    for words, expected in (
        ([f"--model_file={run}"], {"name": own, "data_dir": None, "seed": 9, "training": True}),
        (weights, {"name": own, "data_dir": None, "seed": 9, "training": True}),
        (
            [f"--model_file={run}", "--dataset=shapes", "--seed=3", "--data_dir=/d"],
            {"name": "shapes", "data_dir": "/d", "seed": 3, "training": False},
        ),
        (
            [*weights, "--dataset=shapes"],
            {"name": "shapes", "data_dir": None, "seed": 9, "training": False},
        ),
    ):
        assert call(*words) == 1
        assert asked == expected | same
    capsys.readouterr()


def test_all_of_another_set_judges(run, pictures, tmp_path, capsys):
    """A copy of the pictures: nobody knows that some of them trained."""
    shutil.copytree(pictures, tmp_path / "copy")
    assert call(f"--model_file={run}", f"--dataset=folder:{tmp_path}/copy", "--json") == 0
    assert last_json(capsys.readouterr().out)["images"] == 24


def test_a_file_is_judged_by_what_its_run_was_judged_by(run, summary, made, tmp_path, capsys):
    report = {"trained_on": asdict(origin_of(RunFolder(run).recorded()))}
    file = tmp_path / "m.tflite"
    shutil.copy(made(exported, "classify") / "m.tflite", file)
    report["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_suffix(".report.json").write_text(json.dumps(report))
    assert call(f"--model_file={file}", "--json") == 0
    assert last_json(capsys.readouterr().out)["images"] == JUDGED
    # Of a file that was made anew the report says nothing.
    file.with_suffix(".report.json").write_text(json.dumps(report | {"sha256": "0"}))
    assert call(f"--model_file={file}", f"--dataset=folder:{made(photos)}", "--json") == 0
    assert last_json(capsys.readouterr().out)["images"] == 24


def test_which_part_judges(weights, pictures, monkeypatch, capsys):
    from mnv3_tf.data import sources

    whole = sources.open_dataset(f"folder:{pictures}", resolution=32, training=True)
    words = [*weights, "--dataset=it", "--json", "--batch_size=5"]
    test = {"test": whole.val, "val": None}
    for parts, more, split, images in (
        ({}, [], "val", JUDGED),
        ({}, ["--split=train"], "train", 18),
        ({"val": None}, [], "train", 18),
        (test, [], "test", JUDGED),
    ):
        given = replace(whole, skipped=("a.png", "b.png"), **parts)
        monkeypatch.setattr(sources, "open_dataset", lambda *_, given=given, **__: given)
        assert call(*words, *more) == 0
        printed = capsys.readouterr().out
        found = last_json(printed)
        assert (found["split"], found["images"], found["skipped"]) == (split, images, 2)
        assert found["skipped_files"] == ["a.png", "b.png"]
    for parts, more, named in (
        ({"train": None, "val": None}, [], "holds no pictures"),
        ({}, ["--split=test"], f"{whole.name} has train, val alone"),
    ):
        given = replace(whole, **parts)
        monkeypatch.setattr(sources, "open_dataset", lambda *_, given=given, **__: given)
        assert call(*words, *more) == 2
        assert named in capsys.readouterr().err


def test_class_by_class(run, summary, tmp_path, capsys):
    assert call(f"--model_file={run}", "--json", f"--out={tmp_path}/new") == 0
    printed = capsys.readouterr().out
    found = last_json(printed)
    assert found["per_class"] == summary["per_class"]
    assert [row["name"] for row in found["per_class"]] == sorted(LABELS)
    matrix = np.array(found["confusion"])
    assert matrix.sum(1).tolist() == [row["images"] for row in found["per_class"]] == [2, 2, 2]
    assert matrix.trace() / JUDGED == found["top1"]
    recalls = [row["recall"] for row in found["per_class"]]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert "Balanced accuracy" in printed
    written = {path.name for path in (tmp_path / "new").iterdir()}
    assert written == {"evaluation.json", "confusion.png", "mistakes.html"}
    kept = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    assert kept == {key: value for key, value in found.items() if key != "model_file"}
    page = (tmp_path / "new" / "mistakes.html").read_text()
    assert page.count(".png</figcaption>") == JUDGED - matrix.trace()


def test_what_cannot_be_judged(run, weights, nameless, tmp_path, pictures, capsys):
    for name, source in (("cat", LABELS[0]), ("dog", LABELS[1])):
        (tmp_path / "pets" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "pets" / name).symlink_to(pictures / source)
    for name in "abcd":
        (tmp_path / "many" / name).mkdir(parents=True)
        for path in (pictures / LABELS[0]).iterdir():
            # No picture is of two classes.
            (tmp_path / "many" / name / path.name).write_bytes(path.read_bytes() + name.encode())
    (tmp_path / "m.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3\x00\x00")
    (tmp_path / "empty").mkdir()
    (tmp_path / "two.txt").write_text("one\ntwo\n")
    shapes = "--dataset=shapes"
    for words, named in (
        ([], "--model_file is missing"),
        (["--model_file=/nowhere/m.tflite", shapes], "--model_file=/nowhere/m.tflite does not"),
        (["--model_file=imagenet"], "--dataset is missing"),
        ([f"--model_file={tmp_path}/empty", shapes], "holds no run.json"),
        ([f"--model_file={tmp_path}/m.tflite", shapes], f"{tmp_path}/m.tflite"),
        ([f"--model_file={run}", f"--dataset=folder:{tmp_path}/pets"], ("cat, dog", "one, three")),
        ([*weights, f"--dataset=folder:{tmp_path}/many"], ("classes a, b, c, d", "one, three")),
        ([*nameless, f"--dataset=folder:{tmp_path}/many"], ("has 4 classes, but tiny has 3")),
        ([*nameless, f"--dataset=folder:{tmp_path}/pets"], ("has 2 classes", "--labels=FILE")),
        ([f"--model_file={run}", "--seed=3"], ("--seed=3", "--seed=9")),
        ([f"--model_file={run}", f"--labels={tmp_path}/two.txt"], ("names 2 classes", "has 3")),
        ([f"--model_file={run}", "--labels=/nowhere"], "Cannot read /nowhere"),
    ):
        check_command(evaluate, words, named, capsys, tmp_path)


def test_flags_that_do_not_fit(run, weights, pictures, capsys):
    for words, named in (
        ([*weights, "--num_classes=4", f"--dataset=folder:{pictures}"], "no head of 4 classes"),
        ([f"--model_file={run}", "--batch_size=0"], "batch_size"),
        ([f"--model_file={run}", "--threads=0"], "threads"),
    ):
        assert call(*words) == 2
        assert named in capsys.readouterr().err.splitlines()[-1]


def test_a_tflite_gives_what_its_model_gives(made, nameless, pictures, tmp_path, capsys):
    """Names of classes decide: in the folder they have another order."""
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    keras = [*nameless, f"--labels={tmp_path}/labels.txt"]
    found = []
    for model in (keras, [f"--model_file={made(exported, 'classify')}/m.tflite"]):
        assert call(*model, f"--dataset=folder:{pictures}", "--json") == 0
        found.append(last_json(capsys.readouterr().out))
    ours, theirs = found
    assert (theirs["model"], theirs["model_file"]) != (ours["model"], ours["model_file"])
    for name in ("top1", "top5", "images", "resolution", "num_classes", "task", "split"):
        assert ours[name] == theirs[name], name
    assert theirs["resolution"] == tiny.CLASSIFIER.resolution


def test_what_is_seen_of_a_picture(made, tmp_path, capsys):
    """The flag decides, else what the file records, else what suits the pictures."""
    content, table = (made(colour_file, "classify") / "m.tflite").read_bytes(), tmp_path / "p.csv"
    flag_picture(tmp_path / "p.png")
    table.write_text("filename,class_index\np.png,0\np.png,2\n")
    recorded, silent = tmp_path / "recorded.tflite", tmp_path / "silent.tflite"
    recorded.write_bytes(metadata.add_metadata(content, COLOURS, view="whole"))
    silent.write_bytes(metadata.add_metadata(content, COLOURS))
    for file, words, seen in (
        (silent, [], ("crop", 0.0)),
        (silent, ["--view=whole"], ("whole", 0.5)),
        (recorded, [], ("whole", 0.5)),
        (recorded, ["--view=crop"], ("crop", 0.0)),
    ):
        assert call(f"--model_file={file}", f"--dataset=csv:{table}", *words, "--json") == 0
        found = last_json(capsys.readouterr().out)
        assert (found["view"], found["top1"]) == seen


@pytest.mark.slow
def test_the_released_weights_on_real_photographs(shared, capsys):
    weights = shared / "mnv3_small_imagenet/mobilenet_v3_small_1.0_224_imagenet_folded.npz"
    dataset = f"--dataset=csv:{shared}/imagenet_samples_256/labels.csv"
    assert call(f"--model_file={weights}", "--model=small", dataset, "--json") == 0
    assert last_json(capsys.readouterr().out)["top1"] >= 0.795
