"""The comparison of int8 methods, mostly with files and figures that need no conversion."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from making import exported
from random_network import noise, randomise, settle

from benchmark import int8, int8_results
from mnv3_tf.measuring import latency
from mnv3_tf.measuring.statistics import Headline
from mnv3_tf.networks.named import resolve
from mnv3_tf.ui import cli

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG"


def call(*arguments: object) -> int:
    return cli.call(int8.main, int8.define_flags, ["int8", *map(str, arguments)])


# -- which files are made --------------------------------------------------------------------


class Recorder(int8.Workshop):
    """A workshop that writes down what it is asked for."""

    refuses = False

    def ours(self, name: str, training: Any = None, **options: Any) -> dict[str, Any]:
        made = {"file": name, "spec": self.spec.name, "trained": self.trained}
        return made | {"steps": training and training.steps, **options}

    def stock(self, name: str = "stock") -> dict[str, Any]:
        refused = self.refuses and self.trained
        return {"file": name, "trained": self.trained, "error": "too fine" if refused else None}

    def settled(self, spec: Any) -> "Recorder":
        return recorder(spec, trained=False)


class Refusing(Recorder):
    refuses = True


def recorder(spec: Any, trained: bool = True, kind: type[Recorder] = Recorder) -> Recorder:
    pictures = np.zeros((2, 32, 32, 3), np.float32)
    return kind(Path("out"), spec, None, trained, pictures, [[0] * 40], (), "logits", 1, 0)


def test_each_method_brings_its_files():
    workshop = recorder(resolve("small"))

    def made(*methods: str) -> list[str]:
        return [row["file"] for row in workshop.make(methods)]

    assert made("stock") == ["float", "stock", "relu6"]
    assert made("qat") == ["float", "qat", "relu6"]
    ptq = ["fused", "composite", "equalized", "uint8"]
    assert made("stock", "ptq", "qat") == ["float", "stock", *ptq, "qat", "relu6"]


def test_files_differ_in_what_they_are_named_for():
    rows = {row["file"]: row for row in recorder(resolve("small")).make(["ptq", "qat"], 7)}
    for name in ("fused", "composite", "equalized"):
        assert rows[name]["hard_swish"] == name
    assert rows["composite"]["input_type"] == "int8"
    assert rows["uint8"] == rows["composite"] | {"file": "uint8", "input_type": "uint8"}
    assert (rows["qat"]["steps"], rows["composite"]["steps"]) == (7, None)
    assert "hard_swish" not in rows["qat"]  # the exporter chooses
    assert not rows["relu6"]["trained"]
    assert rows["relu6"]["spec"] == "small_relu6"


def test_a_stock_file_that_does_not_load_gets_a_stand_in():
    rows = list(recorder(resolve("small"), kind=Refusing).make(["stock"]))
    assert [row["file"] for row in rows] == ["float", "stock", "stock_random", "relu6"]
    assert not rows[2]["trained"]


# -- rows, tables and plots ------------------------------------------------------------------


def row(file: str, method: str | None, **changes: Any) -> dict[str, Any]:
    return {
        "file": file,
        "path": f"{file}.tflite",
        "network": "trained",
        "method": method,
        "lowering": "composite",
        "input": "int8",
        "bytes": 3_000_000,
        "nodes": 111,
        "delegated": 110,
        "partitions": 1,
        "error": None,
        "images": 500,
        "kernels": "xnnpack",
        "top1": 0.77,
        "top1_loss": 2.0,
        "agreement": 0.95,
        "divergence": 0.05,
        **changes,
    }


REFUSED = row("stock", "stock", error="scale too fine", kernels="built-in", divergence=None)
STAND_IN = row("stock_random", "stock", network="settled random", top1=None)


def fake_latency(monkeypatch, medians: dict[str, list[float]]) -> None:
    def benchmark_latency(paths: list[str], settings: latency.HostSettings) -> dict[str, Any]:
        models = [
            {
                "median_us": float(np.median(medians[Path(path).stem])),
                "ci_us": [900.0, 1100.0],
                "full_pace_us": float(min(medians[Path(path).stem])) / 2,
                "full_pace_ci_us": [450.0, 550.0],
                "p95_us": 1200.0,
                "samples": 10,
                "spread": 0.01,
                "rounds_us": medians[Path(path).stem],
            }
            for path in paths
        ]
        return {
            "date": "today",
            "machine": {"cpu": "A processor"},
            "settings": vars(settings),
            "models": models,
            "warnings": ["busy."],
        }

    monkeypatch.setattr(latency, "benchmark_latency", benchmark_latency)


def timed_rows(monkeypatch) -> dict[str, Any]:
    times = {
        "float": [1000.0, 2000.0, 1000.0, 1000.0, 1000.0],
        "stock_random": [4000.0, 8000.0, 4000.0, 4000.0, 4000.0],
        "composite_uint8": [500.0, 1000.0, 500.0, 500.0, 500.0],
    }
    fake_latency(monkeypatch, times)
    rows = [
        row("float", None, bytes=10_000_000, top1=0.79, top1_loss=0.0),
        REFUSED,
        STAND_IN,
        row("composite_uint8", "ptq"),
    ]
    return int8_results.time_files(rows, latency.HostSettings(), "python -m benchmark int8")


def test_times_are_compared_by_round_with_what_loads(monkeypatch):
    results = timed_rows(monkeypatch)
    rows = {row["file"]: row for row in results["rows"]}
    assert list(rows) == ["float", "stock", "stock_random", "composite_uint8"]
    ours = rows["composite_uint8"]
    assert ours["size_ratio"] == pytest.approx(0.3)
    assert ours["ratio"]["float"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert ours["ratio"]["stock"]["value"] == 0.125
    assert ours["ratio"]["relu6"] is None
    assert ours["full_pace_ratio"] == {"float": 0.5, "stock": 0.125, "relu6": None}
    assert (ours["median_us"], ours["full_pace_us"]) == (500.0, 250.0)
    assert {rows["stock"][key] for key in int8_results.TIMES} == {None}
    for ratio in ("ratio", "full_pace_ratio"):
        assert set(rows["stock"][ratio].values()) == {None}
    assert results["warnings"] == [
        "stock does not load under XNNPACK: scale too fine",
        "busy.",
    ]


def test_a_stock_file_that_loads_is_the_one_to_compare_with(monkeypatch):
    fake_latency(monkeypatch, {"float": [1000.0] * 5, "stock": [3000.0] * 5})
    files = [row("float", None), row("stock", "stock")]
    results = int8_results.time_files(files, latency.HostSettings(), "")
    assert results["rows"][0]["ratio"]["stock"]["value"] == pytest.approx(1 / 3)


def test_tables_fit_and_say_what_does_not_load(monkeypatch, capsys):
    int8_results.show(timed_rows(monkeypatch), resolve("small"))
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    stock = next(line for line in lines if line.startswith(" stock "))
    assert stock.split() == ["stock", "3.00", "0.30", "-", "fails", "-", "-", "-", "-"]
    ours = [line.split() for line in lines if line.startswith(" composite_uint8")]
    assert ours[0][1:] == ["3.00", "0.30", "1", "0.250", "20.0", "0.50", "0.12", "-"]
    assert ours[1][1:] == ["ptq", "composite", "xnnpack", "0.770", "2.0", "0.950", "0.050"]
    assert "With random weights and settled BatchNorm: stock_random." in lines
    prose = ("size:", "Warning:")
    assert max(len(line) for line in lines if not line.startswith(prose)) <= 80


def test_results_and_plots_are_written(monkeypatch, tmp_path):
    results = timed_rows(monkeypatch)
    int8_results.write(results, resolve("small"), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert (tmp_path / "latency.png").read_bytes().startswith(PNG)
    assert (tmp_path / "accuracy.png").read_bytes().startswith(PNG)


def test_bars_say_how_they_compare(monkeypatch, tmp_path):
    from mnv3_tf.measuring import plots

    drawn: dict[str, Any] = {}
    for module, kind in ((plots, "latency"), (int8_results, "accuracy")):
        monkeypatch.setattr(
            module, f"plot_{kind}", lambda *given, kind=kind: drawn.update({kind: given})
        )
    int8_results.write(timed_rows(monkeypatch), resolve("small", 1.0, 96), tmp_path)
    bars, title, path = drawn["latency"]
    float32, stock, stand_in, ours = bars
    assert float32.text == "0.50 ms  1.00x float, 0.25x stock"
    assert (stock.headline, stock.text) == (None, "does not load under XNNPACK")
    assert ours.text == "0.25 ms  0.50x float, 0.12x stock"
    assert ours.headline == Headline(250.0, (450.0, 550.0), "full pace")
    assert [bar.kind for bar in bars] == ["none", "stock", "stock", "ptq"]
    assert stand_in.name == "stock_random"
    assert title == "small, 96x96, A processor, 1 thread"
    assert path == tmp_path / "latency.png"
    rows, title, path = drawn["accuracy"]
    assert [row["file"] for row in rows] == ["float", "stock", "composite_uint8"]
    assert title == "small, 96x96: top-1 on 500 pictures (one is 0.2 points)"
    assert path == tmp_path / "accuracy.png"


def test_without_pictures_there_is_no_accuracy(monkeypatch, tmp_path, capsys):
    fake_latency(monkeypatch, {"float": [1000.0] * 5, "relu6": [400.0] * 5})
    nothing = {"top1": None, "top1_loss": None, "agreement": None, "network": "settled random"}
    rows = [row("float", None, **nothing), row("relu6", "ptq", **nothing)]
    results = int8_results.time_files(rows, latency.HostSettings(), "")
    int8_results.write(results, resolve("small"), tmp_path)
    int8_results.show(results, resolve("small"))
    assert not (tmp_path / "accuracy.png").exists()
    assert "Accuracy" not in capsys.readouterr().out


# -- the command -----------------------------------------------------------------------------


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


def timed(monkeypatch) -> None:
    fake_latency(monkeypatch, {file: [1000.0 + place] * 5 for place, file in enumerate(ALL)})


def refuse_stock(monkeypatch) -> None:
    from mnv3_tf.tflite import inspection

    honest = inspection.inspect

    def inspect(path: Path) -> dict[str, Any]:
        found = honest(path)
        if Path(path).stem == "stock":
            found["xnnpack"] |= {"error": "too fine a scale", "partitions": None}
        return found

    monkeypatch.setattr(inspection, "inspect", inspect)


def test_what_is_made_of_a_trained_network(network, asked, monkeypatch, tmp_path, capsys):
    timed(monkeypatch)
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


def test_what_is_made_of_a_random_network(network, asked, monkeypatch, tmp_path):
    timed(monkeypatch)
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
