"""Files for timing of detectors and segmentation networks."""

from collections import Counter

import numpy as np
import pytest

from mnv3_tf.cost import operators
from mnv3_tf.export import inspection, runtime, skeleton
from mnv3_tf.operators import IMAGE, OperatorGraph
from mnv3_tf.tasks import Head, for_phones, resolve_spec

PRECISIONS = pytest.mark.parametrize("quantize", ["none", "int8"])
NETWORKS = pytest.mark.parametrize("model", ["large", "small"])
CITYSCAPES, COCO = 19, 90


def detector(model: str, **more):
    return resolve_spec("detect", model, num_classes=more.pop("num_classes", COCO), **more)


def segmenter(model: str, resolution, num_classes: int = CITYSCAPES, width: float = 1.0, **head):
    return resolve_spec("segment", model, width, resolution, num_classes, Head(**head))


def written(tmp_path, content: bytes):
    path = tmp_path / "skeleton.tflite"
    path.write_bytes(content)
    return path


def looked_at(tmp_path, spec, quantize: str = "none"):
    return inspection.inspect(written(tmp_path, skeleton.network(spec, quantize)))


def is_whole(found) -> bool:
    share = found["xnnpack"]
    return (share["partitions"], share["delegated"]) == (1, share["nodes"])


def outputs(path) -> list[tuple[list[int], str]]:
    details = runtime.open_interpreter(path).get_output_details()
    return [(output["shape"].tolist(), np.dtype(output["dtype"]).name) for output in details]


# -- whole networks --------------------------------------------------------------------------


@PRECISIONS
@NETWORKS
def test_xnnpack_takes_detectors_whole(model, quantize, tmp_path) -> None:
    spec = detector(model)
    found = looked_at(tmp_path, spec, quantize)
    assert is_whole(found)
    counts, kinds = found["ops"], Counter(op.kind for op in operators(spec))
    assert counts["CONV_2D"] == kinds["conv"]
    assert counts["DEPTHWISE_CONV_2D"] == kinds["depthwise"]
    assert counts["RESHAPE"] == kinds["reshape"] == 2 * 6
    assert counts["CONCATENATION"] == kinds["concatenate"]
    assert counts["LOGISTIC"] == 1
    stored = "int8" if quantize == "int8" else "float32"
    assert outputs(tmp_path / "skeleton.tflite") == [
        ([1, 2034, 4], stored),
        ([1, 2034, 1 + COCO], stored),
    ]


@PRECISIONS
@NETWORKS
def test_xnnpack_takes_segmentation_whole(model, quantize, tmp_path) -> None:
    spec = segmenter(model, (512, 1024))
    found = looked_at(tmp_path, spec, quantize)
    assert is_whole(found)
    counts, kinds = found["ops"], Counter(op.kind for op in operators(for_phones(spec)))
    assert counts["CONV_2D"] == kinds["conv"]
    assert counts["RESIZE_BILINEAR"] == kinds["resize"]
    assert counts["MEAN"] == kinds["mean"]
    # The window is as high as the map, and stands in one place.
    assert counts["STRIDED_SLICE"] == kinds["cut"] == 1
    stored = "int8" if quantize == "int8" else "float32"
    assert outputs(tmp_path / "skeleton.tflite") == [([1, 512, 1024, CITYSCAPES], stored)]


@pytest.mark.slow
@PRECISIONS
@NETWORKS
@pytest.mark.parametrize(("output_stride", "windows"), [(16, 4), (32, 16)])
def test_xnnpack_takes_whole_streets(output_stride, windows, model, quantize, tmp_path) -> None:
    spec = segmenter(model, (1024, 2048), output_stride=output_stride)
    found = looked_at(tmp_path, spec, quantize)
    assert is_whole(found)
    assert found["ops"]["STRIDED_SLICE"] == windows


@pytest.mark.parametrize("model", ["v2", "mnasnet_a1"])
@PRECISIONS
def test_networks_before_it_are_whole_too(model, quantize, tmp_path) -> None:
    assert is_whole(looked_at(tmp_path, detector(model, width=0.5), quantize))
    spec = segmenter(model, (64, 96), width=0.5, head="raspp")
    assert is_whole(looked_at(tmp_path, spec, quantize))


def exported(tmp_path, spec):
    from mnv3_tf.export.convert import convert
    from mnv3_tf.export.lowering import lowered_model
    from mnv3_tf.models import build

    model = lowered_model(spec, build(spec), "fused")
    path = tmp_path / "export.tflite"
    path.write_bytes(convert(model, "none", output="logits"))
    return inspection.inspect(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        detector("small", width=0.35, resolution=64, num_classes=5),
        segmenter("small", (64, 96), 5, 0.35),
        segmenter("small", (128, 1056), 5, 0.35),
        segmenter("v2", (96, 64), 5, 0.35, head="raspp"),
    ],
    ids=["detector", "global", "windows", "raspp"],
)
def test_operators_are_those_of_the_converter(spec, tmp_path) -> None:
    """In whatever order; without the scores, which are the export's to add."""
    made, real = looked_at(tmp_path, spec), exported(tmp_path, spec)

    def listed(found) -> Counter:
        return Counter((op["op"], op["activation"], *op["shape"]) for op in found["operators"])

    more = listed(made) - listed(real)
    assert [name for name, *_ in more] == (["LOGISTIC"] if spec.task == "detect" else [])
    assert listed(real) <= listed(made)


# -- single operators ------------------------------------------------------------------------


@PRECISIONS
def test_every_operator_of_theirs_by_itself(quantize, tmp_path) -> None:
    for spec in (
        detector("small", width=0.35, resolution=64, num_classes=5),
        segmenter("small", (128, 1056), 5, 0.35),
        segmenter("small", (64, 96), 5, 0.35, head="raspp"),
    ):
        listed = operators(for_phones(spec))
        shapes = {IMAGE: (*spec.image_size, 3)} | {op.name: op.output for op in listed}
        for op in {(op.kind, op.stage == "head"): op for op in listed}.values():
            reads = [shapes[name] for name in op.reads]
            path = written(tmp_path, skeleton.single(op, quantize, reads=reads))
            assert is_whole(inspection.inspect(path)), op
            assert [shape for shape, _ in outputs(path)] == [[1, *op.output]], op


def run(op, picture: np.ndarray, tmp_path) -> np.ndarray:
    """What the operator makes of (height, width, channels)."""
    model = runtime.TFLiteModel(written(tmp_path, skeleton.single(op)))
    return model.predict(picture[np.newaxis].astype(np.float32)).reshape(op.output)


def test_corners_are_aligned(tmp_path) -> None:
    graph = OperatorGraph(3, 5)
    graph.resize("resized", "head", IMAGE, 5, 9)
    picture = np.random.default_rng(0).uniform(-1, 1, (3, 5, 3))
    found = run(graph.operators[0], picture, tmp_path)
    assert found[::2, ::2] == pytest.approx(picture, abs=1e-6)
    assert found[:, 1::2] == pytest.approx((found[:, :-1:2] + found[:, 2::2]) / 2, abs=1e-6)


def test_windows_are_cut_out(tmp_path) -> None:
    graph = OperatorGraph(9, 33)
    graph.cut("cut", "head", IMAGE, (2, 7), (5, 4))
    picture = np.random.default_rng(0).uniform(-1, 1, (9, 33, 3))
    found = run(graph.operators[0], picture, tmp_path)
    assert found == pytest.approx(picture[2:7, 7:11], abs=1e-6)


def test_parts_of_a_concatenation_have_to_be_told() -> None:
    op = next(op for op in operators(detector("small")) if op.kind == "concatenate")
    with pytest.raises(ValueError, match="box_codes_0_0 joins 5 tensors; give the shapes"):
        skeleton.single(op)
