"""One contract for every network that is exported: what the file is, and what its report says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_network import noise, randomise, settle

from mnv3_tf.errors import UserError
from mnv3_tf.export import inspection
from mnv3_tf.export.exporter import ExportOptions, export
from mnv3_tf.export.int8 import Training
from mnv3_tf.export.runtime import TFLiteModel
from mnv3_tf.models import build
from mnv3_tf.networks import NETWORKS, resolve
from mnv3_tf.spec import NetworkSpec

pytestmark = pytest.mark.usefixtures("no_timing")

SIDE, CLASSES = 64, 10
NAMES = tuple(f"class {index}" for index in range(CLASSES))

CONTRACT = {  # keys of the report, and of its parts
    "sha256": None,
    "bytes": None,
    "quantize": None,
    "method": None,
    "hard_swish": None,
    "input": {"dtype", "shape", "scale", "zero_point"},
    "output": {"dtype", "shape", "scale", "zero_point"},
    "ops": None,
    "float_islands": None,
    "xnnpack": {"nodes", "delegated", "partitions"},
    "images": None,
    "top1": {"float", "exported"},
    "agreement": None,
    "divergence": None,
    "simulation": None,
    "latency_ms": {"threads", "median", "p95"},
    "layers": None,
}


def trained(spec: NetworkSpec) -> Any:
    return settle(randomise(build(spec)), noise(32, spec.resolution))


def exported(spec: NetworkSpec, out: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    model = trained(spec)
    pictures = noise(16, spec.resolution, seed=7)
    labels = model(pictures).numpy().argmax(-1)
    calibration = noise(32, spec.resolution) if options.get("quantize") == "int8" else None
    evaluation = [(pictures, labels)]
    report = export(spec, model, ExportOptions(**options), out, NAMES, calibration, evaluation)
    return model, report


def check_report(report: dict[str, Any], out: Path) -> None:
    for key, parts in CONTRACT.items():
        assert key in report
        if parts:
            assert parts <= set(report[key]), key
    assert json.loads(out.with_suffix(".report.json").read_text()) == report
    assert sorted(path.name for path in out.parent.iterdir()) == [
        out.with_suffix(".report.json").name,
        out.name,
    ]
    found = inspection.inspect(out)
    assert (found["sha256"], found["bytes"]) == (report["sha256"], out.stat().st_size)
    assert found["ops"] == report["ops"]
    assert found["labels"] == list(NAMES)
    assert report["images"] == 16
    assert report["input"]["shape"] == [1, *report["input"]["shape"][1:]]
    assert report["layers"]
    assert {*report["layers"][0]} == {"name", "sqnr_db"}


def check_one_partition(report: dict[str, Any]) -> None:
    share = report["xnnpack"]
    assert share["partitions"] == 1
    assert share["delegated"] == share["nodes"]
    assert share["outside"] == {}
    assert report["float_islands"] == 0


def check_partition_of_int8(report: dict[str, Any]) -> None:
    assert report["float_islands"] == 0
    assert report["xnnpack"]["partitions"] == 1
    # XNNPACK has no int8 SOFTMAX, and leaves uint8 to int8 at both ends to the built-in kernels.
    outside = report["xnnpack"]["outside"]
    assert set(outside) <= {"SOFTMAX", "QUANTIZE"}
    assert max(outside.values()) <= 2


def check_float(spec: NetworkSpec, out: Path) -> None:
    model, report = exported(spec, out)
    check_report(report, out)
    check_one_partition(report)
    assert report["agreement"] == report["top1"]["float"] == report["top1"]["exported"] == 1.0
    assert (report["quantize"], report["method"]) == ("none", None)
    assert report["simulation"] is None
    assert report["divergence"] == pytest.approx(0, abs=1e-6)
    assert not {"stem", "bias_correction", "qat_steps", "simplified"} & set(report)
    assert report["input"]["dtype"] == report["output"]["dtype"] == "float32"
    pictures = noise(4, spec.resolution, seed=9)
    logits = model(pictures).numpy().astype(np.float64)
    expected = np.exp(logits - logits.max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(TFLiteModel(out).predict(pictures), expected, atol=1e-4)
    assert min(layer["sqnr_db"] for layer in report["layers"]) > 60


def check_int8(spec: NetworkSpec, out: Path) -> None:
    _, report = exported(spec, out, quantize="int8")
    check_report(report, out)
    assert report["quantize"] == "int8"
    assert report["method"] == "ptq"
    assert report["bias_correction"] is None  # of so few pictures
    assert len(report["warnings"]) == 1
    assert "qat_steps" not in report
    assert set(report["simplified"]) == {
        "squeeze_excite_removed",
        "constant_gates",
        "constant_hidden",
    }
    if spec.stem.activation == "hard_swish":
        tried = report["stem"]["divergence"]
        assert report["stem"]["chosen"] in tried
        assert set(tried) == {"composite", "equalized"}
    else:
        assert "stem" not in report
    # Random networks are no judges of agreement, but no layer may compute something else.
    assert report["simulation"]["first_parting"] is None
    assert 0 <= report["simulation"]["top1"] <= 1
    assert 0.5 <= report["simulation"]["agreement"] <= 1
    assert report["divergence"] > 0
    check_partition_of_int8(report)
    assert "HARD_SWISH" not in report["ops"]
    assert "DEQUANTIZE" not in report["ops"]
    assert report["input"]["dtype"] == report["output"]["dtype"] == "uint8"
    assert report["input"]["scale"] == pytest.approx(1 / 127.5, rel=1e-3)
    assert report["input"]["zero_point"] in (127, 128)
    assert (report["output"]["scale"], report["output"]["zero_point"]) == (1 / 256, 0)
    if set(report["ops"]) >= {"ADD", "MUL"} and report["hard_swish"] != "none":
        assert report["hard_swish"] == "composite"
    assert report["agreement"] >= 0.5  # of ten classes; random networks are harder than trained
    TFLiteModel(out, delegate=False).invoke()


# The whole registry takes minutes; the smallest network stands for it in the quick run.
EVERY = pytest.mark.parametrize(
    "name",
    [name if name == "small" else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS],
)


@EVERY
def test_float(name, tmp_path):
    check_float(resolve(name, 0.35, SIDE, CLASSES), tmp_path / "m.tflite")


@pytest.mark.slow
@EVERY
def test_int8(name, tmp_path):
    check_int8(resolve(name, 0.35, SIDE, CLASSES), tmp_path / "m.tflite")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["large", "small"])
def test_full_width(name, tmp_path):
    spec = resolve(name, 1.0, 96, CLASSES)
    check_float(spec, tmp_path / "float" / "m.tflite")
    check_int8(spec, tmp_path / "int8" / "m.tflite")


TINY = resolve("small", 0.35, SIDE, CLASSES)
TINY = TINY.replace(name="tiny", blocks=TINY.blocks[:5], hidden=64)
"""Every kind of operator of a MobileNetV3, and few of each."""


def test_a_side_that_is_no_multiple_of_32(tmp_path):
    spec = TINY.replace(resolution=100)
    check_float(spec, tmp_path / "float" / "m.tflite")
    check_int8(spec, tmp_path / "int8" / "m.tflite")


@pytest.mark.slow
@pytest.mark.parametrize("lowering", ["fused", "composite", "equalized"])
@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_all_lowerings_of_small(quantize, lowering, tmp_path):
    spec = resolve("small", 0.35, SIDE, CLASSES)
    out = tmp_path / "m.tflite"
    _, report = exported(spec, out, quantize=quantize, hard_swish=lowering)
    # "equalized" is composite but for the stem's gate, which is a convolution.
    assert report["hard_swish"] == ("fused" if lowering == "fused" else "composite")
    assert report["hard_swish_reason"] == "asked for"
    assert ("HARD_SWISH" in report["ops"]) == (lowering == "fused")
    assert report["float_islands"] == 0
    assert (report["xnnpack"]["partitions"] == 1) == ((quantize, lowering) != ("int8", "fused"))
    assert report["agreement"] >= (1.0 if quantize == "none" else 0.5)


@pytest.mark.parametrize("quantize", ["float16", "dynamic"])
def test_float16_and_dynamic(quantize, tmp_path):
    out = tmp_path / "m.tflite"
    _, report = exported(TINY, out, quantize=quantize)
    check_report(report, out)
    assert report["quantize"] == inspection.inspect(out)["quantize"] == quantize
    assert report["input"]["dtype"] == "float32"
    assert report["method"] is None
    assert report["agreement"] >= 0.8


@pytest.mark.parametrize(
    ("input_type", "scale", "zero_points"),
    [("int8", 1 / 127.5, (-1, 0)), ("float32", None, (None,))],
)
def test_other_input_types(input_type, scale, zero_points, tmp_path):
    options = {"hard_swish": "composite", "input_type": input_type}
    _, report = exported(TINY, tmp_path / "m.tflite", quantize="int8", **options)
    for side in ("input", "output"):
        assert report[side]["dtype"] == input_type
    assert report["input"]["scale"] == (scale and pytest.approx(scale, rel=1e-3))
    assert report["input"]["zero_point"] in zero_points
    assert report["float_islands"] == 0


def test_logits(tmp_path):
    model, report = exported(TINY, tmp_path / "m.tflite", output="logits")
    assert "SOFTMAX" not in report["ops"]
    pictures = noise(2, SIDE, seed=5)
    expected = model(pictures).numpy()
    found = TFLiteModel(tmp_path / "m.tflite").predict(pictures)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_int8_logits(tmp_path):
    options = {"hard_swish": "composite", "output": "logits"}
    _, report = exported(TINY, tmp_path / "m.tflite", quantize="int8", **options)
    assert "SOFTMAX" not in report["ops"]
    assert report["xnnpack"]["partitions"] == 1


def test_quantisation_aware_training(tmp_path):
    """Its checkpoints are there while they may be needed, and gone when the file is written."""
    out, folder = tmp_path / "m.tflite", tmp_path / "m.qat"
    model, pictures = trained(TINY), noise(16, SIDE)
    seen = []

    def batches(start: int) -> Iterator[np.ndarray]:
        for step in range(start, 3):
            seen.append((step, (folder / "job.json").is_file()))
            yield noise(8, SIDE, seed=step)

    report = export(
        TINY,
        model,
        ExportOptions("int8", "composite"),
        out,
        NAMES,
        pictures,
        [(pictures, model(pictures).numpy().argmax(-1))],
        Training(batches, steps=3, checkpoints=folder),
    )
    assert seen == [(0, True), (1, True), (2, True)]
    check_report(report, out)  # which finds nothing beside the file and its report
    assert (report["method"], report["qat_steps"]) == ("qat", 3)
    assert not {"stem", "bias_correction"} & set(report)
    assert report["simulation"]["first_parting"] is None
    check_partition_of_int8(report)


def test_checkpoints_outlive_a_failed_export(tmp_path, monkeypatch):
    """So that the same command need not train again."""
    from mnv3_tf.export import exporter

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(exporter, "convert", fail)
    training = Training(
        lambda start: iter([noise(8, SIDE)]), steps=1, checkpoints=tmp_path / "m.qat"
    )
    options, out = ExportOptions("int8", "composite"), tmp_path / "m.tflite"
    with pytest.raises(RuntimeError, match="out of memory"):
        export(TINY, trained(TINY), options, out, None, noise(8, SIDE), (), training)
    assert (tmp_path / "m.qat" / "job.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["m.qat"]


def test_a_network_that_has_exploded_is_refused(tmp_path):
    model = trained(TINY)
    norm = model.get_layer("expanded_conv_2_project_bn")
    norm.gamma.assign(norm.gamma * 1e6)
    options, out = ExportOptions("int8", "composite"), tmp_path / "m.tflite"
    with pytest.raises(UserError, match=r"m\.tflite does not load under XNNPACK"):
        export(TINY, model, options, out, None, noise(8, SIDE))
    assert not list(tmp_path.iterdir())


def test_without_pictures_to_judge_by(tmp_path):
    out = tmp_path / "m.tflite"
    report = export(TINY, trained(TINY), ExportOptions(), out)
    assert (report["images"], report["agreement"]) == (0, None)
    assert report["top1"] == {"float": None, "exported": None}
    assert inspection.inspect(out)["labels"] is None
    assert report["layers"]


def test_pictures_that_can_be_read_once_are_all_judged(tmp_path):
    model, pictures = trained(TINY), noise(4, SIDE)

    def once() -> Iterator[tuple[Any, Any]]:
        yield pictures, np.zeros(4, int)
        yield pictures, np.zeros(4, int)

    report = export(TINY, model, ExportOptions(), tmp_path / "m.tflite", evaluation=once())
    assert report["images"] == 8
    assert report["layers"]
