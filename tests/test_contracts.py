"""The contracts, for every member of the registry and for a file of every kind and task."""

from pathlib import Path

import numpy as np
import pytest
import tiny
from contracts import (
    Network,
    check_file,
    check_float,
    check_int8,
    check_layers,
    check_lowering,
    check_one_partition,
    check_round_trips,
)
from making import LABELS, exported, judged, load_network, network, quick_timing
from random_network import noise, relative_error

from mnv3_tf.export.exporter import export
from mnv3_tf.export.settings import ExportOptions
from mnv3_tf.networks.named import NETWORKS, resolve
from mnv3_tf.tasks.specs import Head, resolve_spec
from mnv3_tf.tflite.runtime import TFLiteModel

WIDTH, SIDE = 0.35, 64
REGISTRY = {name: resolve(name, WIDTH, SIDE, 10) for name in NETWORKS} | {
    name: resolve_spec(task, "small", WIDTH, resolution, 4, head)
    for name, (task, resolution, head) in {
        "detector": ("detect", 96, Head()),
        "detector, whole tail": ("detect", 96, Head("full")),
        "lraspp": ("segment", (97, 128), Head()),
        "lraspp, stride 32": ("segment", (97, 128), Head(output_stride=32)),
        "raspp": ("segment", (96, 64), Head(head="raspp", head_filters=16)),
    }.items()
}
LOWERINGS = {  # where they differ: in h-swish, and in the block that adds to the stem's output
    "small": ("fused", "composite", "equalized"),
    "large": ("composite", "equalized"),
    "detector": ("equalized",),
    "lraspp, stride 32": ("fused",),
}


@pytest.fixture(scope="module", params=REGISTRY)
def member(request):
    return request.param


@pytest.fixture(scope="module")
def lively(member):
    return Network(REGISTRY[member])


def test_layers_are_those_counted(lively):
    check_layers(lively)


def test_round_trips(lively, tmp_path):
    check_round_trips(lively, tmp_path)


def test_lowering_keeps_the_answers(member, lively):
    before = lively.model.get_weights()
    for lowering in LOWERINGS.get(member, ("composite",)):
        check_lowering(lively, lowering)
    for weight, kept in zip(lively.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


# -- files -----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=tiny.NETWORKS)
def task(request):
    return request.param


@pytest.fixture(scope="module")
def trained(task, made):
    return load_network(made(network, task))


def file_of(made, task: str, **options) -> Path:
    return made(exported, task, **options) / "m.tflite"


def shown(spec) -> np.ndarray:
    height, width = spec.image_size
    return noise(2, max(height, width), seed=9)[:, :height, :width]


def test_float_files(task, trained, made):
    spec, _ = trained
    out = file_of(made, task)
    report = check_file(spec, out, LABELS)
    check_float(report)
    # The operator that finds boxes is no delegate's.
    check_one_partition(report, **({"TFLite_Detection_PostProcess": 1} if task == "detect" else {}))
    assert report["hard_swish"] == "fused"
    assert report["images"] == 4
    match task:
        case "classify":
            assert report["top1"] == {"float": 1.0, "exported": 1.0}
            assert report["agreement"] == 1.0
            assert report["divergence"] == pytest.approx(0, abs=1e-6)
        case "detect":
            assert report["map"]["float"] is not None
            for name in ("map", "map50"):
                found = report[name]
                assert found["exported"] == pytest.approx(found["float"], abs=0.02)
        case "segment":
            assert report["miou"] == {"float": 1.0, "exported": pytest.approx(1.0, abs=1e-3)}
            assert report["pixel_accuracy"]["float"] == 1.0
            assert report["agreement"] > 0.999
    if task != "classify":
        assert report["top1"] == {"float": None, "exported": None}


PLAIN = {"classify": "logits", "detect": "raw", "segment": "scores"}
"""The output by which a file gives what the network does, but for a detector's scores."""


def test_float_files_answer_as_the_network(task, trained, made):
    spec, model = trained
    options = {} if task == "segment" else {"output": PLAIN[task]}
    file = TFLiteModel(file_of(made, task, **options))
    for picture in shown(spec):
        expected = model(picture[None], training=False)
        expected = [np.asarray(part) for part in (expected if task == "detect" else [expected])]
        if task == "detect":
            expected[1] = 1 / (1 + np.exp(-expected[1]))
        for wanted, found in zip(expected, file.answers(picture), strict=True):
            assert relative_error(wanted, found) <= 1e-4


def test_probabilities_are_the_softmax_of_logits(made):
    pictures = shown(tiny.CLASSIFIER)
    logits = TFLiteModel(file_of(made, "classify", output="logits")).predict(pictures)
    powers = np.exp(logits.astype(np.float64))
    found = TFLiteModel(file_of(made, "classify")).predict(pictures)
    np.testing.assert_allclose(found, powers / powers.sum(-1, keepdims=True), atol=1e-4)


OUTSIDE = {  # bytes come in by a QUANTIZE and go out by another; XNNPACK has no int8 SOFTMAX
    "classify": {"QUANTIZE": 2, "SOFTMAX": 1},
    "detect": {"QUANTIZE": 1, "TFLite_Detection_PostProcess": 1},
    "segment": {"QUANTIZE": 2},
}


def test_int8_files(task, trained, made):
    spec, _ = trained
    report = check_file(spec, file_of(made, task, quantize="int8"), LABELS)
    check_int8(spec, report)
    check_one_partition(report, **OUTSIDE[task])
    assert np.median([layer["sqnr_db"] for layer in report["layers"]]) > 15
    assert report["images"] == 4
    # Of so few pictures no biases are tuned, which the report tells.
    assert report["bias_correction"] is None
    assert len(report["warnings"]) == 1
    assert "qat_steps" not in report
    tried = report["stem"]["divergence"]
    assert set(tried) == {"composite", "equalized"}
    assert report["stem"]["chosen"] in tried
    if task == "classify":
        assert (report["output"]["scale"], report["output"]["zero_point"]) == (1 / 256, 0)
        assert report["output"]["dtype"] == "uint8"
        assert 0 <= report["simulation"]["top1"] <= 1
        assert 0.5 <= report["simulation"]["agreement"] <= 1
        assert report["divergence"] > 0
    if task != "detect":
        assert report["agreement"] >= 0.5


@pytest.mark.parametrize("quantize", ["float16", "dynamic"])
def test_files_of_smaller_weights(quantize, made):
    report = check_file(tiny.CLASSIFIER, file_of(made, "classify", quantize=quantize), LABELS)
    assert report["quantize"] == quantize
    assert report["input"]["dtype"] == report["output"]["dtype"] == "float32"
    assert (report["method"], report["simulation"]) == (None, None)
    assert report["agreement"] >= 0.75


# -- real networks ---------------------------------------------------------------------------


def real_file(spec, folder: Path, **options) -> dict:
    member = Network(spec, count=16)
    with quick_timing():
        export(
            spec,
            member.model,
            ExportOptions(**options),
            folder / "m.tflite",
            calibration=member.pictures,
            evaluation=[judged(spec, member.model, member.pictures[:2])],
        )
    return check_file(spec, folder / "m.tflite")


@pytest.mark.parametrize(
    "name",
    ["small", *(pytest.param(name, marks=pytest.mark.slow) for name in ("detector", "raspp"))],
)
def test_real_float_files(name, tmp_path):
    report = real_file(REGISTRY[name], tmp_path)
    check_float(report)
    assert report["xnnpack"]["partitions"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["large", "small_minimalistic", "v2", "mnasnet_a1", "v4_conv_small", "detector", "raspp"],
)
def test_real_int8_files(name, tmp_path):
    """One whole network, and a narrow one of each kind."""
    spec = resolve("large", 1.0, 96, 10) if name == "large" else REGISTRY[name]
    report = real_file(spec, tmp_path, quantize="int8")
    check_int8(spec, report)
    check_one_partition(report, **OUTSIDE[spec.task])
    assert ("stem" in report) == (spec.backbone.stem.activation == "hard_swish")
