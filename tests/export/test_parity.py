"""Agreement of a file with its network, and the error of each layer."""

import numpy as np
import pytest
from int8_twins import int8_file, twins
from making import load_network, network, pictures
from random_network import noise, randomise

from mnv3_tf.export.convert import convert
from mnv3_tf.export.parity import (
    compare_answers,
    first_parting,
    layer_sqnr,
    layer_steps,
    parting_of,
)
from mnv3_tf.quantization.lowering import lowered_model
from mnv3_tf.quantization.scheme import fake_quantized, quantized_layers, range_layer
from mnv3_tf.tasks.task import Parity
from mnv3_tf.tflite.inspection import inspect


class Answers:
    """A file, or a network, that answers what it is told."""

    def __init__(self, classes):
        self.classes = iter(classes)
        self.input = self
        self.shown = []

    def seen(self, pictures):
        """As a file rounds them."""
        return np.round(pictures)

    def predict(self, pictures):
        self.shown.append(pictures)
        return np.eye(5)[[next(self.classes) for _ in pictures]]

    def __call__(self, pictures, training):
        assert training is False
        return self.predict(pictures)


def test_top1_and_agreement_are_counted_over_all_batches():
    pictures = np.zeros((3, 2, 2, 3), np.float32)
    batches = [(pictures, [0, 1, 2]), (pictures[:1], [4])]
    network, file = Answers([0, 1, 3, 4]), Answers([0, 2, 3, 0])
    found = compare_answers(network, file, batches, output="logits")
    assert found.images == 4
    assert found.metrics == {"top1": {"float": 0.75, "exported": 0.25}}
    assert found.agreement == 0.5
    assert found.simulated == {}
    # Where they differ, softmax of 1 among four 0 to the same elsewhere: (e - 1) / (e + 4).
    assert found.divergence == pytest.approx(0.5 * (np.e - 1) / (np.e + 4))


def test_the_fake_quantised_network_is_counted_too():
    pictures = np.full((4, 2, 2, 3), 0.6, np.float32)
    batches = [(pictures, [0, 1, 2, 4])]
    network, file, simulated = Answers([0, 1, 3, 4]), Answers([0, 2, 3, 0]), Answers([0, 2, 2, 0])
    found = compare_answers(network, file, batches, simulated, "logits")
    assert found.simulated == {"top1": 0.5, "agreement": 0.75}
    assert found.metrics["top1"]["exported"] == 0.25
    # It is shown what the file makes of the pictures.
    np.testing.assert_array_equal(simulated.shown[0], np.ones_like(pictures))
    np.testing.assert_array_equal(network.shown[0], pictures)


def test_divergence_reads_the_file_as_what_it_gives():
    class Fixed:
        def __init__(self, answer):
            self.answer = np.array([answer])

        def predict(self, pictures):
            return self.answer

        def __call__(self, pictures, training):
            return self.answer

    batches = [(np.zeros((1, 2, 2, 3), np.float32), [0])]
    logits, probabilities = [np.log(3.0), 0.0], [0.75, 0.25]
    same = compare_answers(Fixed(logits), Fixed(probabilities), batches)
    assert same.divergence == pytest.approx(0)
    same = compare_answers(Fixed(logits), Fixed(logits), batches, output="logits")
    assert same.divergence == pytest.approx(0)
    other = compare_answers(Fixed(logits), Fixed([0.5, 0.5]), batches)
    assert other.divergence == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))


def test_without_pictures_nothing_is_claimed():
    none = {"top1": {"float": None, "exported": None}}
    assert compare_answers(Answers([]), Answers([]), []) == Parity(0, none, None)


@pytest.fixture(scope="module")
def composite(made):
    return twins(made, "composite")


@pytest.fixture(scope="module")
def lowered(composite):
    return composite[0]


@pytest.fixture(scope="module")
def quantized(composite):
    return composite[1]


@pytest.fixture(scope="module")
def twin_file(composite):
    return composite[2]


def test_a_float_file_is_exact_and_a_broken_layer_shows(made, file):
    path = file("composite")
    spec, trained = load_network(made(network, "classify"))
    lowered = lowered_model(spec, trained, "composite")
    shown = pictures("classify", 2)
    found = layer_sqnr(path, lowered, shown)
    assert len(found) > 40
    assert min(layer["sqnr_db"] for layer in found) > 80

    layer = lowered.get_layer("expanded_conv_3_project")
    kernel, bias = layer.get_weights()
    layer.set_weights([-kernel, bias])
    found = {layer["name"]: layer["sqnr_db"] for layer in layer_sqnr(path, lowered, shown)}
    assert found["expanded_conv_2_project"] > 80
    assert found["expanded_conv_3_project"] < 10


def test_the_int8_file_is_one_piece_of_int8(made):
    found = inspect(made(int8_file, "composite") / "m.tflite")
    assert (found["quantize"], found["hard_swish"]) == ("int8", "composite")
    assert (found["float_islands"], found["xnnpack"]["partitions"]) == (0, 1)


def test_an_int8_file_is_measured_at_each_of_its_tensors(lowered, twin_file):
    found = layer_sqnr(twin_file, lowered, pictures("classify", 4))
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


def test_what_a_hard_swish_erases_is_no_noise(tmp_path):
    """A convolution clipped at -3 before h-swish loses nothing; without the h-swish it does."""
    import tf_keras

    from mnv3_tf.layers.activations import ShiftedReLU6

    L = tf_keras.layers
    x = tf_keras.Input((8, 8, 3))
    y = L.Conv2D(8, 1, name="a")(L.Activation("linear", name="input")(x))
    y = L.Multiply(name="a_hard_swish")([ShiftedReLU6(name="a_shifted_relu6")(y), y])
    y = L.Conv2D(8, 1, name="b")(y)
    y = L.Multiply(name="b_swish")([ShiftedReLU6(name="b_gate")(y), y])
    model = randomise(tf_keras.Model(x, y))
    for name in ("a", "b"):
        layer = model.get_layer(name)
        layer.set_weights([6 * layer.get_weights()[0], layer.get_weights()[1]])
    pictures = noise(4, 8)
    taps = [model.get_layer(n).output for n in quantized_layers(model)]
    values = tf_keras.Model(model.inputs, taps)(pictures)
    ranges = {
        n: (min(float(v.numpy().min()), 0.0), float(v.numpy().max()))
        for n, v in zip(quantized_layers(model), values, strict=True)
    }
    for name in ("a", "b"):
        assert ranges[name][0] < -6
        ranges[name] = (-3.0, ranges[name][1])
    path = tmp_path / "m.tflite"
    path.write_bytes(convert(fake_quantized(model, ranges), "int8", "int8", "logits"))
    found = {row["name"]: row["sqnr_db"] for row in layer_sqnr(path, model, pictures)}
    assert found["a"] > 25 > 15 > found["b"]


def test_each_layer_is_within_a_step_of_its_fake_quantised_twin(quantized, twin_file):
    steps = layer_steps(twin_file, quantized, pictures("classify", 4))
    assert [row["name"] for row in steps[:3]] == ["input", "conv", "conv_shifted_relu6"]
    assert len(steps) > 30
    assert max(row["max_steps"] for row in steps) == 1
    assert {row["share_beyond_one_step"] for row in steps} == {0.0}
    # Although what is handed down from layer to layer grows.
    assert steps[1]["steps_off"] == 0 < max(row["steps_off"] for row in steps)
    assert first_parting(twin_file, quantized, pictures("classify", 4)) is None


def test_the_first_layer_that_parts_is_named(lowered, quantized, twin_file):
    """The bias of one channel is not what was exported: all that follows is off as well."""
    layer = quantized.get_layer("quant_expanded_conv_2_project")
    bias = next(weight for weight in layer.weights if "bias" in weight.name)
    kept = bias.numpy()
    low, high = (float(w) for w in layer.weights if w.name.endswith(("_low:0", "_high:0")))
    wrong = kept.copy()
    wrong[0] += 5 * (high - low) / 255
    try:
        bias.assign(wrong)
        found = first_parting(twin_file, quantized, pictures("classify", 4))
        steps = {
            row["name"]: row for row in layer_steps(twin_file, quantized, pictures("classify", 4))
        }
    finally:
        bias.assign(kept)
    assert (found["name"], found["op"]) == ("expanded_conv_2_project", "CONV_2D")
    assert found["max_steps"] in (5, 6)
    assert found["share_beyond_one_step"] == pytest.approx(1 / len(kept), rel=0.3)
    # The next layers inherit it, which is not their fault.
    assert steps["expanded_conv_3_expand"]["steps_off"] > 0.05
    assert steps["expanded_conv_3_expand"]["max_steps"] <= 1
    assert steps["expanded_conv_2_depthwise"]["max_steps"] <= 1


@pytest.mark.parametrize(
    ("max_steps", "share", "parts"),
    [(1, 0.0, False), (2, 0.0005, False), (2, 0.01, True), (3, 0.0001, True)],
)
def test_what_is_more_than_rounding(max_steps, share, parts):
    rows = [
        {"name": "a", "max_steps": 1, "share_beyond_one_step": 0.0},
        {"name": "b", "max_steps": max_steps, "share_beyond_one_step": share},
    ]
    assert parting_of(rows) == (rows[1] if parts else None)
