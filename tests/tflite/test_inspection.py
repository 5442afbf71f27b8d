import hashlib
import json

import numpy as np
import pytest
import tiny
from making import LABELS
from refusals import check_command
from refusals import refused as refuses

from mnv3_tf import inspect as command
from mnv3_tf.networks.cost import cost
from mnv3_tf.tflite import inspection
from mnv3_tf.tflite.inspection import inspect
from mnv3_tf.tflite.model_graph import Graph, OperatorNode, TensorNode
from mnv3_tf.ui import cli


def graph(tensors, operators, inputs=(0,), outputs=None):
    """`tensors`: dtypes, "*" marking constants; `operators`: (op, inputs, outputs[, activation])"""
    made = [
        TensorNode(f"t{i}", d.strip("*"), (1,), d.endswith("*"), int("int" in d))
        for i, d in enumerate(tensors)
    ]
    ops = [
        OperatorNode(i, op, tuple(ins), tuple(outs), *rest)
        for i, (op, ins, outs, *rest) in enumerate(operators)
    ]
    return Graph(tuple(made), tuple(ops), inputs, outputs or (len(tensors) - 1,))


@pytest.mark.parametrize(
    ("kind", "quantize", "hard_swish"),
    [
        ("fused", "none", "fused"),
        ("composite", "none", "composite"),
        ("float", "none", "none"),
        ("float16", "float16", "fused"),
        ("dynamic", "dynamic", "fused"),
        ("uint8", "int8", "none"),
    ],
)
def test_kinds_are_told_apart(file, kind, quantize, hard_swish):
    report = inspect(file(kind))
    assert (report["quantize"], report["hard_swish"]) == (quantize, hard_swish)
    assert report["float_islands"] == 0
    assert report["xnnpack"]["error"] is None
    assert report["xnnpack"]["nodes"] == sum(report["ops"].values()) == len(report["operators"])


def test_a_float_network_is_one_partition(file):
    report = inspect(file("fused"))
    share = report["xnnpack"]
    assert (share["partitions"], share["delegated"], share["outside"]) == (1, share["nodes"], {})
    kinds = [operator.kind for operator in cost(tiny.CLASSIFIER).operators]
    assert report["ops"]["CONV_2D"] == kinds.count("conv")
    assert report["ops"]["DEPTHWISE_CONV_2D"] == kinds.count("depthwise")
    assert report["ops"]["MEAN"] == kinds.count("mean")
    content = file("fused").read_bytes()
    assert report["bytes"] == len(content)
    assert report["sha256"] == hashlib.sha256(content).hexdigest()
    assert report["input"] == {
        "dtype": "float32",
        "shape": [1, 32, 32, 3],
        "scale": None,
        "zero_point": None,
    }
    assert report["output"]["shape"] == [1, 3]


def test_a_quantised_input_has_scale_and_zero_point(file):
    report = inspect(file("uint8"))
    assert report["input"]["dtype"] == "uint8"
    assert report["input"]["scale"] == pytest.approx(1 / 127.5, rel=1e-3)
    assert report["input"]["zero_point"] in (127, 128)
    assert json.loads(json.dumps(report)) == report


def test_a_foreign_file(shared):
    """Google's own 8-bit Small: HARD_SWISH cuts it to pieces (facts measured by others)."""
    report = inspect(shared / "mnv3_small_imagenet" / "v3-small_224_1.0_uint8.tflite")
    assert report["quantize"] == "int8"
    assert report["hard_swish"] == "fused"
    assert report["ops"]["HARD_SWISH"] == 19
    assert report["xnnpack"]["outside"]["HARD_SWISH"] == 19
    assert report["xnnpack"]["partitions"] > 15
    assert report["labels"] is None
    assert report["output"]["shape"] == [1, 1001]


def test_a_file_that_xnnpack_refuses_is_still_described(refused):
    report = inspect(refused)
    assert report["ops"]["CONV_2D"] == 2
    share = report["xnnpack"]
    assert share["partitions"] is share["delegated"] is share["outside"] is None
    assert "failed to" in share["error"]


def test_an_island_is_counted():
    """int8 -> DEQUANTIZE -> float HARD_SWISH -> QUANTIZE -> int8, between a float's two ends."""
    tensors = ["float32", "int8", "int8", "float32", "float32", "int8", "int8", "float32"]
    operators = [
        ("QUANTIZE", [0], [1]),
        ("RELU", [1], [2]),
        ("DEQUANTIZE", [2], [3]),
        ("HARD_SWISH", [3], [4]),
        ("QUANTIZE", [4], [5]),
        ("RELU", [5], [6]),
        ("DEQUANTIZE", [6], [7]),
    ]
    assert inspection.count_float_islands(graph(tensors, operators)) == 1
    without = [operators[0], operators[1], ("RELU", [2], [6]), operators[6]]
    assert inspection.count_float_islands(graph(tensors, without)) == 0


def test_a_bare_round_trip_and_a_float_end_are_islands():
    tensors = ["int8", "int8", "float32", "int8", "int8", "float32", "float32"]
    operators = [
        ("RELU", [0], [1]),
        ("DEQUANTIZE", [1], [2]),
        ("QUANTIZE", [2], [3]),
        ("RELU", [3], [4]),
        ("DEQUANTIZE", [4], [5]),
        ("SOFTMAX", [5], [6]),
    ]
    assert inspection.count_float_islands(graph(tensors, operators)) == 2


def test_two_branches_that_meet_are_one_island():
    tensors = ["int8", "int8", "float32", "float32", "float32", "float32", "int8"]
    operators = [
        ("RELU", [0], [1]),
        ("DEQUANTIZE", [1], [2]),
        ("LOGISTIC", [2], [3]),
        ("TANH", [2], [4]),
        ("MUL", [3, 4], [5]),
        ("QUANTIZE", [5], [6]),
    ]
    assert inspection.count_float_islands(graph(tensors, operators)) == 1


def test_a_float_graph_has_no_islands():
    operators = [("RELU", [0], [1]), ("SOFTMAX", [1], [2])]
    assert inspection.count_float_islands(graph(["float32"] * 3, operators)) == 0


@pytest.mark.parametrize(
    ("operators", "expected"),
    [
        ([("ADD", [0, 1], [2], "RELU6"), ("MUL", [2, 0], [3])], "composite"),
        ([("ADD", [0, 1], [2], "RELU6"), ("MUL", [0, 2], [3])], "composite"),
        ([("ADD", [0, 1], [4]), ("RELU6", [4], [2]), ("MUL", [0, 2], [3])], "composite"),
        ([("ADD", [0, 1], [2], "RELU6"), ("MUL", [0, 1], [4]), ("MUL", [4, 2], [3])], "composite"),
        # A squeeze-excite gate: the ADD shifts something else than what the MUL scales.
        ([("MEAN", [0], [4]), ("ADD", [4, 1], [2], "RELU6"), ("MUL", [0, 2], [3])], "none"),
        ([("ADD", [0, 1], [2], "RELU"), ("MUL", [2, 0], [3])], "none"),
        ([("HARD_SWISH", [0], [3])], "fused"),
    ],
)
def test_hard_swish_patterns(operators, expected):
    tensors = ["float32", "float32*", "float32", "float32", "float32"]
    assert inspection.find_hard_swish(graph(tensors, operators, outputs=(3,))) == expected


def test_bad_files_are_told_in_one_sentence(file, tmp_path):
    whole = file("fused").read_bytes()
    contents = {  # the last three are seen without reading on
        "cut": whole[:-1000],
        "noise": whole[:8] + np.random.default_rng(0).bytes(5000),
        "stub": whole[:40],
        "empty": b"",
        "text": b"this is not a model, but a text file",
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with refuses(path):
            inspect(path)


# -- the command -----------------------------------------------------------------------------


def run_command(*arguments):
    argv = ["inspect", *map(str, arguments)]
    return cli.call(command.main, command.define_flags, argv, bare="model_file")


def test_the_command_tells_the_same(file, capsys):
    path = file("uint8")
    report = inspect(path)
    assert run_command(path, "--json", "--ops") == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines if "tflite" not in line and "{" not in line)
    assert json.loads(lines[-1]) == report
    words = [line.split() for line in lines]
    share = report["xnnpack"]
    for row in (
        ["quantised", "int8"],
        ["h-swish", "none"],
        ["float", "islands", "0"],
        ["labels", "none"],
        ["size", f"{path.stat().st_size / 1e6:.2f}", "MB"],
        ["XNNPACK", str(share["delegated"]), "of", str(share["nodes"]), "operators,"],
        ["sha256", report["sha256"][:16] + "..."],
        ["CONV_2D", "2"],
        *(["QUANTIZE", str(count)] for op, count in share["outside"].items() if op == "QUANTIZE"),
    ):
        assert any(line[: len(row)] == row for line in words), row
    assert any(line[:5] == ["1", "CONV_2D", "+", "RELU6", "int8"] for line in words)


def test_the_command_lists_operators_when_asked_and_names_labels(file, capsys):
    assert run_command(file("fused")) == 0
    printed = capsys.readouterr().out
    assert "In order" not in printed
    assert "3 (one, two, three, ...)" in printed
    assert f"{len(inspect(file('fused'))['operators'])} operators, 1 partition" in printed
    assert inspect(file("fused"))["labels"] == list(LABELS)


def test_what_the_command_says_of_a_refused_file(refused, capsys):
    assert run_command(refused) == 0
    printed = capsys.readouterr().out
    assert "refuses it: " in printed
    assert any(line.split()[:3] == ["CONV_2D", "2", "?"] for line in printed.splitlines())


def test_the_command_refuses(file, tmp_path, capsys):
    path = tmp_path / "cut.tflite"
    path.write_bytes(file("uint8").read_bytes()[:1000])
    check_command(command, [f"--model_file={path}", "--json"], path, capsys, tmp_path)
    assert run_command() == 2
    assert capsys.readouterr().err == f"Which file? Give one: {command.USAGE}\n"
