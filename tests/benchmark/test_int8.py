"""The comparison of int8 methods, mostly with files and figures that need no conversion."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_network import noise, randomise, settle

from benchmark import int8, latency
from mnv3_tf import cli
from mnv3_tf.networks import resolve

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
    def benchmark_latency(paths: list[str], settings: latency.Settings) -> dict[str, Any]:
        models = [
            {
                "median_us": float(np.median(medians[Path(path).stem])),
                "ci_us": [900.0, 1100.0],
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
    results = int8.time_rows(rows, latency.Settings())
    return {"schema_version": 1, "command": "python -m benchmark int8"} | results


def test_times_are_compared_by_round_with_what_loads(monkeypatch):
    results = timed_rows(monkeypatch)
    rows = {row["file"]: row for row in results["rows"]}
    assert list(rows) == ["float", "stock", "stock_random", "composite_uint8"]
    ours = rows["composite_uint8"]
    assert ours["size_ratio"] == pytest.approx(0.3)
    assert ours["ratio"]["float"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert ours["ratio"]["stock"]["value"] == 0.125
    assert ours["ratio"]["relu6"] is None
    assert ours["median_us"] == 500.0
    assert rows["stock"]["median_us"] is None
    assert set(rows["stock"]["ratio"].values()) == {None}
    assert results["warnings"] == [
        "stock does not load under XNNPACK: scale too fine",
        "busy.",
    ]


def test_a_stock_file_that_loads_is_the_one_to_compare_with(monkeypatch):
    fake_latency(monkeypatch, {"float": [1000.0] * 5, "stock": [3000.0] * 5})
    results = int8.time_rows([row("float", None), row("stock", "stock")], latency.Settings())
    assert results["rows"][0]["ratio"]["stock"]["value"] == pytest.approx(1 / 3)


def test_tables_fit_and_say_what_does_not_load(monkeypatch, capsys):
    int8.show(timed_rows(monkeypatch), resolve("small"))
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    stock = next(line for line in lines if line.startswith(" stock "))
    assert stock.split() == ["stock", "3.00", "0.30", "-", "fails", "-", "-", "-", "-"]
    ours = [line.split() for line in lines if line.startswith(" composite_uint8")]
    assert ours[0][1:] == ["3.00", "0.30", "1", "0.500", "20.0", "0.50", "0.12", "-"]
    assert ours[1][1:] == ["ptq", "composite", "xnnpack", "0.770", "2.0", "0.950", "0.050"]
    assert "With random weights and settled BatchNorm: stock_random." in lines
    prose = ("size:", "Warning:")
    assert max(len(line) for line in lines if not line.startswith(prose)) <= 80


def test_results_and_plots_are_written(monkeypatch, tmp_path):
    results = timed_rows(monkeypatch)
    int8.write_results(results, resolve("small"), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert (tmp_path / "latency.png").read_bytes().startswith(PNG)
    assert (tmp_path / "accuracy.png").read_bytes().startswith(PNG)


def test_bars_say_how_they_compare(monkeypatch):
    float32, stock, _, ours = map(int8._bar, timed_rows(monkeypatch)["rows"])
    assert float32["text"] == "1.00 ms  1.00x float, 0.25x stock"
    assert stock["text"] == "does not load under XNNPACK"
    assert ours["text"] == "0.50 ms  0.50x float, 0.12x stock"


def test_without_pictures_there_is_no_accuracy(monkeypatch, tmp_path, capsys):
    fake_latency(monkeypatch, {"float": [1000.0] * 5, "relu6": [400.0] * 5})
    nothing = {"top1": None, "top1_loss": None, "agreement": None, "network": "settled random"}
    rows = [row("float", None, **nothing), row("relu6", "ptq", **nothing)]
    results = int8.time_rows(rows, latency.Settings())
    int8.write_results(results, resolve("small"), tmp_path)
    int8.show(results, resolve("small"))
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
        "import sys; from mnv3_tf import cli; from benchmark import int8;"
        "cli.call(int8.main, int8.define_flags, ['int8', '--help']);"
        "heavy = ('tensorflow', 'ai_edge_litert', 'matplotlib', 'numpy');"
        "sys.exit(any(m.startswith(heavy) for m in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> list[str]:
    """Flags of a tiny network with weights and pictures."""
    from PIL import Image

    from mnv3_tf.models import build

    folder = tmp_path_factory.mktemp("network")
    small = resolve("small", 0.35, 32, 4)
    spec = small.replace(name="tiny", blocks=small.blocks[:4], hidden=32)
    (folder / "tiny.json").write_text(spec.to_json())
    settle(randomise(build(spec)), noise(32, 32)).save_weights(folder / "w.weights.h5")
    pictures = ((noise(40, 32, seed=3) + 1) * 127.5).astype(np.uint8)
    for index, picture in enumerate(pictures):
        place = folder / "photos" / f"kind {index % 4}"
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


@pytest.mark.slow
def test_the_whole_comparison(network, tmp_path, capfd):
    out = tmp_path / "out"
    assert call(*network, f"--out={out}", "--json") == 0
    printed = capfd.readouterr().out
    results = json.loads(printed.splitlines()[-1])
    assert json.loads((out / "results.json").read_text()) == results
    assert results["command"].startswith("python -m benchmark int8 ")
    assert all(argument in results["command"] for argument in network)
    rows = {row["file"]: row for row in results["rows"]}
    assert list(rows) == ["float", "stock", "fused", "composite", "equalized", "uint8", "relu6"]
    assert [row["method"] for row in rows.values()] == [None, "stock", *["ptq"] * 5]
    for file, found in rows.items():
        assert (out / f"{file}.tflite").stat().st_size == found["bytes"]
        assert found["median_us"] > 0
        # A fifth of the forty pictures, which calibration never saw.
        assert found["images"] == (0 if file == "relu6" else 8)
    assert rows["float"]["agreement"] == 1.0
    assert (rows["stock"]["lowering"], rows["fused"]["lowering"]) == ("fused", "fused")
    assert rows["composite"]["partitions"] == rows["relu6"]["partitions"] == 1
    assert rows["stock"]["partitions"] > 5
    assert rows["uint8"]["input"] == "uint8"
    assert rows["relu6"]["network"] == "settled random"
    assert rows["composite"]["ratio"]["float"]["value"] == pytest.approx(
        rows["composite"]["median_us"] / rows["float"]["median_us"], rel=0.3
    )
    assert (out / "accuracy.png").exists()


@pytest.mark.slow
def test_qat_joins_in(network, tmp_path, capfd):
    arguments = ["--methods=qat", "--qat_steps=2", f"--out={tmp_path}", "--json"]
    assert call(*network, *arguments) == 0
    rows = json.loads(capfd.readouterr().out.splitlines()[-1])["rows"]
    assert [(row["file"], row["method"]) for row in rows] == [
        ("float", None),
        ("qat", "qat"),
        ("relu6", "ptq"),
    ]
    assert rows[1]["partitions"] == 1


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
