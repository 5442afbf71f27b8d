"""Detectors and segmentation networks as files: what is behind them, and how they are judged."""

from pathlib import Path

import numpy as np
import pytest
import tiny
from contracts import Network, check_file, check_float, check_one_partition
from making import LABELS, exported, judged, load_network, network, pictures
from refusals import refused as refuses

from mnv3_tf.detection.postprocess import agreement
from mnv3_tf.export import parity
from mnv3_tf.export.exporter import export
from mnv3_tf.export.settings import ExportOptions
from mnv3_tf.segmentation import IGNORED
from mnv3_tf.tasks import task_of
from mnv3_tf.tflite import post_process
from mnv3_tf.tflite.predictor import open_model

DETECTOR, SEGMENTER = tiny.DETECTOR, tiny.SEGMENTER


def file_of(made, task: str, **options) -> Path:
    return made(exported, task, **options) / "m.tflite"


def test_boxes_found_inside_are_those_found_outside(made):
    inside, outside = (
        open_model(file_of(made, "detect", **options)).detect(pictures("detect", 3))
        for options in ({}, {"output": "raw"})
    )
    for ours, theirs in zip(inside, outside, strict=True):
        # The operator keeps one class of each anchor: what both keep is the same.
        assert ours.scores[0] == pytest.approx(theirs.scores[0], abs=1e-5)
        np.testing.assert_allclose(ours.boxes[0], theirs.boxes[0], atol=1e-4)
        assert ours.classes[0] == theirs.classes[0]


def test_classes_are_the_arg_max_of_scores(made):
    scores = open_model(file_of(made, "segment")).segment(pictures("segment", 3))
    folder = made(exported, "segment", output="classes")
    report = check_file(SEGMENTER, folder / "m.tflite", LABELS)
    assert report["xnnpack"]["partitions"] == 1
    assert report["output"]["dtype"] == "int32"
    classes = open_model(folder / "m.tflite").segment(pictures("segment", 3))
    assert classes.shape == (3, SEGMENTER.height, SEGMENTER.width)
    np.testing.assert_array_equal(scores, classes)


def test_the_head_without_a_skip(no_timing, tmp_path):
    spec = SEGMENTER.replace(head="raspp")
    raspp, out = Network(spec), tmp_path / "m.tflite"
    batches = [judged(spec, raspp.model, raspp.pictures)]
    export(spec, raspp.model, ExportOptions(), out, LABELS, evaluation=batches)
    report = check_file(spec, out, LABELS)
    check_float(report)
    check_one_partition(report)
    assert report["agreement"] > 0.999


# -- how they are judged ---------------------------------------------------------------------


def test_masks_are_compared_where_the_truth_is_known(made):
    spec, model = load_network(made(network, "segment"))
    path = file_of(made, "segment", output="classes")
    shown = pictures("segment", 3)
    file = open_model(path).segment(shown)
    # A truth of which the file knows half, and the network as much; a part is not known.
    labels = file.copy()
    labels[:, ::2] = (labels[:, ::2] + 1) % spec.num_classes
    labels[:, :8] = IGNORED
    # Another network: its first two classes are swapped.
    kernels = {name: model.get_layer(name).get_weights() for name in ("logits", "skip_logits")}
    for name, values in kernels.items():
        model.get_layer(name).set_weights([value[..., [1, 0, 2]] for value in values])
    batches = [(shown[:2], labels[:2]), (shown[2:], labels[2:])]
    found = parity.compare_masks(spec, model, path, batches)
    ours, real = np.array([1, 0, 2])[file], labels != IGNORED
    assert found.images == 3
    assert found.agreement == pytest.approx((ours == file)[real].mean(), abs=1e-3)
    for name, answers in (("float", ours), ("exported", file)):
        right = (answers == labels)[real].mean()
        assert found.metrics["pixel_accuracy"][name] == pytest.approx(right, abs=1e-3), name
        unions = [
            ((answers == c) & (labels == c)).sum() / (((answers == c) | (labels == c)) & real).sum()
            for c in range(spec.num_classes)
        ]
        assert found.metrics["miou"][name] == pytest.approx(np.mean(unions), abs=1e-3), name


def test_boxes_are_compared_with_the_truth_and_with_each_other(made):
    spec, model = load_network(made(network, "detect"))
    path, shown = file_of(made, "detect"), pictures("detect", 3)
    keras = task_of(spec).keras_predictor(spec, model)(shown)
    file = open_model(path).detect(shown)
    # The truth is what the file is surest of, in the one picture that is not left out.
    best = {
        "boxes": np.stack([found.boxes[:1] for found in file]),
        "classes": np.stack([found.classes[:1] for found in file]),
        "crowd": np.zeros((3, 1), bool),
        "size": np.tile(np.array(spec.image_size, np.int32), (3, 1)),
    }
    batches = [
        (shown[:2], {name: value[:2] for name, value in best.items()}),
        (shown[2:], {name: value[2:] for name, value in best.items()}),
    ]
    found = parity.compare_detections(spec, model, path, batches)
    assert found.images == 3
    pairs = [agreement(ours, theirs) for ours, theirs in zip(keras, file, strict=True)]
    agreed, expected = (sum(part) for part in zip(*pairs, strict=True))
    assert expected > 0
    assert found.agreement == agreed / expected
    assert found.metrics["map50"]["exported"] > 0.3
    assert found.metrics["map"]["exported"] <= found.metrics["map50"]["exported"] <= 1


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_without_pictures_nothing_is_claimed(task, made):
    spec, model = load_network(made(network, task))
    compare = {"detect": parity.compare_detections, "segment": parity.compare_masks}[task]
    found = compare(spec, model, file_of(made, task), [])
    assert (found.images, found.agreement, found.divergence) == (0, None, None)
    assert list(found.metrics.values()) == [{"float": None, "exported": None}] * 2


# -- the operator behind a detector ----------------------------------------------------------


def last_operator(content: bytes):
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = tree.subgraphs[0]
    return tree, graph, graph.operators[-1]


def test_the_operator_is_told_what_to_keep(made):
    from flatbuffers import flexbuffers

    raw = file_of(made, "detect", output="raw").read_bytes()
    anchors = DETECTOR.anchors()
    keep = post_process.Suppression(score=0.3, overlap=0.4, total=7)
    tree, graph, operator = last_operator(post_process.append(raw, anchors, keep))
    options = flexbuffers.GetRoot(bytearray(operator.customOptions)).AsMap
    told = {key.AsKey: options[key.AsKey].Value for key in options.Keys}
    assert told == pytest.approx(
        {
            "max_detections": 7,
            "max_classes_per_detection": 1,
            "detections_per_class": 7,
            "use_regular_nms": False,
            "nms_score_threshold": 0.3,
            "nms_iou_threshold": 0.4,
            "num_classes": 3,
            "y_scale": 10.0,
            "x_scale": 10.0,
            "h_scale": 5.0,
            "w_scale": 5.0,
        }
    )
    stored = tree.buffers[graph.tensors[operator.inputs[2]].buffer].data
    np.testing.assert_array_equal(np.frombuffer(bytes(stored), np.float32), anchors.ravel())
    shapes = [(graph.tensors[t].name, list(graph.tensors[t].shape)) for t in graph.outputs]
    assert shapes == [
        (b"boxes", [1, 7, 4]),
        (b"classes", [1, 7]),
        (b"scores", [1, 7]),
        (b"count", [1]),
    ]
    assert post_process.Suppression() == post_process.Suppression(0.01, 0.6, 100)


def test_raw_outputs_have_names_and_an_order(made):
    tree, graph, _ = last_operator(file_of(made, "detect", output="raw").read_bytes())
    assert [graph.tensors[tensor].name for tensor in graph.outputs] == [b"box_codes", b"scores"]
    assert [graph.tensors[tensor].shape[-1] for tensor in graph.outputs] == [4, 4]
    assert not tree.signatureDefs


def test_a_file_without_boxes_is_no_detector(made):
    with refuses("gives box codes and scores, and this one has 1 outputs of another kind"):
        post_process.in_order(file_of(made, "classify").read_bytes())
