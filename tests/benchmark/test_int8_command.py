"""The command that compares int8 methods, mostly with files that are ready."""

import json
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
import tiny
from commands import ROOT
from making import exported
from random_network import noise, randomise, settle

from benchmark import int8

call = partial(commands.call, int8)


def test_bad_input_leaves_with_2_and_one_sentence(tmp_path, capsys):
    out = tmp_path / "out"
    cases = {
        "--out is missing": [],
        "--methods=dynamic is not one of stock, ptq, qat": [f"--out={out}", "--methods=dynamic"],
        "int8 needs pictures": [f"--out={out}", "--weights=w.npz"],
        "give --dataset with --weights": [f"--out={out}", "--dataset=shapes"],
        "give --methods=qat with --weights": [f"--out={out}", "--methods=qat"],
        "--rounds=2": [f"--out={out}", "--rounds=2"],
        "Unknown model": [f"--out={out}", "--model=medium"],
    }
    for message, arguments in cases.items():
        assert call(*arguments) == 2, message
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""
    assert not out.exists()


def test_help_imports_no_runtime():
    code = (
        "import sys; from mnv3_tf.ui import cli; from benchmark import int8;"
        "cli.call(int8.main, int8.define_flags, ['int8', '--help']);"
        "heavy = ('tensorflow', 'ai_edge_litert', 'matplotlib');"
        "sys.exit(any(m.startswith(heavy) for m in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> list[str]:
    """Flags of a tiny network with weights and pictures."""
    from PIL import Image

    from mnv3_tf.models import build

    folder = tmp_path_factory.mktemp("network")
    (folder / "tiny.json").write_text(tiny.SHALLOW.to_json())
    settle(randomise(build(tiny.SHALLOW)), noise(32, 32)).save_weights(folder / "w.weights.h5")
    pictures = ((noise(30, 32, seed=3) + 1) * 127.5).astype(np.uint8)
    for index, picture in enumerate(pictures):
        place = folder / "photos" / f"kind {index % 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{index}.png")
    return [
        f"--model={folder / 'tiny.json'}",
        f"--weights={folder / 'w.weights.h5'}",
        f"--calibration=folder:{folder / 'photos'}",
        f"--dataset=folder:{folder / 'photos'}",
        "--rounds=5",
        "--burst_ms=5",
    ]


@pytest.fixture
def asked(made, monkeypatch) -> dict[str, Any]:
    """What each file is to be made of, by name; instead, all are copies of two that are ready."""
    from benchmark import stock
    from mnv3_tf.export import exporter

    said: dict[str, Any] = {}
    ready = {
        "none": made(exported, "classify"),
        "int8": made(exported, "classify", quantize="int8"),
    }

    def export(spec, model, options, out, *pictures):
        said[out.stem] = (spec, model, options, *pictures)
        folder = ready[options.quantize]
        out.parent.mkdir(exist_ok=True)
        out.write_bytes((folder / "m.tflite").read_bytes())
        return json.loads((folder / "m.report.json").read_text())

    def convert_stock(model, calibration, output):
        said["stock_random" if "stock" in said else "stock"] = (model, calibration, output)
        return (ready["int8"] / "m.tflite").read_bytes()

    monkeypatch.setattr(exporter, "export", export)
    monkeypatch.setattr(stock, "convert_stock", convert_stock)
    return said


ALL = ["float", "stock", "stock_random", "fused", "composite", "equalized", "uint8", "qat", "relu6"]


@pytest.fixture
def timed(fake_latency) -> None:
    fake_latency({file: [1000.0 + place] * 5 for place, file in enumerate(ALL)})


def refuse_stock(monkeypatch) -> None:
    from mnv3_tf.tflite import inspection

    honest = inspection.inspect

    def inspect(path: Path) -> dict[str, Any]:
        found = honest(path)
        if Path(path).stem == "stock":
            found["xnnpack"] |= {"error": "too fine a scale", "partitions": None}
        return found

    monkeypatch.setattr(inspection, "inspect", inspect)


@pytest.mark.usefixtures("timed")
def test_what_is_made_of_a_trained_network(network, asked, monkeypatch, tmp_path, capsys):
    refuse_stock(monkeypatch)
    more = [
        "--methods=stock,ptq,qat",
        "--qat_steps=2",
        "--output=logits",
        "--threads=2",
        "--seed=3",
    ]
    more += ["--calibration_images=20", f"--out={tmp_path / 'out'}"]
    assert call(*network, *more, "--json") == 0
    printed = capsys.readouterr().out
    results = json.loads(printed.splitlines()[-1])
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    assert results["schema_version"] == 1
    assert results["command"].startswith("python -m benchmark int8 --model=")
    words = shlex.split(results["command"])
    assert sorted(words[4:]) == sorted([*network, *more])
    rows = {row["file"]: row for row in results["rows"]}
    assert list(rows) == list(asked) == ALL
    settings = results["settings"]
    assert [settings[key] for key in ("threads", "rounds", "burst_ms", "seed")] == [2, 5, 5, 3]
    for file, row in rows.items():
        assert f"Made {tmp_path / 'out' / file}.tflite" in printed
        assert row["network"] == (
            "settled random" if file in ("stock_random", "relu6") else "trained"
        )
        assert row["method"] == (None if file == "float" else "stock" if "stock" in file else "ptq")
    for file in set(ALL) - {"stock", "stock_random"}:
        spec, model, options, names, calibration, evaluation, training = asked[file]
        assert names is None
        assert (options.output, options.threads) == ("logits", 2)
        assert options.quantize == ("none" if file == "float" else "int8")
        assert spec.name == ("shallow_relu6" if file == "relu6" else "shallow")
        assert model.name == spec.name
        # A fifth of the thirty pictures judges, and calibration never sees it.
        assert len(calibration) == 20
        assert sum(len(labels) for _, labels in evaluation) == (0 if file == "relu6" else 6)
        assert (training is None) == (file != "qat")
    training = asked["qat"][-1]
    assert (training.steps, training.checkpoints) == (2, tmp_path / "out" / "checkpoints")
    assert asked["stock"][2] == asked["stock_random"][2] == "logits"
    assert len(asked["stock"][1]) == len(asked["stock_random"][1]) == 20
    # A file that does not load is judged by the built-in kernels.
    assert (rows["stock"]["kernels"], rows["stock"]["images"]) == ("built-in", 6)
    assert rows["stock"]["median_us"] is None
    assert rows["stock_random"]["images"] == 0
    assert rows["stock_random"]["kernels"] == "xnnpack"
    assert results["warnings"][0] == "stock does not load under XNNPACK: too fine a scale"
    assert rows["composite"]["ratio"]["stock"]["value"] == pytest.approx(1004 / 1002)


@pytest.mark.usefixtures("timed")
def test_what_is_made_of_a_random_network(network, asked, tmp_path):
    assert call(network[0], "--methods=ptq", f"--out={tmp_path}", "--seed=4") == 0
    assert list(asked) == ["float", "fused", "composite", "equalized", "uint8", "relu6"]
    for _, _, options, _, calibration, evaluation, _ in asked.values():
        assert options.output == "probabilities"
        assert calibration.shape == (32, 32, 32, 3)
        assert evaluation == ()
    models = [asked[file][1] for file in ("float", "relu6")]
    kernels = [model.get_layer("conv").get_weights()[0] for model in models]
    np.testing.assert_array_equal(*kernels)  # of the same seed
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {row["network"] for row in rows} == {"settled random"}


@pytest.mark.slow
def test_the_whole_comparison(network, tmp_path, capfd):
    out = tmp_path / "out"
    more = ["--methods=stock,ptq,qat", "--qat_steps=2", f"--out={out}", "--json"]
    assert call(*network, *more) == 0
    results = json.loads(capfd.readouterr().out.splitlines()[-1])
    rows = {row["file"]: row for row in results["rows"]}
    assert list(rows) == [file for file in ALL if file != "stock_random"]
    assert [row["method"] for row in rows.values()] == [None, "stock", *["ptq"] * 4, "qat", "ptq"]
    for file, found in rows.items():
        assert (out / f"{file}.tflite").stat().st_size == found["bytes"]
        assert found["median_us"] > 0
        assert found["images"] == (0 if file == "relu6" else 6)
    assert rows["float"]["agreement"] == 1.0
    assert (rows["stock"]["lowering"], rows["fused"]["lowering"]) == ("fused", "fused")
    assert [rows[file]["partitions"] for file in ("composite", "qat", "relu6")] == [1, 1, 1]
    assert rows["stock"]["partitions"] > 5
    assert rows["uint8"]["input"] == "uint8"
    assert rows["relu6"]["network"] == "settled random"
    assert rows["composite"]["ratio"]["float"]["value"] == pytest.approx(
        rows["composite"]["median_us"] / rows["float"]["median_us"], rel=0.3
    )
    assert (out / "accuracy.png").exists()


@pytest.mark.slow
def test_the_released_small_in_stock_int8_does_not_load(shared, tmp_path, capfd):
    folder = shared / "mnv3_small_imagenet"
    pictures = f"csv:{shared / 'imagenet_samples_256' / 'labels.csv'}"
    arguments = [
        "--model=small",
        "--resolution=96",
        f"--weights={folder / 'mobilenet_v3_small_1.0_224_imagenet_folded.npz'}",
        f"--calibration={pictures}",
        f"--dataset={pictures}",
        "--calibration_images=32",
        "--methods=stock",
        "--rounds=5",
    ]
    assert call(*arguments, f"--out={tmp_path}", "--json") == 0
    results = json.loads(capfd.readouterr().out.splitlines()[-1])
    rows = {row["file"]: row for row in results["rows"]}
    assert list(rows) == ["float", "stock", "stock_random", "relu6"]
    assert rows["stock"]["kernels"] == "built-in"
    assert rows["stock"]["top1_loss"] > 10
    assert rows["stock"]["median_us"] is None
    assert rows["float"]["ratio"]["stock"]["value"] > 0
    assert "does not load" in results["warnings"][0]
