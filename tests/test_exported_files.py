"""Real files that export_tflite.py makes, of networks and of runs."""

import json
from functools import partial

import commands
import pytest
import tiny
from commands import last_json
from making import LABELS, exported, load_network, network, photos, quick_timing, trained_run
from refusals import check_command

import export_tflite
from mnv3_tf import evaluate
from mnv3_tf.export import exporter
from mnv3_tf.export.settings import ExportSettings
from mnv3_tf.tflite.inspection import inspect
from mnv3_tf.training.trained import Trained

call = partial(commands.call, export_tflite)

SPLIT = (18, 6)
"""How many of `photos` train, and how many are evaluated on."""


@pytest.fixture(scope="module")
def weights(made) -> list[str]:
    folder = made(network, "classify")
    return [f"--model={folder / 'spec.json'}", f"--weights={folder / 'network.weights.h5'}"]


def test_float_on_pictures_with_names_of_its_own(weights, made, tmp_path, capsys):
    names = [*reversed(LABELS)]
    (tmp_path / "labels.txt").write_text("\n".join(names) + "\n")
    out = tmp_path / "new" / "m.tflite"
    labels, dataset = f"--labels={tmp_path}/labels.txt", f"--dataset=folder:{made(photos)}"
    with quick_timing():
        assert call(*weights, dataset, labels, f"--out={out}", "--threads=2", "--json") == 0
    report = last_json(capsys.readouterr().out)
    assert sorted(path.name for path in out.parent.iterdir()) == ["m.report.json", "m.tflite"]
    assert json.loads(out.with_suffix(".report.json").read_text()) == report
    assert (report["quantize"], report["agreement"]) == ("none", 1.0)
    assert report["images"] == sum(SPLIT)
    assert report["trained_on"] is None
    assert report["xnnpack"]["delegated"] == report["xnnpack"]["nodes"]
    assert report["latency_ms"]["threads"] == 2
    assert inspect(out)["labels"] == names


def test_a_run_holds_what_its_export_needs(made):
    recorded = json.loads((made(trained_run) / "run" / "run.json").read_text())["dataset"]
    assert (recorded["train_images"], recorded["val_images"]) == SPLIT
    assert recorded["class_names"] == sorted(LABELS)


def test_a_run_is_given_its_own_pictures(made, monkeypatch, tmp_path):
    """Those that trained it calibrate and train; those that judged it judge."""
    found = []
    monkeypatch.setattr(exporter, "export", lambda *asked: found.append(asked))
    run, out = f"{made(trained_run)}/run", f"{tmp_path}/m.tflite"
    exporter.export_tflite(ExportSettings(out=out, run=run, quantize="int8", qat_steps=3))
    ((spec, model, _, _, names, calibration, evaluation, training, origin, *views),) = found
    assert spec.replace(name="") == tiny.SHALLOW.replace(name="")
    assert names == tuple(sorted(LABELS))
    assert calibration.shape == (SPLIT[0], 32, 32, 3)
    ((shown, labels),) = evaluation
    assert (shown.shape, labels.shape) == ((SPLIT[1], 32, 32, 3), (SPLIT[1],))
    batch = next(training.batches(0))
    assert batch.shape == (SPLIT[0], 32, 32, 3)
    every = {picture.tobytes() for picture in (*calibration, *shown.numpy())}
    assert len(every) == sum(SPLIT)
    assert training.steps == 3
    assert origin.is_of(f"folder:{made(photos)}")
    view, others = views
    assert (view, list(others)) == ("crop", ["whole"])
    assert model(calibration, training=False).shape == (SPLIT[0], 3)


@pytest.mark.slow
def test_a_run_is_trained_in_int8(made, tmp_path, capsys):
    out, run = tmp_path / "m.tflite", made(trained_run) / "run"
    flags = ["--quantize=int8", "--qat_steps=3", "--hard_swish=composite", "--json"]
    with quick_timing():
        assert call(f"--run={run}", f"--out={out}", *flags) == 0
    printed = capsys.readouterr().out
    report = last_json(printed)
    assert (report["method"], report["qat_steps"], report["images"]) == ("qat", 3, SPLIT[1])
    assert report["xnnpack"]["partitions"] == 1
    assert f"training, 3 steps on {SPLIT[0]} pictures" in printed
    assert "step 3/3  divergence" in printed
    assert inspect(out)["labels"] == sorted(LABELS)
    # The checkpoints are gone.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.report.json", "m.tflite"]


@pytest.mark.slow
def test_int8_in_a_process_of_its_own(weights, made, tmp_path, capsys):
    """What is printed last is the report, and evaluate reads the file."""
    out, source = tmp_path / "m.tflite", f"folder:{made(photos)}"
    flags = [*weights, "--quantize=int8", f"--calibration={source}", f"--out={out}", "--json"]
    status, printed, err = commands.run("export_tflite.py", *flags)
    assert status == 0, err
    report = last_json(printed)
    assert json.loads(out.with_suffix(".report.json").read_text()) == report
    said = " ".join(printed.split())
    assert "int8 by post-training quantisation on up to 512 pictures" in said
    assert f"Warning: Calibrated on {SPLIT[0]} pictures" in err
    assert "XNNPACK has no int8 HARD_SWISH" in said
    assert (report["quantize"], report["method"]) == ("int8", "ptq")
    assert "qat_steps" not in report
    assert report["xnnpack"]["partitions"] == 1
    assert report["float_islands"] == 0
    # A fourth is held out to see that the file agrees; a set that calibrates never judges.
    assert report["images"] == SPLIT[1]
    assert report["top1"] == {"float": None, "exported": None}
    assert report["agreement"] > 0.5
    assert inspect(out)["labels"] is None

    judge = [f"--model_file={out}", f"--dataset={source}", "--json"]
    assert commands.call(evaluate, *judge) == 0
    found = last_json(capsys.readouterr().out)
    # All of the set, which no run has divided: what was held out here is among it.
    assert found["images"] == sum(SPLIT)
    assert found["top1"] is not None


def test_what_does_not_fit_the_network(weights, made, tmp_path, monkeypatch, capsys):
    content = (made(exported, "classify") / "m.tflite").read_bytes()
    monkeypatch.setattr(exporter, "convert", lambda *_: content)
    loaded = Trained(*load_network(made(network, "classify")))
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "file").write_text("")
    out = f"--out={tmp_path}/m.tflite"
    assert call(*weights, "--num_classes=4", out) == 2
    assert "no head of 4 classes" in capsys.readouterr().err
    monkeypatch.setattr(exporter, "load_weights", lambda *_, new_head: loaded)
    for arguments, named in (
        (["--labels=/nowhere/l.txt", out], "Cannot read /nowhere/l.txt"),
        (["--dataset=folder:/nowhere", out], "/nowhere"),
        ([f"--labels={tmp_path}/labels.txt", out], "names 2 classes, but tiny has 3"),
        ([f"--out={tmp_path}/file/m.tflite"], f"Cannot write {tmp_path}/file/m.tflite"),
    ):
        check_command(export_tflite, [*weights, *arguments], named, capsys, tmp_path)
