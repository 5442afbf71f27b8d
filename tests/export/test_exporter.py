"""What an export asks of quantisation and of the file, and what it leaves behind.

That a file of every kind is what its report says is among the contracts.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import tiny
from contracts import Network, check_file, check_one_partition
from random_network import noise
from refusals import refused as refuses

from mnv3_tf.export import exporter
from mnv3_tf.export.exporter import export
from mnv3_tf.export.settings import ExportOptions
from mnv3_tf.export.targets import TARGETS
from mnv3_tf.networks.pixels import CLIENTS
from mnv3_tf.quantization.pipeline import Int8, Training, quantize
from mnv3_tf.quantization.scheme import fake_quantized
from mnv3_tf.tasks import TASKS
from mnv3_tf.tflite import metadata
from mnv3_tf.tflite.runtime import TFLiteModel

pytestmark = pytest.mark.usefixtures("no_timing")

SPEC = tiny.SHALLOW.replace(resolution=36)
"""Its sides are odd from the second block on."""
LABELS = ("one", "two", "three")


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(SPEC, count=8)


@pytest.fixture(scope="module")
def truth(network) -> list[tuple[Any, Any]]:
    """A batch about which the network is right."""
    return [(network.pictures, network.expected[0].argmax(-1))]


# -- what quantisation is asked for ----------------------------------------------------------


class Asked(Exception):
    """Instead of quantising: the arguments."""


@pytest.mark.parametrize(
    ("options", "lowering", "may_equalize_stem"),
    [
        ({}, "composite", True),
        ({"target": "gpu"}, "fused", True),
        ({"hard_swish": "composite"}, "composite", False),
        ({"hard_swish": "equalized"}, "equalized", False),
    ],
)
def test_what_is_asked_of_quantisation(options, lowering, may_equalize_stem, tmp_path, monkeypatch):
    def ask(*arguments: Any, **named: Any) -> None:
        raise Asked(arguments, named)

    monkeypatch.setattr(exporter, "quantize", ask)
    pictures, training = noise(2, 36), Training(lambda start: iter(()))
    trained: Any = "the network"
    asked = ExportOptions("int8", **options)
    with pytest.raises(Asked) as caught:
        export(SPEC, trained, asked, tmp_path / "m.tflite", None, pictures, (), training)
    arguments, named = caught.value.args
    assert arguments == (SPEC, trained, lowering)
    assert named["may_equalize_stem"] == may_equalize_stem
    assert named["pictures"] is pictures
    assert named["training"] is training
    assert not list(tmp_path.iterdir())


# -- int8 that is ready, written in every way ------------------------------------------------


@pytest.fixture(scope="module")
def ready(network) -> Int8:
    return quantize(SPEC, network.model, "composite", False, network.pictures)


@pytest.fixture
def at_once(ready, monkeypatch) -> None:
    """What is exported in int8 is `ready`."""
    monkeypatch.setattr(exporter, "quantize", lambda *_, **__: ready)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("options", "outside"),
    [
        ({"input_type": "int8"}, {"SOFTMAX": 1}),
        ({"input_type": "float32"}, None),  # whose ends are pieces by themselves
        ({"output": "logits", "threads": 2}, {"QUANTIZE": 2}),
    ],
)
def test_both_ends_of_int8_files(options, outside, network, truth, ready, tmp_path):
    out = tmp_path / "m.tflite"
    options = ExportOptions("int8", **options)
    export(SPEC, network.model, options, out, LABELS, network.pictures, truth)
    report = check_file(SPEC, out, LABELS)
    if outside:
        check_one_partition(report, **outside)
    assert report["method"] == "ptq"
    assert report["warnings"] == ready.notes["warnings"]
    assert report["simulation"]["first_parting"] is None
    assert report["latency_ms"]["threads"] == options.threads
    assert ("SOFTMAX" in report["ops"]) == (options.output is None)
    assert report["images"] == 8
    given, answered = report["input"], report["output"]
    assert given["dtype"] == answered["dtype"] == options.stored_input
    if options.stored_input == "float32":
        assert given["scale"] is None
    else:
        assert given["scale"] == pytest.approx(1 / 127.5, rel=1e-3)
        assert given["zero_point"] == {"int8": 0, "uint8": 128}[options.stored_input]
    if options.stored_input == "int8":
        assert (answered["scale"], answered["zero_point"]) == (1 / 256, -128)
    # What the report compares are the answers of the file, whatever they are.
    simulated = ready.quantized(TFLiteModel(out).input.seen(network.pictures)).numpy()
    right = (simulated.argmax(-1) == truth[0][1]).mean()
    assert report["simulation"]["top1"] == pytest.approx(right)
    assert 0 < report["divergence"] < 0.2


@pytest.mark.usefixtures("at_once")
def test_checkpoints_outlive_a_failed_export_alone(network, tmp_path, monkeypatch):
    """So that the same command need not train again."""
    out, folder = tmp_path / "m.tflite", tmp_path / "m.qat"
    training = Training(lambda start: iter(()), steps=1, checkpoints=folder)
    folder.mkdir()
    (folder / "job.json").touch()

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    def run() -> dict[str, Any]:
        options = ExportOptions("int8")
        return export(SPEC, network.model, options, out, None, network.pictures, (), training)

    with monkeypatch.context() as patch:
        patch.setattr(exporter, "convert", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            run()
    assert (folder / "job.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["m.qat"]
    assert run()["method"] == "qat"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.report.json", "m.tflite"]


def test_what_the_runtime_refuses_is_told_with_what_was_odd(ready, network, tmp_path, monkeypatch):
    ranges = dict(ready.ranges) | {"expanded_conv_project": (-1e-7, 1e-7)}
    odd = replace(
        ready,
        quantized=fake_quantized(ready.lowered, ranges),
        notes={"warnings": ["All pictures are alike."]},
    )
    monkeypatch.setattr(exporter, "quantize", lambda *_, **__: odd)
    out = tmp_path / "m.tflite"
    with refuses(out, "does not load under XNNPACK", "All pictures are alike."):
        export(SPEC, network.model, ExportOptions("int8"), out, None, network.pictures)
    assert not list(tmp_path.iterdir())


# -- from end to end -------------------------------------------------------------------------


def test_fused_int8_is_in_pieces_under_xnnpack(network, truth, tmp_path):
    """Other targets take HARD_SWISH as one operator."""
    out, options = tmp_path / "m.tflite", ExportOptions("int8", target="nnapi")
    export(SPEC, network.model, options, out, LABELS, network.pictures, truth)
    report = check_file(SPEC, out, LABELS)
    assert report["hard_swish"] == "fused"
    assert report["hard_swish_reason"].endswith("NNAPI computes HARD_SWISH as one operator")
    assert report["target"] == "nnapi"
    assert not any("does not take" in warning for warning in report["warnings"])
    assert report["ops"]["HARD_SWISH"] == report["xnnpack"]["outside"]["HARD_SWISH"] == 5
    assert report["xnnpack"]["partitions"] > 1
    assert report["simulation"]["first_parting"] is None
    assert report["agreement"] >= 0.5


@pytest.mark.parametrize("hard_swish", ["auto", "fused"])
def test_the_edge_tpu_has_no_hard_swish(hard_swish, network, tmp_path):
    out, options = tmp_path / "m.tflite", ExportOptions("int8", hard_swish, target="edgetpu")
    report = export(SPEC, network.model, options, out, LABELS, network.pictures)
    left = "The Edge TPU does not take 5 HARD_SWISH, which the processor computes."
    assert (left in report["warnings"]) == (hard_swish == "fused")
    assert (report["ops"].get("HARD_SWISH", 0) == 0) == (hard_swish == "auto")
    reason = report["hard_swish_reason"]
    assert reason == ("asked for" if hard_swish == "fused" else TARGETS["edgetpu"].reason)


def test_the_gpu_computes_in_floating_point(network, tmp_path):
    out, options = tmp_path / "m.tflite", ExportOptions("int8", target="gpu")
    report = export(SPEC, network.model, options, out, LABELS, network.pictures)
    assert any("--quantize=float16" in warning for warning in report["warnings"])
    report = export(SPEC, network.model, ExportOptions(target="gpu"), out)
    assert "warnings" not in report


def test_without_pictures_to_judge_by(network, tmp_path):
    out = tmp_path / "m.tflite"
    export(SPEC, network.model, ExportOptions(hard_swish="equalized"), out)
    report = check_file(SPEC, out)
    check_one_partition(report)
    assert (report["images"], report["agreement"]) == (0, None)
    assert report["top1"] == {"float": None, "exported": None}
    # "equalized" is composite but for the stem's gate, which is a convolution.
    assert (report["hard_swish"], report["hard_swish_reason"]) == ("composite", "asked for")


def test_pictures_that_can_be_read_once_are_all_judged(network, truth, tmp_path):
    out, (pictures, right) = tmp_path / "m.tflite", truth[0]

    def once() -> Iterator[tuple[Any, Any]]:
        yield pictures, right
        yield pictures[:4], (right[:4] + 1) % 3

    options = ExportOptions(hard_swish="composite")
    report = export(SPEC, network.model, options, out, evaluation=once())
    assert report == check_file(SPEC, out)
    assert report["images"] == 12
    assert report["top1"] == {"float": pytest.approx(8 / 12), "exported": pytest.approx(8 / 12)}
    assert report["agreement"] == 1.0
    assert report["hard_swish"] == "composite"


def test_figures_by_view(network, truth, tmp_path):
    """Each with who sees it; the file says which its own are."""
    out, (pictures, right) = tmp_path / "m.tflite", truth[0]
    others = {"crop": [(pictures, (right + 1) % 3)]}
    options = ExportOptions()
    report = export(
        SPEC, network.model, options, out, evaluation=truth, view="whole", other_views=others
    )
    assert report == check_file(SPEC, out)
    seen = {view: (one["top1"], one["seen_by"]) for view, one in report["views"].items()}
    assert seen == {
        "crop": ({"float": 0.0, "exported": 0.0}, CLIENTS["crop"]),
        "whole": ({"float": 1.0, "exported": 1.0}, CLIENTS["whole"]),
    }
    assert (report["view"], report["top1"]["exported"], report["images"]) == ("whole", 1.0, 8)
    content = out.read_bytes()
    assert metadata.view_of(content) == "whole"
    assert "whole pictures squeezed" in metadata.about(content)["description"]
    assert metadata.spec_of(content).hash == SPEC.hash


@pytest.mark.parametrize(
    ("spec", "output", "known"),
    [
        (tiny.CLASSIFIER, "raw", "probabilities, logits"),
        (tiny.DETECTOR, "logits", "detections, raw"),
        (tiny.SEGMENTER, "raw", "scores, classes"),
    ],
)
def test_an_output_of_another_task_is_refused(spec, output, known, tmp_path):
    network: Any = None
    with refuses(f"--output={output} is not one of {known}"):
        export(spec, network, ExportOptions(output=output), tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


def test_a_file_gives_by_itself_what_its_task_is_about():
    asked = {name: task.output(None) for name, task in TASKS.items()}
    assert asked == {"classify": "probabilities", "detect": "detections", "segment": "scores"}
