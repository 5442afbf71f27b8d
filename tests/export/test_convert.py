"""Conversion: batch 1, the ranges that fake-quantisation carries, the probabilities' grid."""

import numpy as np
import pytest
import tf_keras
import tiny
from random_network import noise, randomise

from mnv3_tf.export.convert import convert
from mnv3_tf.quantization.scheme import fake_quantized
from mnv3_tf.tflite.inspection import inspect
from mnv3_tf.tflite.runtime import TFLiteModel

RANGES = {"input": (-1.0, 1.0), "conv": (-3.0, 5.0), "pool": (-2.0, 2.0), "logits": (-9.0, 9.0)}


def network() -> tf_keras.Model:
    layers = tf_keras.layers
    x = tf_keras.Input((16, 16, 3))
    y = layers.Activation("linear", name="input")(x)
    y = layers.Conv2D(8, 3, 2, "same", name="conv")(y)
    y = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(y)
    y = layers.Conv2D(5, 1, name="logits")(y)
    return randomise(tf_keras.Model(x, layers.Flatten(name="flatten")(y)))


@pytest.fixture(scope="module")
def model() -> tf_keras.Model:
    return network()


def written(content: bytes, folder) -> str:
    (folder / "m.tflite").write_bytes(content)
    return str(folder / "m.tflite")


def test_a_float_file_has_a_batch_of_one_and_no_shape_operators(model, tmp_path):
    path = written(convert(model, "none"), tmp_path)
    found = inspect(path)
    assert found["input"]["shape"] == [1, 16, 16, 3]
    assert found["output"]["shape"] == [1, 5]
    assert not {"SHAPE", "STRIDED_SLICE", "PACK"} & set(found["ops"])
    pictures = noise(3, 16)
    answers = TFLiteModel(path).predict(pictures)
    np.testing.assert_allclose(answers.sum(-1), 1, rtol=1e-5)
    expected = np.exp(model(pictures).numpy())
    np.testing.assert_allclose(answers, expected / expected.sum(-1, keepdims=True), rtol=1e-4)


def test_logits(model, tmp_path):
    path = written(convert(model, "none", output="logits"), tmp_path)
    pictures = noise(3, 16)
    np.testing.assert_allclose(TFLiteModel(path).predict(pictures), model(pictures), atol=1e-5)


def test_ranges_are_those_of_the_fake_quant_nodes(model, tmp_path):
    content = convert(fake_quantized(model, RANGES), "int8", "uint8", "logits")
    path = written(content, tmp_path)
    found = inspect(path)
    assert found["float_islands"] == 0
    assert found["input"]["scale"] == pytest.approx(2 / 255)
    assert found["output"]["scale"] == pytest.approx(18 / 255, rel=1e-3)
    assert found["output"]["dtype"] == "uint8"


@pytest.mark.parametrize("input_type", ["uint8", "int8", "float32"])
def test_int8_probabilities_have_steps_of_a_256th(input_type, model, tmp_path):
    content = convert(fake_quantized(model, RANGES), "int8", input_type)
    path = written(content, tmp_path)
    found = inspect(path)
    assert found["input"]["dtype"] == found["output"]["dtype"] == input_type
    if input_type != "float32":
        assert found["output"]["scale"] == 1 / 256
        assert found["output"]["zero_point"] == (0 if input_type == "uint8" else -128)
    answers = TFLiteModel(path).predict(noise(8, 16)) * 256
    np.testing.assert_array_equal(answers, np.round(answers))
    assert answers.max() <= 255


@pytest.mark.parametrize("quantize", ["float16", "dynamic"])
def test_weights_shrink(quantize, tmp_path):
    layers = tf_keras.layers
    x = tf_keras.Input((16, 16, 3))
    y = layers.Conv2D(64, 3, 2, "same", name="conv")(x)
    y = layers.Conv2D(256, 3, 2, "same", name="conv_2")(y)
    wide = randomise(tf_keras.Model(x, layers.GlobalAveragePooling2D(name="pool")(y)))
    whole = len(convert(wide, "none"))
    content = convert(wide, quantize)
    assert len(content) < whole * (0.55 if quantize == "float16" else 0.3)
    answers = TFLiteModel(written(content, tmp_path)).predict(noise(2, 16))
    expected = TFLiteModel(written(convert(wide, "none"), tmp_path)).predict(noise(2, 16))
    assert (answers.argmax(-1) == expected.argmax(-1)).all()


@pytest.fixture(scope="module")
def two_outputs() -> tf_keras.Model:
    """Box codes and class logits of 16 anchors."""
    layers = tf_keras.layers
    x = tf_keras.Input((16, 16, 3))
    y = layers.AveragePooling2D(4, name="pool")(layers.Activation("linear", name="input")(x))
    codes, logits = (layers.Conv2D(4, 1, name=name)(y) for name in ("codes", "logits"))
    return randomise(tf_keras.Model(x, [layers.Reshape((-1, 4))(part) for part in (codes, logits)]))


@pytest.mark.parametrize("scores", ["sigmoid", "softmax"])
def test_a_detectors_scores(scores, two_outputs, tmp_path):
    spec = tiny.DETECTOR.replace(scores=scores)
    path = written(convert(two_outputs, "none", output="raw", spec=spec), tmp_path)
    (picture,) = noise(1, 16)
    codes, logits = (part.numpy() for part in two_outputs(picture[None]))
    powers = np.exp(logits)
    if scores == "sigmoid":
        expected = powers / (1 + powers)
    else:
        expected = powers / powers.sum(-1, keepdims=True)
    found = TFLiteModel(path).answers(picture)
    if not np.allclose(found[0], codes, atol=1e-4):  # the order is the converter's
        found.reverse()
    np.testing.assert_allclose(found[0], codes, atol=1e-4)
    np.testing.assert_allclose(found[1], expected, atol=1e-4)


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_classes_are_whole_numbers(quantize, model, tmp_path):
    given = fake_quantized(model, RANGES) if quantize == "int8" else model
    path = written(convert(given, quantize, "uint8", "classes"), tmp_path)
    found = inspect(path)
    assert found["input"]["dtype"] == ("uint8" if quantize == "int8" else "float32")
    assert found["output"] == {"dtype": "int32", "shape": [1], "scale": None, "zero_point": None}
    pictures = noise(8, 16)
    file = TFLiteModel(path)
    expected = given(file.input.seen(pictures)).numpy().argmax(-1)
    assert (file.predict(pictures)[:, 0] == expected).mean() >= 0.75
    assert len(set(expected)) > 1


def test_nothing_is_printed(model, capfd):
    convert(model, "none")
    assert capfd.readouterr().out == ""
