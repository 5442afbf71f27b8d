import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnv3_tf import cli
from mnv3_tf import inspect as command
from mnv3_tf.errors import UserError
from mnv3_tf.export import inspection
from mnv3_tf.export.inspection import Graph, OperatorNode, TensorNode, inspect


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
def test_kinds_are_told_apart(files, kind, quantize, hard_swish):
    report = inspect(files[kind])
    assert (report["quantize"], report["hard_swish"]) == (quantize, hard_swish)
    assert report["float_islands"] == 0
    assert report["xnnpack"]["error"] is None
    assert report["xnnpack"]["nodes"] == sum(report["ops"].values()) == len(report["operators"])


def test_a_float_network_is_one_partition(files, tiny_spec):
    from mnv3_tf.cost import cost

    report = inspect(files["fused"])
    share = report["xnnpack"]
    assert (share["partitions"], share["delegated"], share["outside"]) == (1, share["nodes"], {})
    kinds = [operator.kind for operator in cost(tiny_spec).operators]
    assert report["ops"]["CONV_2D"] == kinds.count("conv")
    assert report["ops"]["DEPTHWISE_CONV_2D"] == kinds.count("depthwise")
    assert report["ops"]["MEAN"] == kinds.count("mean")
    content = files["fused"].read_bytes()
    assert report["bytes"] == len(content)
    assert report["sha256"] == hashlib.sha256(content).hexdigest()
    assert report["input"] == {
        "dtype": "float32",
        "shape": [1, 64, 64, 3],
        "scale": None,
        "zero_point": None,
    }
    assert report["output"]["shape"] == [1, 5]


def test_a_quantised_input_has_scale_and_zero_point(files):
    report = inspect(files["uint8"])
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


def test_bad_files_are_told_in_one_sentence(files, tmp_path):
    whole = files["fused"].read_bytes()
    contents = {
        "cut": whole[:-1000],
        "stub": whole[:40],
        "empty": b"",
        "text": b"this is not a model, but a text file",
        "noise": whole[:8] + np.random.default_rng(0).bytes(5000),
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(UserError, match=name):
            inspect(path)


def run_command(*arguments):
    argv = ["inspect", *map(str, arguments)]
    return cli.call(command.main, command.define_flags, argv, bare="model_file")


def test_the_command_prints_json_last(files, capsys):
    assert run_command(files["uint8"], "--json", "--ops") == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines if "tflite" not in line and "{" not in line)
    assert json.loads(lines[-1])["quantize"] == "int8"


def test_the_command_leaves_with_2_for_a_cut_file(files, tmp_path, capsys):
    path = tmp_path / "cut.tflite"
    path.write_bytes(files["uint8"].read_bytes()[:1000])
    assert run_command(path, "--json") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert str(path) in captured.err
    assert run_command() == 2
    assert "Which file?" in capsys.readouterr().err


def test_help_imports_neither_tensorflow_nor_litert():
    code = (
        "import sys; from mnv3_tf import cli, inspect;"
        "cli.call(inspect.main, inspect.define_flags, ['inspect', '--help']);"
        "sys.exit(any(m.startswith(('tensorflow', 'ai_edge_litert')) for m in sys.modules))"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, stdout=subprocess.DEVNULL)
