import numpy as np
import pytest
from colour_network import colour_network, colour_pictures

from mnv3_tf.errors import UserError
from mnv3_tf.networks.named import resolve
from mnv3_tf.tflite import runtime, skeleton
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


@pytest.mark.parametrize("kind", ["float", "uint8", "composite"])
def test_good_files_load(file, kind):
    runtime.check_loads(file(kind))
    runtime.check_loads(file(kind), delegate=False)


def test_memory_follows_the_weights(tmp_path):
    peaks = {}
    for quantize in ("none", "int8"):
        path = tmp_path / f"{quantize}.tflite"
        path.write_bytes(skeleton.network(resolve("large", resolution=64), quantize))
        peaks[quantize] = runtime.check_loads(path)
    assert peaks["none"] > 4 * 5.4 > peaks["int8"] > 5.4


def test_a_file_that_xnnpack_refuses_is_told_with_its_operator(refused):
    with pytest.raises(UserError, match=r"does not load under XNNPACK.*CONV_2D '.*conv"):
        runtime.check_loads(refused)


def test_bad_files_are_told_in_one_sentence(file, tmp_path):
    whole = file("fused").read_bytes()
    contents = {
        "cut": whole[: len(whole) // 2],
        "header_only": whole[:64],
        "empty": b"",
        "text": b"this is not a model, but a text file",
        "noise": whole[:8] + np.random.default_rng(0).bytes(5000),
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(UserError, match=name):
            runtime.check_loads(path)
    with pytest.raises(UserError, match="No such file"):
        runtime.check_loads(tmp_path / "absent.tflite")


def test_a_process_that_dies_leaves_its_last_words():
    stderr = "INFO: Created delegate.\nERROR: failed to prepare\n"
    assert runtime.crash_message(-6, stderr) == (
        "the runtime crashed (stopped by signal 6: failed to prepare)"
    )
    assert runtime.crash_message(1, "") == "the runtime crashed (exit status 1)"


def test_partitions_are_walked_from_their_outputs_to_their_inputs():
    def node(index, inputs, outputs):
        return {"index": index, "inputs": inputs, "outputs": outputs}

    # 0 -> [0] -> 1 -> [1] -> 2 -> [2] -> 3 -> [3] -> 4; nodes 0, 1 and 3 are replaced.
    nodes = [node(i, [i], [i + 1]) for i in range(4)]
    partitions = [node(4, [0], [2]), node(5, [3], [4])]
    assert runtime.partition_members(nodes + partitions, 4) == {4: [0, 1], 5: [3]}


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
