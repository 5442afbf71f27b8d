"""The comparison of int8 methods: which files are made, and what is told of their figures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark import int8, int8_results
from mnv3_tf.measuring import latency
from mnv3_tf.measuring.statistics import Headline
from mnv3_tf.networks.named import resolve

PNG = b"\x89PNG"


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


@pytest.fixture
def timed_rows(fake_latency) -> dict[str, Any]:
    times = {
        "float": [1000.0, 2000.0, 1000.0, 1000.0, 1000.0],
        "stock_random": [4000.0, 8000.0, 4000.0, 4000.0, 4000.0],
        "composite_uint8": [500.0, 1000.0, 500.0, 500.0, 500.0],
    }
    fake_latency(times)
    rows = [
        row("float", None, bytes=10_000_000, top1=0.79, top1_loss=0.0),
        REFUSED,
        STAND_IN,
        row("composite_uint8", "ptq"),
    ]
    return int8_results.time_files(rows, latency.HostSettings(), "python -m benchmark int8")


def test_times_are_compared_by_round_with_what_loads(timed_rows):
    rows = {row["file"]: row for row in timed_rows["rows"]}
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
    assert timed_rows["warnings"] == [
        "stock does not load under XNNPACK: scale too fine",
        "busy.",
    ]


def test_a_stock_file_that_loads_is_the_one_to_compare_with(fake_latency):
    fake_latency({"float": [1000.0] * 5, "stock": [3000.0] * 5})
    files = [row("float", None), row("stock", "stock")]
    results = int8_results.time_files(files, latency.HostSettings(), "")
    assert results["rows"][0]["ratio"]["stock"]["value"] == pytest.approx(1 / 3)


def test_tables_fit_and_say_what_does_not_load(timed_rows, capsys):
    int8_results.show(timed_rows, resolve("small"))
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


def test_results_and_plots_are_written(timed_rows, tmp_path):
    int8_results.write(timed_rows, resolve("small"), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == timed_rows
    assert (tmp_path / "latency.png").read_bytes().startswith(PNG)
    assert (tmp_path / "accuracy.png").read_bytes().startswith(PNG)


def test_bars_say_how_they_compare(timed_rows, monkeypatch, tmp_path):
    from mnv3_tf.measuring import plots

    drawn: dict[str, Any] = {}
    for module, kind in ((plots, "latency"), (int8_results, "accuracy")):
        monkeypatch.setattr(
            module, f"plot_{kind}", lambda *given, kind=kind: drawn.update({kind: given})
        )
    int8_results.write(timed_rows, resolve("small", 1.0, 96), tmp_path)
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


def test_without_pictures_there_is_no_accuracy(fake_latency, tmp_path, capsys):
    fake_latency({"float": [1000.0] * 5, "relu6": [400.0] * 5})
    nothing = {"top1": None, "top1_loss": None, "agreement": None, "network": "settled random"}
    rows = [row("float", None, **nothing), row("relu6", "ptq", **nothing)]
    results = int8_results.time_files(rows, latency.HostSettings(), "")
    int8_results.write(results, resolve("small"), tmp_path)
    int8_results.show(results, resolve("small"))
    assert not (tmp_path / "accuracy.png").exists()
    assert "Accuracy" not in capsys.readouterr().out
