"""Files for timing of detectors and segmentation networks."""

from collections import Counter

import numpy as np
import pytest
import tiny
from making import exported

from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import IMAGE, OperatorGraph
from mnv3_tf.tasks.specs import Head, for_phones, resolve_spec
from mnv3_tf.tflite import inspection, runtime, skeleton

PRECISIONS = pytest.mark.parametrize("quantize", ["none", "int8"])
NETWORKS = pytest.mark.parametrize("model", ["large", "small"])
CITYSCAPES, COCO = 19, 90


@pytest.fixture(autouse=True)
def at_once(looked_at_here) -> None:
    """Nothing here crashes."""


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


@pytest.mark.parametrize(
    ("resolution", "output_stride", "windows"),
    [((64, 2048), 16, 4), ((1072, 64), 16, 2), ((1024, 1024), 32, 2 * 2)],
)
def test_xnnpack_takes_windows_that_slide(resolution, output_stride, windows, tmp_path) -> None:
    spec = segmenter("small", resolution, width=0.35, output_stride=output_stride)
    found = looked_at(tmp_path, spec, "int8")
    assert is_whole(found)
    assert found["ops"]["STRIDED_SLICE"] == windows


@pytest.mark.parametrize("model", ["v2", "mnasnet_a1"])
@PRECISIONS
def test_networks_before_it_are_whole_too(model, quantize, tmp_path) -> None:
    assert is_whole(looked_at(tmp_path, detector(model, width=0.5), quantize))
    spec = segmenter(model, (64, 96), width=0.5, head="raspp")
    assert is_whole(looked_at(tmp_path, spec, quantize))


def counted(found) -> Counter:
    return Counter((op["op"], op["activation"], *op["shape"]) for op in found["operators"])


def check_operators(spec, made, real) -> None:
    """In whatever order."""
    more = counted(made) - counted(real)
    # A detector's scores are the export's to add.
    assert [name for name, *_ in more] in ([], ["LOGISTIC"] if spec.task == "detect" else [])
    assert counted(real) <= counted(made)


@pytest.mark.parametrize(("task", "output"), [("detect", "raw"), ("segment", None)])
def test_operators_are_those_of_an_export(task, output, made, tmp_path) -> None:
    options = {"output": output} if output else {}
    real = inspection.inspect(made(exported, task, **options) / "m.tflite")
    spec = tiny.NETWORKS[task]
    check_operators(spec, looked_at(tmp_path, spec), real)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [segmenter("small", (128, 1056), 5, 0.35), segmenter("v2", (96, 64), 5, 0.35, head="raspp")],
    ids=["windows", "raspp"],
)
def test_operators_are_those_of_the_converter(spec, tmp_path) -> None:
    from mnv3_tf.export.convert import convert
    from mnv3_tf.models import build
    from mnv3_tf.quantization.lowering import lowered_model

    content = convert(lowered_model(spec, build(spec), "fused"), "none", output="logits")
    path = tmp_path / "real.tflite"
    path.write_bytes(content)
    check_operators(spec, looked_at(tmp_path, spec), inspection.inspect(path))


# -- single operators ------------------------------------------------------------------------


@PRECISIONS
def test_every_operator_of_theirs_by_itself(quantize, tmp_path) -> None:
    kinds = {}
    for spec in (
        detector("small", width=0.35, resolution=64, num_classes=5),
        segmenter("small", (128, 1056), 5, 0.35),
        segmenter("small", (64, 96), 5, 0.35, head="raspp"),
    ):
        listed = operators(for_phones(spec))
        shapes = {IMAGE: (*spec.image_size, 3)} | {op.name: op.output for op in listed}
        for op in listed:
            kinds[spec.task, op.kind, op.stage == "head"] = op, [shapes[name] for name in op.reads]
    for op, reads in kinds.values():
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
