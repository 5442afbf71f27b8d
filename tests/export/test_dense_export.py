"""Detectors and segmentation networks as files: true to the network, and in one partition."""

import json

import numpy as np
import pytest
import tensorflow as tf
from dense_network import DENSE
from random_network import randomise, settle

from mnv3_tf.errors import UserError
from mnv3_tf.export import metadata
from mnv3_tf.export.answering import open_model
from mnv3_tf.export.exporter import ExportOptions, export
from mnv3_tf.models import build
from mnv3_tf.tasks import Head, resolve_spec

CASES = {
    "detect": ("detect", 64, Head("full")),
    "lraspp": ("segment", (64, 96), Head("full", head_filters=16)),
    "raspp": ("segment", (64, 96), Head("full", head="raspp", head_filters=16)),
}
LABELS = ("one", "two", "three")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """By case: the spec and a network of it, as lively as a trained one, with pictures."""
    path = tmp_path_factory.mktemp("spec") / "dense.json"
    path.write_text(DENSE.to_json())
    made = {}
    for case, (task, resolution, head) in CASES.items():
        spec = resolve_spec(task, str(path), 1.0, resolution, 3, head)
        rng = np.random.default_rng(0)
        pictures = rng.uniform(-1, 1, (80, *spec.image_size, 3)).astype(np.float32)
        made[case] = spec, settle(randomise(build(spec)), pictures[:32]), pictures
    return made


def truth_of(spec, pictures, model):
    """A batch whose labels are what the network itself says, so that it is right about them."""
    if spec.task == "segment":
        return [(pictures, tf.argmax(model(pictures, training=False), -1, tf.int32))]
    count = len(pictures)
    boxes = np.zeros((count, 2, 4), np.float32)
    boxes[:, 0] = (0.1, 0.1, 0.6, 0.7)
    classes = np.full((count, 2), -1, np.int32)
    classes[:, 0] = np.arange(count) % 3
    sizes = np.full((count, 2), 64, np.int32)
    targets = {"boxes": boxes, "classes": classes, "crowd": classes == -2, "size": sizes}
    return [(pictures, targets)]


def exported(trained, case, tmp_path, **options):
    spec, model, pictures = trained[case]
    out = tmp_path / "m.tflite"
    report = export(
        spec,
        model,
        ExportOptions(**options),
        out,
        LABELS,
        pictures,
        truth_of(spec, pictures[:4], model),
    )
    assert json.loads((tmp_path / "m.report.json").read_text()) == report
    return out, report


@pytest.mark.parametrize("case", CASES)
def test_a_float_file_answers_as_the_network(trained, case, tmp_path):
    out, report = exported(trained, case, tmp_path)
    spec, _, pictures = trained[case]
    behind = int(spec.task == "detect")  # the operator that finds boxes is no delegate's
    xnnpack = report["xnnpack"]
    assert xnnpack["partitions"] == 1
    assert xnnpack["nodes"] - xnnpack["delegated"] == behind
    assert report["images"] == 4
    assert (report["task"], report["spec_hash"]) == (spec.task, spec.hash)
    assert metadata.read_spec(out) == spec
    assert metadata.read_labels(out) == list(LABELS)
    if spec.task == "segment":
        assert report["miou"] == {"float": 1.0, "exported": pytest.approx(1.0, abs=1e-3)}
        assert report["agreement"] > 0.999
        assert open_model(out).segment(pictures[:2]).shape == (2, 64, 96)
    else:
        assert report["map"]["exported"] == pytest.approx(report["map"]["float"], abs=0.02)
    assert min(row["sqnr_db"] for row in report["layers"]) > 60


SLOW = ("detect", "raspp")


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CASES]
)
def test_int8_is_one_partition_and_near(trained, case, tmp_path):
    _, report = exported(trained, case, tmp_path, quantize="int8")
    spec, xnnpack = trained[case][0], report["xnnpack"]
    # The camera's bytes come in by one QUANTIZE, and go out by another, or by the box finder.
    assert xnnpack["partitions"] == 1
    assert xnnpack["nodes"] - xnnpack["delegated"] == 2
    assert report["input"]["dtype"] == "uint8"
    assert report["method"] == "ptq"
    assert report["simulation"]["first_parting"] is None
    if spec.task == "segment":
        assert report["agreement"] > 0.8
    assert np.median([row["sqnr_db"] for row in report["layers"]]) > 15


def test_boxes_found_inside_are_those_found_outside(trained, tmp_path):
    spec, model, pictures = trained["detect"]
    found = []
    for output in ("detections", "raw"):
        out = tmp_path / f"{output}.tflite"
        export(spec, model, ExportOptions(output=output), out, LABELS)
        found.append(open_model(out).detect(pictures[:3]))
    for inside, outside in zip(*found, strict=True):
        # The operator keeps one class of each anchor: what both keep is the same.
        best = outside.scores[:5]
        assert inside.scores[0] == pytest.approx(best[0], abs=1e-5)
        np.testing.assert_allclose(inside.boxes[0], outside.boxes[0], atol=1e-4)


def test_classes_are_the_arg_max_of_scores(trained, tmp_path):
    spec, model, pictures = trained["lraspp"]
    answers = []
    for output in ("scores", "classes"):
        out = tmp_path / f"{output}.tflite"
        report = export(spec, model, ExportOptions(output=output), out, LABELS)
        answers.append(open_model(out).segment(pictures[:3]))
        assert report["xnnpack"]["partitions"] == 1
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize(
    ("case", "output", "known"),
    [("detect", "logits", "detections, raw"), ("lraspp", "raw", "scores, classes")],
)
def test_an_output_of_another_task_is_refused(trained, case, output, known, tmp_path):
    spec, model, _ = trained[case]
    with pytest.raises(UserError, match=f"--output={output} is not one of {known}"):
        export(spec, model, ExportOptions(output=output), tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())
