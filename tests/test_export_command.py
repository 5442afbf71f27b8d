"""export_tflite.py as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from random_network import noise, randomise, settle

import export_tflite
from mnv3_tf import cli, evaluate
from mnv3_tf.networks import resolve

ROOT = Path(__file__).parents[1]
CLASSES = [f"kind {letter}" for letter in "abcdefghij"]
NETWORK = ["--model=small", "--width=0.35", "--resolution=64", "--num_classes=10"]


INT8 = ["--out=m.tflite", "--weights=b", "--quantize=int8", "--calibration=folder:c"]


def call(*arguments: object) -> int:
    argv = ["export_tflite.py", *map(str, arguments)]
    return cli.call(export_tflite.main, export_tflite.define_flags, argv)


def last_json(text: str) -> dict:
    return json.loads(text.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    from mnv3_tf.models import build

    path = tmp_path_factory.mktemp("weights") / "w.weights.h5"
    model = build(resolve("small", 0.35, 64, 10))
    settle(randomise(model), noise(32, 64)).save_weights(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    from PIL import Image

    root = tmp_path_factory.mktemp("photos")
    pictures = ((noise(40, 64, seed=3) + 1) * 127.5).astype(np.uint8)
    for index, picture in enumerate(pictures):
        folder = root / CLASSES[index % 10]
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def network(weights) -> list[str]:
    return [*NETWORK, f"--weights={weights}"]


@pytest.mark.slow
def test_int8(network, photos, tmp_path, capsys):
    """Both files are written, what is printed last is the report, and evaluate reads the file."""
    out = tmp_path / "new" / "m.tflite"
    source = f"--calibration=folder:{photos}"
    assert call(*network, source, "--quantize=int8", f"--out={out}", "--json") == 0
    printed, stderr = capsys.readouterr()
    report = last_json(printed)
    assert sorted(path.name for path in out.parent.iterdir()) == ["m.report.json", "m.tflite"]
    assert json.loads(out.with_suffix(".report.json").read_text()) == report
    assert "int8 by post-training quantisation on up to 512 pictures" in printed
    assert "Warning: Calibrated on 30 pictures" in stderr
    assert "XNNPACK has no int8 HARD_SWISH" in " ".join(printed.split())
    assert (report["quantize"], report["method"], report["hard_swish"]) == (
        "int8",
        "ptq",
        "composite",
    )
    # A fourth is held out of these forty, and what calibrates never judges.
    assert report["images"] == 10

    judge = [f"--model_file={out}", f"--dataset=folder:{photos}", "--json"]
    assert cli.call(evaluate.main, evaluate.define_flags, ["evaluate", *judge]) == 0
    found = last_json(capsys.readouterr().out)
    assert found["top1"] == report["top1"]["exported"]
    assert found["images"] == report["images"]


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory) -> Path:
    """The folder of a run of train.py: a few blocks, a few steps."""
    from mnv3_tf.training.run import train
    from mnv3_tf.training.settings import Settings

    root = tmp_path_factory.mktemp("trained")
    small = resolve("small", 0.35, 32)
    (root / "tiny.json").write_text(
        small.replace(name="tiny", blocks=small.blocks[:4], hidden=16).to_json()
    )
    source, model = f"folder:{photos}", str(root / "tiny.json")
    train(Settings(source, str(root / "run"), model, recipe="quick", epochs=1, batch_size=8))
    return root / "run"


INT8_OF_RUN = ["--quantize=int8", "--hard_swish=composite", "--json"]


def check_trained(out: Path, printed: str, steps: int) -> dict:
    report = last_json(printed)
    assert (report["method"], report["qat_steps"]) == ("qat", steps)
    assert report["xnnpack"]["partitions"] == 1
    assert f"int8 by quantisation-aware training, {steps} steps on 30 pictures" in printed
    assert f"step {steps}/{steps}  divergence" in printed
    # The checkpoints are gone.
    assert sorted(path.name for path in out.parent.iterdir()) == ["m.report.json", "m.tflite"]
    return report


def test_a_run_is_trained_in_int8_on_its_own_pictures(run, tmp_path, capsys):
    out = tmp_path / "m.tflite"
    assert call(f"--run={run}", "--qat_steps=3", f"--out={out}", *INT8_OF_RUN) == 0
    report = check_trained(out, capsys.readouterr().out, 3)
    assert report["images"] == 10


def test_a_run_may_be_quantised_without_training(run, tmp_path, capsys):
    out = tmp_path / "m.tflite"
    assert call(f"--run={run}", "--method=ptq", f"--out={out}", *INT8_OF_RUN) == 0
    printed = capsys.readouterr().out
    report = last_json(printed)
    assert report["method"] == "ptq"
    assert "qat_steps" not in report
    assert "int8 by post-training quantisation" in printed


@pytest.mark.slow
def test_training_on_any_pictures(network, photos, tmp_path, capsys):
    out = tmp_path / "m.tflite"
    source = f"--calibration=folder:{photos}"
    flags = [source, "--method=qat", "--qat_steps=2", f"--out={out}", *INT8_OF_RUN]
    assert call(*network, *flags) == 0
    check_trained(out, capsys.readouterr().out, 2)


def test_a_folder_of_someone_else_is_left_alone(network, photos, tmp_path, capsys):
    (tmp_path / "m.qat").mkdir()
    (tmp_path / "m.qat" / "thesis.txt").write_text("years of work")
    source, out = f"--calibration=folder:{photos}", f"--out={tmp_path}/m.tflite"
    assert call(*network, source, "--qat_steps=2", out, *INT8_OF_RUN) == 2
    assert "m.qat exists and holds no job.json" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["m.qat", "thesis.txt"]


def test_the_training_steps_without_being_told(monkeypatch):
    """A --run is trained, for which its recipe's pictures are at hand; other networks are not."""
    import absl.flags

    from mnv3_tf.quantization import aware_training
    from mnv3_tf.trained import Trained

    def training(*arguments: str):
        values = absl.flags.FlagValues()
        export_tflite.define_flags(values)
        values(["export_tflite.py", "--quantize=int8", "--out=x/m.tflite", *arguments])
        trained = Trained(resolve("small"), None)
        return export_tflite._training(values, trained, [[None] * 5])

    assert training("--weights=w") is None
    assert training("--run=r", "--method=ptq") is None
    for flags in (["--run=r"], ["--weights=w", "--method=qat"]):
        found = training(*flags)
        assert (found.steps, found.checkpoints) == (aware_training.STEPS, Path("x/m.qat"))
    assert training("--weights=w", "--qat_steps=7").steps == 7


def test_float_without_any_pictures(network, tmp_path, capsys):
    out = tmp_path / "m.tflite"
    assert call(*network, f"--out={out}", "--json") == 0
    report = last_json(capsys.readouterr().out)
    assert (report["quantize"], report["images"], report["agreement"]) == ("none", 0, None)
    assert report["xnnpack"]["delegated"] == report["xnnpack"]["nodes"]


def test_float_on_pictures_with_names_of_its_own(network, photos, tmp_path, capsys):
    from mnv3_tf.export.inspection import inspect

    names = [f"name {index}" for index in range(10)]
    (tmp_path / "labels.txt").write_text("\n".join(names) + "\n")
    out = tmp_path / "m.tflite"
    labels, dataset = f"--labels={tmp_path}/labels.txt", f"--dataset=folder:{photos}"
    assert call(*network, dataset, labels, f"--out={out}", "--threads=2", "--json") == 0
    report = last_json(capsys.readouterr().out)
    assert report["agreement"] == 1.0
    assert report["latency_ms"]["threads"] == 2
    assert inspect(out)["labels"] == names


def test_names_of_the_dataset_travel(network, photos, tmp_path):
    from mnv3_tf.export.inspection import inspect

    out = tmp_path / "m.tflite"
    assert call(*network, f"--dataset=folder:{photos}", f"--out={out}") == 0
    assert inspect(out)["labels"] == CLASSES


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weights=w.h5"], "--out is missing"),
        (["--weights=w.h5", "--out=m.bin"], "--out=m.bin must end in .tflite"),
        (["--out=m.tflite"], "Give either --run, or --model and --weights"),
        (["--out=m.tflite", "--run=a", "--weights=b"], "Give either --run"),
        (["--out=m.tflite", "--weights=b", "--quantize=int8"], "int8 needs pictures"),
        (["--out=m.tflite", "--weights=b", "--method=foo"], "--method=foo is not one of ptq, qat"),
        (["--out=m.tflite", "--weights=b", "--method=ptq"], "are of int8; give --quantize=int8"),
        (["--out=m.tflite", "--weights=b", "--qat_steps=9"], "are of int8; give --quantize=int8"),
        ([*INT8, "--method=ptq", "--qat_steps=9"], "--qat_steps is of --method=qat; leave it out"),
        ([*INT8, "--qat_steps=0"], "qat_steps"),
        (["--out=m.tflite", "--weights=b", "--quantize=int4"], "--quantize=int4 is not one of"),
        (["--out=m.tflite", "--weights=b", "--hard_swish=x"], "--hard_swish=x is not one of"),
        (["--out=m.tflite", "--weights=b", "--input_type=uint8"], "needs --quantize=int8"),
        (["--out=m.tflite", "--weights=/nowhere/w.h5"], "/nowhere/w.h5"),
        (["--out=m.tflite", "--run=/nowhere"], "/nowhere"),
        (["--out=m.tflite", "--weights=b", "--model=resnet"], "Unknown model 'resnet'"),
        (["--out=m.tflite", "--weights=b", "--width=0"], "Width multiplier 0.0"),
        (["--out=m.tflite", "--weights=b", "--threads=0"], "threads"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--labels=/nowhere/l.txt", "--dataset=folder:/nowhere"])
def test_files_that_are_absent(flag, network, tmp_path, capsys):
    assert call(*network, flag, f"--out={tmp_path}/m.tflite") == 2
    err = capsys.readouterr().err
    assert "/nowhere" in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_labels_of_another_number(network, tmp_path, capsys):
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    out = tmp_path / "out" / "m.tflite"
    assert call(*network, f"--labels={tmp_path}/labels.txt", f"--out={out}") == 2
    err = capsys.readouterr().err
    assert "2" in err
    assert "10" in err
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_an_out_that_cannot_be_written(network, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert call(*network, f"--out={tmp_path}/file/m.tflite") == 2
    assert f"Cannot write {tmp_path}/file/m.tflite" in capsys.readouterr().err


def test_a_head_of_another_size(weights, tmp_path, capsys):
    network = [*NETWORK[:3], "--num_classes=4", f"--weights={weights}"]
    assert call(*network, f"--out={tmp_path}/m.tflite") == 2
    assert "no head of 4 classes" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_in_a_process_of_its_own_on_shapes(network, tmp_path):
    out = tmp_path / "m.tflite"
    flags = [*network, "--quantize=int8", "--calibration=shapes", f"--out={out}", "--json"]
    done = subprocess.run(
        [sys.executable, "export_tflite.py", *flags], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    report = last_json(done.stdout)
    assert report["images"] == 1000
    assert report["xnnpack"]["partitions"] == 1
    assert report["float_islands"] == 0
