"""The whole way: of stand-ins that tell what they were asked for, and of a tiny network."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from making import quick_timing

from benchmark import demo
from mnv3_tf.data import sources
from mnv3_tf.measuring import latency
from mnv3_tf.tflite import runtime
from mnv3_tf.ui import cli


def run(*flags: object) -> int:
    return cli.call(demo.main, demo.define_flags, ["demo", *map(str, flags)])


class Pictures:
    """A split that writes down what is taken of it."""

    view = "whole"

    def __init__(self, name: str, asked: list) -> None:
        self.name, self.asked = name, asked

    def images(self, count, resolution):
        self.asked.append((self.name, "images", count, resolution))
        return np.zeros((10, 4, 4, 3), np.float32)

    def eval_batches(self, size, resolution):
        self.asked.append((self.name, "eval_batches", size, resolution))
        return "evaluation"


@pytest.fixture
def asked(monkeypatch, drawn, tmp_path) -> dict[str, list]:
    """What the parts are asked for; nothing is trained, exported or timed."""
    asked: dict[str, list] = {"train": [], "export": [], "pictures": [], "qat": [], "time": []}

    def train(settings):
        asked["train"].append(settings)
        folder = Path(settings.out)
        folder.mkdir(parents=True)
        recorded = {"settings": {"dataset": "shapes", "seed": 3}}
        (folder / "run.json").write_text(json.dumps(recorded))
        (folder / "curves.png").write_bytes(b"curves")
        return {"epochs": 4, "val_top1": 0.5, "resolution": 96}

    def export(spec, model, options, out, labels, calibration, evaluation, training, view):
        asked["export"].append((out.name, options, labels, evaluation, training))
        assert (len(calibration), view) == (10, "whole")
        return {
            "bytes": 1_234_567,
            "top1": {"float": 0.6, "exported": 0.5126},
            "agreement": 0.98765,
            "xnnpack": {"partitions": 2, "outside": {"SOFTMAX": 1, "QUANTIZE": 2}},
        }

    def open_dataset(name, **options):
        asked["pictures"].append((name, options))
        train, val = (Pictures(part, asked["pictures"]) for part in ("train", "val"))
        return SimpleNamespace(train=train, val=val, class_names=("cat", "dog"))

    def training_on(splits, resolution, steps, checkpoints):
        asked["qat"].append(([split.name for split in splits], resolution, steps, checkpoints))
        return "training"

    def benchmark_latency(paths, settings):
        asked["time"].append((paths, settings))
        rows = [
            {"name": Path(path).stem, "full_pace_us": 1500.0 + n, "full_pace_ratio": 1.0 + n / 10}
            | {"p95_us": 2000.0, "full_pace_ci_us": [1.0, 2.0], "quantize": "none"}
            for n, path in enumerate(paths)
        ]
        return {
            "machine": {"cpu": "A processor"},
            "settings": {"threads": 1, "delegate": True},
            "command": "a command",
            "models": rows,
            "warnings": ["it was busy."],
        }

    recorded = {"settings": {"dataset": "shapes", "seed": 3}}
    spec = SimpleNamespace(resolution=96)
    trained = SimpleNamespace(spec=spec, model=None, class_names=("cat", "dog"), recorded=recorded)
    stands_in = {
        "mnv3_tf.training.run": {"train": train},
        "mnv3_tf.export.exporter": {"export": export},
        "mnv3_tf.export.settings": {"ExportOptions": lambda quantize: quantize},
        "mnv3_tf.export.pictures": {"training_on": training_on},
        "mnv3_tf.training.trained": {"load_run": lambda run: trained},
    }
    for name, parts in stands_in.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**parts))
    monkeypatch.setattr(sources, "open_dataset", open_dataset)
    monkeypatch.setattr(cli, "import_tensorflow", lambda args: None)
    monkeypatch.setattr(latency, "benchmark_latency", benchmark_latency)
    answers = SimpleNamespace(predict=lambda pictures: np.eye(2)[[0, 1] * 5])
    monkeypatch.setattr(runtime, "TFLiteModel", lambda path: answers)
    return asked


def test_each_part_is_asked_for_what_the_table_says(asked, drawn, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(f"--out={out}", "--steps=7", "--json") == 0
    (settings,) = asked["train"]
    assert (settings.dataset, settings.model, settings.resolution) == ("shapes", "small", 96)
    assert (settings.steps, settings.out, settings.recipe) == (7, str(out / "run"), None)
    kinds = {
        "float32": "none",
        "float16": "float16",
        "dynamic": "dynamic",
        "int8_ptq": "int8",
        "int8": "int8",
    }
    assert asked["export"] == [
        (
            f"{kind}.tflite",
            quantize,
            ("cat", "dog"),
            "evaluation",
            "training" if kind == "int8" else None,
        )
        for kind, quantize in kinds.items()
    ]
    assert asked["qat"] == [(["train"], 96, 200, out / "int8.qat")]
    opened = ("shapes", {"seed": 3, "resolution": 96, "training": True})
    assert asked["pictures"] == [
        opened,
        ("train", "images", 512, 96),
        *[("val", "eval_batches", 32, 96)] * 5,
        opened,
        ("val", "images", 10, 96),
    ]
    assert asked["time"] == [
        ([str(out / f"{kind}.tflite") for kind in kinds], latency.HostSettings())
    ]
    assert [axes.get_title() for axes in drawn[1].axes[:2]] == ["cat 100%", "dog 100%"]

    printed = capsys.readouterr().out
    results = json.loads(printed.splitlines()[-1])
    assert results == json.loads((out / "report.json").read_text())
    assert results["columns"] == [
        *("file", "MB", "top-1", "agreement", "parts", "outside", "ms", "ratio")
    ]
    assert results["rows"] == [
        [kind, "1.23", "0.513", "0.988", 2, 3, f"{1.5 + n / 1e3:.3f}", f"{1 + n / 10:.2f}"]
        for n, kind in enumerate(kinds)
    ]
    assert list(results["exports"]) == list(kinds)
    title = "MobileNetV3-Small, 96x96, on A processor, 1 thread"
    assert title in printed
    page = (out / "report.html").read_text()
    for told in (
        title,
        "Trained from scratch for 4 epochs on procedural pictures: top-1 0.500 on",
        "Measured by: a command",
        "Warning: it was busy.",
        "<td>int8_ptq</td><td>1.23</td><td>0.513</td><td>0.988</td><td>2</td><td>3</td>",
    ):
        assert told in page
    assert page.count("data:image/png;base64,") == 3


@pytest.mark.slow
def test_the_demo_ends_in_a_table_and_a_page(tmp_path, capfd, monkeypatch):
    """With a tiny network that has hardly been trained, and without the kinds between."""
    from mnv3_tf.data import shape_scenes
    from mnv3_tf.training import settings

    (tmp_path / "tiny.json").write_text(tiny.SHALLOW.to_json())
    smaller = {"model": str(tmp_path / "tiny.json"), "resolution": 32}
    whole = settings.TrainSettings
    monkeypatch.setattr(settings, "TrainSettings", lambda **given: whole(**(given | smaller)))
    monkeypatch.setattr(shape_scenes, "SPLITS", {"train": 160, "val": 20})
    few = {kind: demo.EXPORTS[kind] for kind in ("float32", "int8_ptq", "int8")}
    monkeypatch.setattr(demo, "EXPORTS", few)
    monkeypatch.setattr(demo, "CALIBRATION_IMAGES", 32)
    monkeypatch.setattr(demo, "QAT_STEPS", {"int8": 2})
    quick = latency.HostSettings(rounds=5, burst_ms=1)
    monkeypatch.setattr(latency, "HostSettings", lambda: quick)
    with quick_timing():
        status = run(f"--out={tmp_path / 'out'}", "--steps=4", "--json")
    printed = capfd.readouterr()
    assert status == 0, printed.err
    results = json.loads(printed.out.splitlines()[-1])
    assert [row[0] for row in results["rows"]] == list(demo.EXPORTS)
    methods = [results["exports"][kind]["method"] for kind in ("int8_ptq", "int8")]
    assert methods == ["ptq", "qat"]
    assert results["exports"]["float32"]["agreement"] == 1.0
    assert results["exports"]["int8"]["xnnpack"]["partitions"] == 1
    assert results["latency"]["models"][0]["ratio"] == 1.0
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved["rows"] == results["rows"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(f"<td>{row[6]}</td>" in page for row in results["rows"])
    assert page.count("data:image/png;base64,") == 3
