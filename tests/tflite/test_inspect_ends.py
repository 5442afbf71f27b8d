"""What inspect shows of a file beside its operators: ends, signatures, and who takes what."""

import json

import numpy as np
import pytest
from foreign_files import SIDE, ForeignFile, colour_classifier, written
from looking import in_process

from mnv3_tf import inspect as command
from mnv3_tf.tflite import metadata
from mnv3_tf.tflite.inspection import inspect
from mnv3_tf.tflite.reading import Reading
from mnv3_tf.ui import cli


@pytest.fixture(autouse=True)
def at_once():
    """Nothing here crashes."""
    with in_process():
        yield


def two_heads() -> bytes:
    file = ForeignFile()
    image = file.input((1, SIDE, SIDE, 3), signature=(-1, SIDE, SIDE, 3))
    means = file.means(file.add("MUL", [image, file.constant(1 / 255)], (1, SIDE, SIDE, 3)))
    age = file.softmax(means, name="StatefulPartitionedCall:0")
    shape = file.constant([1, 3, 1], "int32")
    points = file.add("RESHAPE", [means, shape], (1, 3, 1), name="raw")
    names = {age: "age", points: "where"}
    return file.finish(age, points, names=names, inputs={image: "photo"})


def text_model() -> bytes:
    file = ForeignFile()
    ids, mask = (file.input((1, 16), "int32", name=name) for name in ("ids", "mask"))
    return file.finish(file.add("ADD", [ids, mask], (1, 16), "int32"))


def test_every_input_and_output_is_shown(tmp_path):
    report = inspect(written(tmp_path, two_heads()))
    assert report["cause"] is None
    (image,), (age, where) = report["inputs"], report["outputs"]
    assert (image["name"], image["tensor"], image["dtype"]) == ("photo", "image", "float32")
    assert (image["shape"], image["signature"]) == ([1, 16, 16, 3], [-1, 16, 16, 3])
    assert image["meaning"] == "RGB as 0..255 (by its first operators, MUL)"
    assert (age["name"], age["tensor"]) == ("age", "StatefulPartitionedCall:0")
    assert (age["meaning"], age["signature"]) == ("classes", [1, 3])
    assert where["name"] == "where"
    assert report["signatures"] == [
        {"name": "serving_default", "inputs": ["photo"], "outputs": ["age", "where"]}
    ]
    assert report["input"] == {key: image[key] for key in ("dtype", "shape", "scale", "zero_point")}
    asked = inspect(written(tmp_path, two_heads()), Reading(input_range="0..1"))
    assert asked["inputs"][0]["meaning"] == "RGB as 0..1 (as asked)"


def test_a_file_that_takes_no_picture_is_shown_too(tmp_path):
    report = inspect(written(tmp_path, text_model()))
    assert [(end["name"], end["meaning"]) for end in report["inputs"]] == [
        ("ids", "no picture"),
        ("mask", "no picture"),
    ]
    assert [end["meaning"] for end in report["outputs"]] == [""]
    assert report["signatures"] == []


def test_what_the_metadata_say_in_words(tmp_path):
    content = metadata.add_metadata(colour_classifier(), None, "Colours", "Tells colours.")
    report = inspect(written(tmp_path, content))
    assert report["metadata"] == ["TFLITE_METADATA"]
    assert report["about"] == {"name": "Colours", "description": "Tells colours."}
    assert inspect(written(tmp_path, colour_classifier()))["about"] == {}


def test_a_size_that_is_free(tmp_path):
    path = written(tmp_path, colour_classifier(shape=(1, 1, 1, 3), signature=(-1, -1, -1, 3)))
    report = inspect(path)
    assert report["inputs"][0]["signature"] == [-1, -1, -1, 3]
    assert "takes an input of any size (1 x any x any x 3)" in report["cause"]
    assert report["xnnpack"]["delegated"] is None
    sized = inspect(path, Reading(input_shape=(1, 8, 8, 3)))
    assert sized["cause"] is None
    assert sized["xnnpack"]["delegated"] == 1
    assert "RGB" in sized["inputs"][0]["meaning"]


def test_a_file_that_needs_another_runtime_is_described(tmp_path):
    file = ForeignFile()
    image = file.input((1, SIDE, SIDE, 3))
    content = file.finish(file.add("LOGISTIC", [image], (1, SIDE, SIDE, 3), version=99))
    report = inspect(written(tmp_path, content))
    assert "needs LOGISTIC version 99" in report["cause"]
    assert report["ops"] == {"LOGISTIC": 1}
    assert report["operators"][0]["version"] == 99


# -- who takes what --------------------------------------------------------------------------


def quantised(output_scale: float) -> bytes:
    """A 1x1 convolution and a HARD_SWISH in int8."""
    file = ForeignFile()
    image = file.input((1, SIDE, SIDE, 3), "int8", quantized=(0.5, 0))
    kernel = file.tensor((3, 1, 1, 3), "int8", values=np.ones((3, 1, 1, 3)), quantized=(0.5, 0))
    bias = file.tensor((3,), "int32", values=np.zeros(3), quantized=(0.25, 0))
    strides = {"strideH": 1, "strideW": 1}
    shape, kind = (1, SIDE, SIDE, 3), {"dtype": "int8", "quantized": (output_scale, 0)}
    made = file.add("CONV_2D", [image, kernel, bias], shape, options=strides, version=3, **kind)
    return file.finish(file.add("HARD_SWISH", [made], shape, **kind))


def depthwise_of_int8_kernels() -> bytes:
    file = ForeignFile()
    image = file.input((1, SIDE, SIDE, 3))
    kernel = file.tensor((1, 3, 3, 3), "int8", values=np.ones((1, 3, 3, 3)), quantized=(0.01, 0))
    quantization = file.graph.tensors[kernel].quantization
    quantization.scale, quantization.zeroPoint = [0.01] * 3, [0] * 3
    quantization.quantizedDimension = 3
    options = {"strideH": 1, "strideW": 1, "depthMultiplier": 1}
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}
    inputs = [image, kernel, file.constant(np.zeros(3))]
    made = file.add("DEPTHWISE_CONV_2D", inputs, (1, SIDE, SIDE, 3), options=options, version=6)
    return file.finish(file.softmax(file.means(made), sharpness=1.0))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: quantised(1.0), ["1 HARD_SWISH in int8 stay outside", "--hard_swish=composite"]),
        (
            lambda: quantised(0.0005),
            ["CONV_2D number 0 multiplies its sums by 500", "less than 256", "--delegate=none"],
        ),
        (
            depthwise_of_int8_kernels,
            ["1 DEPTHWISE_CONV_2D of int8 kernels", "--quantize=int8 or float16"],
        ),
        (two_heads, ["The batch is free", "batch_size=1"]),
        (colour_classifier, []),
    ],
)
def test_the_known_causes_are_named_each_with_its_remedy(tmp_path, content, said):
    report = inspect(written(tmp_path, content()))
    assert len(report["hints"]) == bool(said)
    for part in said:
        assert part in report["hints"][0]


def test_what_delegates_are_documented_to_take(tmp_path):
    report = inspect(written(tmp_path, quantised(1.0)))
    assert report["delegates"] == {
        "gpu": {"takes": 1, "outside": {"HARD_SWISH": 1}},
        "edgetpu": {"takes": 1, "outside": {"HARD_SWISH": 1}},
    }
    floats = inspect(written(tmp_path, colour_classifier()))["delegates"]
    assert floats["gpu"] == {"takes": 1, "outside": {"MEAN": 1}}
    assert floats["edgetpu"]["takes"] == 0  # it computes in 8 bits


# -- the command -----------------------------------------------------------------------------


def run(*arguments):
    argv = ["inspect", *map(str, arguments)]
    return cli.call(command.main, command.define_flags, argv, bare="model_file")


def test_the_command_shows_all_of_it(tmp_path, capsys):
    path = written(tmp_path, two_heads())
    assert run(path, "--json") == 0
    printed = capsys.readouterr().out
    assert json.loads(printed.splitlines()[-1]) == inspect(path)
    words = [line.split() for line in printed.splitlines()]
    assert ["signature", "serving_default:", "photo", "->", "age,", "where"] in words
    assert ["subgraphs", "1"] in words
    assert any(line[:2] == ["input", "photo"] for line in words)
    assert any(line[:2] == ["output", "age"] for line in words)
    # One, which both delegates' lists leave out (the Edge TPU computes in 8 bits), of version 1.
    assert ["MEAN", "1", "1", "1", "1"] in words
    assert "The batch is free" in printed


def test_the_command_says_why_a_file_does_not_run(tmp_path, capsys):
    path = written(tmp_path, colour_classifier(shape=(1, 1, 1, 3), signature=(-1, -1, -1, 3)))
    assert run(path) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "does not run it takes an input of any size" in printed
    assert "XNNPACK -" in printed
    assert run(path, "--input_shape=1x8x8x3") == 0
    assert "does not run" not in capsys.readouterr().out
    assert run(path, "--input_shape=8 by 8") == 2
    assert "--input_shape=8 by 8 must be sides" in capsys.readouterr().err
