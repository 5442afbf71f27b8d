"""A task is a file and a line: one that the toolkit has never heard of goes all the way."""

import json

import numpy as np
import pytest
import tiny
from embedding_task import EMBED, EmbeddingSpec
from making import colours, quick_timing, without_curves, written
from PIL import Image

import export_tflite
import train
from mnv3_tf import evaluate, predict
from mnv3_tf.tasks import TASKS
from mnv3_tf.tflite import skeleton
from mnv3_tf.tflite.predictor import open_model
from mnv3_tf.training.trained import load_run
from mnv3_tf.ui import cli


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, EMBED.name, EMBED)
        yield


def call(command, *words: str, bare: str | None = None) -> None:
    assert cli.call(command.main, command.define_flags, [command.__name__, *words], bare) == 0


def last_json(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture(scope="module")
def run(made, tmp_path_factory):
    """The folder of a training of two steps."""
    out = tmp_path_factory.mktemp("embedding") / "run"
    model = made(written, tiny.SHALLOW) / "spec.json"
    words = [f"--model={model}", f"--dataset=folder:{made(colours)}", f"--out={out}"]
    with without_curves():
        words += ["--recipe=quick", "--steps=2", "--batch_size=8", "--override=optimizer=sgd"]
        call(train, "--task=embed", *words)
    return out


@pytest.fixture(scope="module")
def file(run):
    """The run's .tflite."""
    out = run.parent / "m.tflite"
    with quick_timing():
        call(export_tflite, f"--run={run}", f"--out={out}")
    return out


def test_training(run):
    assert isinstance(load_run(run).spec, EmbeddingSpec)
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["task"], summary["steps"], summary["num_classes"]) == ("embed", 2, 3)
    (row,) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert row["val_recall1"] == summary["val_recall1"]
    assert 0 < row["val_recall1"] <= 1
    assert not {"val_top1", "val_loss"} & row.keys()


def test_evaluation_of_the_run_and_of_its_file(run, file, made, capsys):
    data = f"--dataset=folder:{made(colours)}"
    found = []
    for model in (run, file):
        call(evaluate, f"--model_file={model}", data, "--json")
        found.append(last_json(capsys))
    summary = json.loads((run / "summary.json").read_text())
    for one in found:
        assert (one["task"], one["images"]) == ("embed", 15)
        assert one["recall1"] == pytest.approx(summary["val_recall1"])


def test_the_report(file):
    report = json.loads(file.with_suffix(".report.json").read_text())
    assert (report["task"], report["images"], report["agreement"]) == ("embed", 15, 1.0)
    assert report["recall1"]["float"] == report["recall1"]["exported"]
    assert report["top1"] == {"float": None, "exported": None}


def test_predictions(file, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    call(predict, f"--model_file={file}", str(tmp_path / "a.png"), "--json", bare="image")
    found = last_json(capsys)
    (picture,) = found["pictures"]
    assert found["task"] == "embed"
    assert np.linalg.norm(picture["vector"]) == pytest.approx(1, abs=1e-5)


def test_its_file_is_known_by_its_spec_alone(file, tmp_path):
    assert open_model(file).task == "embed"
    spec = EmbeddingSpec(**vars(tiny.SHALLOW))
    (tmp_path / "m.tflite").write_bytes(skeleton.network(spec))
    assert open_model(tmp_path / "m.tflite").task == "classify"
