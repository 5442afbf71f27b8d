"""Files made for timing alone have the operators of real exports."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
from int8_twins import int8_file

from mnv3_tf.networks.cost import cost, operators
from mnv3_tf.networks.named import NETWORKS, resolve
from mnv3_tf.search.latency_model import key_of
from mnv3_tf.tflite import inspection, packing, runtime, skeleton

CHANNELS = ("expansion", "filters")


@pytest.fixture(autouse=True)
def at_once(looked_at_here) -> None:
    """Nothing here crashes."""


def small(network: str):
    return resolve(network, width=0.35, resolution=64, num_classes=10)


def listed(path) -> list[tuple]:
    """(operator, fused activation, shape of the output) in order."""
    return [(op["op"], op["activation"], op["shape"]) for op in look(path)["operators"]]


def look(path):
    return inspection.inspect(path)


def written(tmp_path, content: bytes):
    path = tmp_path / "skeleton.tflite"
    path.write_bytes(content)
    return path


def without(kinds, operators) -> list[tuple]:
    return [op for op in operators if op[0] not in kinds]


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_operators_are_those_of_an_export(quantize, made, file, tmp_path) -> None:
    real = file("fused") if quantize == "none" else made(int8_file, "composite") / "m.tflite"
    path = written(tmp_path, skeleton.network(tiny.CLASSIFIER, quantize))
    # The export takes and gives a camera's bytes.
    assert listed(path) == [op for op in listed(real) if op[0] != "QUANTIZE"]
    outside = {} if quantize == "none" else {"SOFTMAX": 1}
    assert look(path)["xnnpack"]["outside"] == outside
    if quantize == "none":  # such a small int8 file is mostly names
        assert path.stat().st_size == pytest.approx(real.stat().st_size, rel=0.15)


def kind_of(block: Any) -> tuple[Any, ...]:
    """All that decides its operators: channels do not, nor how far they are squeezed."""
    own = {name: value for name, value in vars(block).items() if name not in CHANNELS}
    return type(block), *((own | {"squeeze": own.get("squeeze", 0) > 0}).items())


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_operators_are_those_of_the_converter(network, tmp_path) -> None:
    from mnv3_tf.export.convert import convert
    from mnv3_tf.models import build
    from mnv3_tf.quantization.lowering import lowered_model

    spec = small(network)
    kinds = {kind_of(block): block for block in spec.blocks}
    spec = spec.replace(blocks=tuple(kinds.values()))
    path = written(tmp_path, skeleton.network(spec))
    real = tmp_path / "real.tflite"
    real.write_bytes(convert(lowered_model(spec, build(spec), "fused"), "none"))
    assert listed(path) == listed(real)
    assert look(path)["xnnpack"] == look(real)["xnnpack"]
    assert path.stat().st_size == pytest.approx(real.stat().st_size, rel=0.15)


@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("network", NETWORKS)
def test_xnnpack_takes_it_whole(network, quantize, tmp_path) -> None:
    found = look(written(tmp_path, skeleton.network(small(network), quantize)))
    assert found["xnnpack"]["partitions"] == 1
    assert set(found["xnnpack"]["outside"]) <= {"SOFTMAX"}
    assert found["quantize"] == quantize
    listed_madds = {"conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D"}
    expected = [listed_madds[op.kind] for op in operators(small(network)) if op.madds]
    assert [op["op"] for op in found["operators"] if "CONV" in op["op"]] == expected


def test_it_answers_with_probabilities(tmp_path) -> None:
    model = runtime.TFLiteModel(written(tmp_path, skeleton.network(small("large"))))
    answer = model.predict(np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)))
    assert answer.sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(answer) > 0


@pytest.mark.parametrize(
    ("lowering", "per_swish"),
    [("fused", ["HARD_SWISH"]), ("composite", ["ADD", "MUL"]), ("naive", ["ADD", "MUL", "MUL"])],
)
@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_each_lowering_of_hard_swish(lowering, per_swish, quantize, tmp_path) -> None:
    stem = operators(small("small"))[0]
    path = written(tmp_path, skeleton.single(stem, quantize, lowering))
    assert [op["op"] for op in look(path)["operators"]] == ["CONV_2D", *per_swish]


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_every_operator_by_itself(quantize, tmp_path) -> None:
    networks = ("mnasnet_a1", "small", "v4_conv_small")
    found = [op for network in networks for op in operators(small(network))]
    kinds = {replace(key_of(op), height=0): op for op in found}
    for op in kinds.values():
        path = written(tmp_path, skeleton.single(op, quantize))
        share = look(path)["xnnpack"]
        assert (share["partitions"], share["delegated"]) == (1, share["nodes"]), op
        output = runtime.open_interpreter(path).get_output_details()[0]
        assert list(output["shape"]) == [1, *op.output], op


def test_constants_are_aligned() -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = skeleton.network(small("small"))
    model = schema.Model.GetRootAs(content)
    for number in range(1, model.BuffersLength()):
        data = model.Buffers(number).DataAsNumpy()
        start = data.__array_interface__["data"][0]
        base = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
        assert (start - base) % packing.ALIGNMENT == 0


@pytest.mark.parametrize(("quantize", "size"), [("none", 4), ("int8", 1)])
def test_the_size_follows_the_parameters(quantize, size) -> None:
    spec = resolve("large", resolution=64, num_classes=10)
    expected = size * cost(spec).params
    # Each filter of int8 has a scale and a bias of its own besides.
    assert len(skeleton.network(spec, quantize)) == pytest.approx(expected, rel=0.15)


def test_it_needs_no_tensorflow() -> None:
    code = (
        "import sys; from mnv3_tf.tflite import skeleton; "
        "from mnv3_tf.networks.named import resolve; "
        "skeleton.network(resolve('small')); "
        "assert not {'tensorflow', 'tf_keras'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
