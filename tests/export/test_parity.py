"""Agreement of a file with its network, and the error of each layer."""

import numpy as np
import pytest
from random_network import noise, randomise, settle

from mnv3_tf.export.convert import convert
from mnv3_tf.export.lowering import lowered_classifier
from mnv3_tf.export.parity import SQNR_LIMIT_DB, Parity, _decibels, compare_answers, layer_sqnr
from mnv3_tf.models import build_classifier
from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.scheme import fake_quantized, quantized_layers, range_layer
from mnv3_tf.spec import resolve


class Answers:
    """A file, or a network, that answers what it is told."""

    def __init__(self, classes):
        self.classes = iter(classes)

    def predict(self, pictures):
        return np.eye(5)[[next(self.classes) for _ in pictures]]

    def __call__(self, pictures, training):
        assert training is False
        return self.predict(pictures)


def test_top1_and_agreement_are_counted_over_all_batches():
    pictures = np.zeros((3, 2, 2, 3), np.float32)
    batches = [(pictures, [0, 1, 2]), (pictures[:1], [4])]
    network, file = Answers([0, 1, 3, 4]), Answers([0, 2, 3, 0])
    found = compare_answers(network, file, batches)
    assert found == Parity(4, top1_float=0.75, top1_exported=0.25, agreement=0.5)


def test_without_pictures_nothing_is_claimed():
    assert compare_answers(Answers([]), Answers([]), []) == Parity(0, None, None, None)


@pytest.mark.parametrize(
    ("signal", "noise_", "expected"),
    [(100, 1, 20.0), (1, 1, 0.0), (1, 0, SQNR_LIMIT_DB), (0, 1, -SQNR_LIMIT_DB), (0, 0, 150.0)],
)
def test_decibels(signal, noise_, expected):
    assert _decibels(signal, noise_) == expected


@pytest.fixture(scope="module")
def lowered():
    spec = resolve("small", 0.35, 64, 10)
    spec = spec.replace(blocks=spec.blocks[:5], hidden=64)
    trained = settle(randomise(build_classifier(spec)), noise(16, 64))
    return lowered_classifier(spec, trained, "composite")


def test_a_float_file_is_all_but_exact(lowered, tmp_path):
    (tmp_path / "m.tflite").write_bytes(convert(lowered, "none"))
    found = layer_sqnr(tmp_path / "m.tflite", lowered, noise(2, 64))
    assert len(found) > 20
    assert min(layer["sqnr_db"] for layer in found) > 80


def test_an_int8_file_is_measured_at_each_of_its_tensors(lowered, tmp_path):
    pictures = noise(16, 64)
    quantized = fake_quantized(lowered, calibrate(lowered, pictures))
    (tmp_path / "m.tflite").write_bytes(convert(quantized, "int8", "uint8"))
    found = layer_sqnr(tmp_path / "m.tflite", lowered, pictures[:4])
    names = [layer["name"] for layer in found]
    order = [layer.name for layer in lowered.layers]
    places = {name: order.index(name) for name in names}
    assert len(places) == len(names)
    # Running order: whatever a layer reads comes before it.
    for name in names:
        for node in lowered.get_layer(name).inbound_nodes:
            sources = node.inbound_layers
            for source in sources if isinstance(sources, list) else [sources]:
                if source.name in names:
                    assert names.index(source.name) < names.index(name)
    wanted = {range_layer(lowered.get_layer(n)).name for n in quantized_layers(lowered)}
    assert wanted - set(names) <= {"input"}
    levels = [layer["sqnr_db"] for layer in found]
    assert 5 < min(levels) < max(levels) < 60
    assert levels[0] > levels[-1]  # errors add up on the way


def test_a_broken_layer_shows(lowered, tmp_path):
    (tmp_path / "m.tflite").write_bytes(convert(lowered, "none"))
    import tf_keras

    other = tf_keras.models.clone_model(lowered)
    other.set_weights(lowered.get_weights())
    layer = other.get_layer("expanded_conv_3_project")
    kernel, bias = layer.get_weights()
    layer.set_weights([-kernel, bias])
    found = {
        layer["name"]: layer["sqnr_db"]
        for layer in layer_sqnr(tmp_path / "m.tflite", other, noise(2, 64))
    }
    assert found["expanded_conv_2_project"] > 80
    assert found["expanded_conv_3_project"] < 10
