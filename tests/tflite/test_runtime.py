import numpy as np
import pytest
from colour_network import colour_network, colour_pictures

from mnv3_tf.errors import UserError
from mnv3_tf.tflite import runtime
from mnv3_tf.tflite.runtime import TensorInfo, TFLiteModel


def as_real(pictures):
    return pictures.astype(np.float32) / 127.5 - 1


def test_float_file_predicts_what_keras_does(file):
    pictures, _ = colour_pictures()
    expected = colour_network().predict(as_real(pictures), batch_size=1, verbose=0)
    for delegate in (True, False):
        model = TFLiteModel(file("float"), delegate=delegate)
        np.testing.assert_allclose(model.predict(as_real(pictures)), expected, atol=1e-5)


def test_uint8_file_is_fed_and_read_in_its_own_scale(file):
    pictures, labels = colour_pictures()
    model = TFLiteModel(file("uint8"))
    assert model.input.dtype == "uint8"
    found = model.predict(as_real(pictures))
    expected = colour_network().predict(as_real(pictures), batch_size=1, verbose=0)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.argmax(1), labels)
    # The scale of the output is a few hundredths; errors of input and weights add a few steps.
    assert np.abs(found - expected).max() <= 4 * model.output.scale


@pytest.mark.parametrize("zero_point", [127, 128])
def test_a_cameras_bytes_survive_the_way_through_real_values(zero_point):
    every_byte = np.arange(256, dtype=np.uint8)
    unsigned = TensorInfo("uint8", (1, 256), 1 / 127.5, zero_point)
    np.testing.assert_array_equal(unsigned.quantize(as_real(every_byte)), every_byte)
    signed = TensorInfo("int8", (1, 256), 1 / 127.5, zero_point - 128)
    np.testing.assert_array_equal(
        signed.quantize(as_real(every_byte)), every_byte.astype(int) - 128
    )


def test_other_scales_round_to_nearest_and_clip():
    tensor = TensorInfo("int8", (4,), 0.5, 10)
    stored = tensor.quantize(np.array([0.0, 0.6, -1.0, 1000.0], np.float32))
    np.testing.assert_array_equal(stored, [10, 11, 8, 127])
    np.testing.assert_allclose(tensor.dequantize(stored), [0, 0.5, -1.0, 58.5])


def test_no_pictures_give_no_predictions(file):
    assert TFLiteModel(file("float")).predict(np.zeros((0, 32, 32, 3))).shape == (0, 3)


def test_wrong_resolution_is_named(file):
    with pytest.raises(UserError, match=r"takes 1x32x32x3 and got 1x16x16x3"):
        TFLiteModel(file("float")).predict(np.zeros((1, 16, 16, 3), np.float32))


def test_sample_is_in_microseconds_and_warm_up_settles():
    import time

    times = runtime.sample(lambda: time.sleep(0.002), 5)
    assert times.shape == (5,)
    assert (times >= 2000).all()
    calls = []
    runtime.warm_up(lambda: calls.append(time.sleep(0.001)), seconds=0.05, most_seconds=0.2)
    assert 10 <= len(calls) <= 250


def test_latency_is_in_milliseconds(file):
    latency = runtime.measure_latency(TFLiteModel(file("fused")), seconds=0.1)
    assert latency["threads"] == 1
    assert 0.005 < latency["median"] <= latency["p95"] < 1000
