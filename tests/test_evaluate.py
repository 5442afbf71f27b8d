import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from commands import last_json
from making import LABELS, exported, network, photos, trained_run
from refusals import check_command

from mnv3_tf import evaluate
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
def weights(run) -> list[str]:
    return [f"--model_file={run}/best.weights.h5", f"--model={run.parent}/model.json"]


def test_a_run_folder_is_judged_by_the_pictures_that_it_was_judged_by(run, summary, capsys):
    assert call(f"--model_file={run}", "--json") == 0
    printed = capsys.readouterr().out
    found = last_json(printed)
    title = next(line for line in printed.splitlines() if "top-1" in line)
    assert title.split() == ["model", "split", "images", "top-1", "top-5"]
    row = ["shallow", "val", str(JUDGED), f"{found['top1']:.4f}", "1.0000"]
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
    assert call(*weights, f"--dataset=folder:{pictures}", "--seed=9", "--json") == 0
    assert last_json(capsys.readouterr().out)["top1"] == summary["val_top1"]


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
        (
            [f"--model_file={run}", "--dataset=shapes", "--seed=3", "--data_dir=/d"],
            {"name": "shapes", "data_dir": "/d", "seed": 3, "training": False},
        ),
        (
            [*weights, "--dataset=shapes"],
            {"name": "shapes", "data_dir": None, "seed": 0, "training": False},
        ),
    ):
        assert call(*words) == 1
        assert asked == expected | same
    capsys.readouterr()


def test_a_training_set_judges_where_there_is_no_other(weights, pictures, monkeypatch, capsys):
    from mnv3_tf.data import sources

    whole = sources.open_dataset(f"folder:{pictures}", resolution=32, training=True)
    words = [*weights, "--dataset=it", "--json", "--batch_size=5"]
    for parts, split, images in (({}, "val", JUDGED), ({"val": None}, "train", 18)):
        given = replace(whole, skipped=("a.png", "b.png"), **parts)
        monkeypatch.setattr(sources, "open_dataset", lambda *_, given=given, **__: given)
        assert call(*words) == 0
        printed = capsys.readouterr().out
        found = last_json(printed)
        assert (found["split"], found["images"], found["skipped"]) == (split, images, 2)
        assert found["skipped_files"] == ["a.png", "b.png"]
    given = replace(whole, train=None, val=None)
    monkeypatch.setattr(sources, "open_dataset", lambda *_, **__: given)
    assert call(*words) == 2
    assert "holds no pictures" in capsys.readouterr().err


def test_what_cannot_be_judged(run, weights, tmp_path, pictures, capsys):
    for name, source in (("cat", LABELS[0]), ("dog", LABELS[1])):
        (tmp_path / "pets" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "pets" / name).symlink_to(pictures / source)
    for name in "abcd":
        (tmp_path / "many").mkdir(exist_ok=True)
        (tmp_path / "many" / name).symlink_to(pictures / LABELS[0])
    (tmp_path / "m.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3\x00\x00")
    (tmp_path / "empty").mkdir()
    shapes = "--dataset=shapes"
    for words, named in (
        ([], "--model_file is missing"),
        (["--model_file=/nowhere/m.tflite", shapes], "--model_file=/nowhere/m.tflite does not"),
        (["--model_file=imagenet"], "--dataset is missing"),
        ([f"--model_file={tmp_path}/empty", shapes], "holds no run.json"),
        ([f"--model_file={tmp_path}/m.tflite", shapes], f"{tmp_path}/m.tflite"),
        ([f"--model_file={run}", f"--dataset=folder:{tmp_path}/pets"], ("cat, dog", "one, three")),
        ([*weights, f"--dataset=folder:{tmp_path}/many"], ("has 4 classes, but shallow has 3")),
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


def test_a_tflite_gives_what_its_model_gives(made, pictures, capsys):
    source = made(network, "classify")
    keras = [f"--model_file={source}/network.weights.h5", f"--model={source}/spec.json"]
    found = []
    for model in (keras, [f"--model_file={made(exported, 'classify')}/m.tflite"]):
        assert call(*model, f"--dataset=folder:{pictures}", "--json") == 0
        found.append(last_json(capsys.readouterr().out))
    ours, theirs = found
    assert (theirs["model"], theirs["model_file"]) != (ours["model"], ours["model_file"])
    for name in ("top1", "top5", "images", "resolution", "num_classes", "task", "split"):
        assert ours[name] == theirs[name], name
    assert theirs["resolution"] == tiny.CLASSIFIER.resolution


@pytest.mark.slow
def test_the_released_weights_on_real_photographs(shared, capsys):
    weights = shared / "mnv3_small_imagenet/mobilenet_v3_small_1.0_224_imagenet_folded.npz"
    dataset = f"--dataset=csv:{shared}/imagenet_samples_256/labels.csv"
    assert call(f"--model_file={weights}", "--model=small", dataset, "--json") == 0
    assert last_json(capsys.readouterr().out)["top1"] >= 0.795
