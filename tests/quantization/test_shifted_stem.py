"""A stem that takes another colour than grey for zero, as imported weights need it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny
from contracts import Network, check_lowering, check_round_trips

from mnv3_tf.export.convert import convert
from mnv3_tf.export.parity import first_parting
from mnv3_tf.networks.activations import Lowering
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.lowering import lowered_model
from mnv3_tf.quantization.scheme import GREY, fake_quantized
from mnv3_tf.tflite import skeleton
from mnv3_tf.tflite.inspection import inspect
from mnv3_tf.tflite.runtime import TFLiteModel

ZERO = (-0.03, -0.088, -0.188)
SPEC = tiny.CLASSIFIER.replace(
    padding="symmetric", stem=dataclasses.replace(tiny.CLASSIFIER.stem, zero=ZERO)
)


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(SPEC)


def test_padding_is_of_that_colour(network: Network) -> None:
    """What is computed of a picture in a frame of it, less what its kernel makes of it alone."""
    model = network.model
    stem = type(model)(model.input, model.get_layer("conv").output)
    kernel = model.get_layer("conv").get_weights()[0]
    framed = np.broadcast_to(np.float32(ZERO), (4, 34, 34, 3)).copy()
    framed[:, 1:-1, 1:-1] = network.pictures
    of_colour = np.einsum("hwio,i->o", kernel, ZERO)
    expected = tf.nn.conv2d(framed, kernel, 2, "VALID").numpy() - of_colour
    np.testing.assert_allclose(stem(network.pictures), expected, atol=1e-5)


def test_it_is_json_and_costs_nothing(network: Network, tmp_path: Path) -> None:
    check_round_trips(network, tmp_path)
    assert "zero" not in tiny.CLASSIFIER.to_json()
    assert cost(SPEC).madds == cost(tiny.CLASSIFIER).madds
    assert cost(SPEC).params == cost(tiny.CLASSIFIER).params


@pytest.mark.parametrize("lowering", ["fused", "composite", "equalized"])
def test_lowering(network: Network, lowering: Lowering) -> None:
    check_lowering(network, lowering)


def test_float_file(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(convert(lowered_model(SPEC, network.model, "fused"), "none", output="logits"))
    expected = network.expected[0]
    np.testing.assert_allclose(TFLiteModel(path).predict(network.pictures), expected, atol=1e-4)
    assert inspect(path)["xnnpack"]["outside"] == {}
    check_same_operators(SPEC, path, tmp_path, "none")


def test_int8_file_computes_what_its_twin_does(network: Network, tmp_path: Path) -> None:
    lowered = lowered_model(SPEC, network.model, "composite")
    ranges = calibrate(lowered, network.pictures)
    assert ranges["conv_shift"] == pytest.approx((-128 * GREY + 0.03, 127 * GREY + 0.188))
    path, twin = tmp_path / "m.tflite", fake_quantized(lowered, ranges)
    path.write_bytes(convert(twin, "int8", "uint8"))
    assert first_parting(path, twin, network.pictures) is None
    assert inspect(path)["xnnpack"]["partitions"] == 1
    check_same_operators(SPEC, path, tmp_path, "int8")


def check_same_operators(
    spec: NetworkSpec, path: Path, folder: Path, quantize: skeleton.Precision
) -> None:
    """A file for timing has those of the export; only that writes padding by itself."""
    timed = folder / "timed.tflite"
    timed.write_bytes(skeleton.network(spec, quantize))
    kept = [op["op"] for op in inspect(path)["operators"] if op["op"] not in ("QUANTIZE", "PAD")]
    listed = [op["op"] for op in inspect(timed)["operators"]]
    assert [op for op in kept if op != "SOFTMAX"] == [op for op in listed if op != "SOFTMAX"]
    assert listed[0] == "SUB"
