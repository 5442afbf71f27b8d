"""Ranges: what least squares chooses, and what calibration refuses."""

import numpy as np
import pytest
import tf_keras
from random_network import noise, randomise
from refusals import refused
from toy_network import toy_network, toy_pictures

from mnv3_tf.quantization import calibration
from mnv3_tf.quantization.calibration import (
    Samples,
    batch_size,
    calibrate,
    collect_samples,
    least_squares_range,
)
from mnv3_tf.quantization.scheme import (
    PICTURE_RANGE,
    input_range,
    kernel_of,
    quantized_layers,
    range_layer,
)


def samples(values, importance=None) -> Samples:
    values = np.asarray(values, np.float32)
    importance = np.ones_like(values) if importance is None else np.asarray(importance, np.float32)
    return Samples(values, importance, float(values.min()), float(values.max()))


def test_uniform_values_keep_nearly_their_full_range():
    low, high = least_squares_range(samples(np.linspace(-2, 3, 10_001)))
    assert -2 <= low <= -1.9
    assert 2.9 <= high <= 3


def test_an_outlier_that_matters_little_is_clipped():
    values = np.append(np.linspace(0, 1, 10_000), 50.0)
    careless = np.append(np.ones(10_000), 1e-6)
    careful = np.append(np.ones(10_000), 1e6)
    assert least_squares_range(samples(values, careless))[1] < 5
    assert least_squares_range(samples(values, careful))[1] == pytest.approx(50, rel=0.02)


def test_values_that_nothing_depends_on_do_not_count():
    """Below -3, h-swish is zero: no gradient there."""
    values = np.random.default_rng(0).normal(0, 2.5, 50_000)
    all_count = least_squares_range(samples(values))
    few_count = least_squares_range(samples(values, values > -3))
    assert few_count[0] > 0.8 * all_count[0]
    assert few_count[1] == pytest.approx(all_count[1], rel=0.1)


def test_without_any_gradient_the_plain_error_decides():
    values = np.linspace(-2, 3, 10_001)
    low, high = least_squares_range(samples(values, np.zeros(10_001)))
    assert low == pytest.approx(-2, rel=0.1)
    assert high == pytest.approx(3, rel=0.1)


def test_a_tensor_that_is_always_zero():
    assert least_squares_range(samples(np.zeros(100))) == (0.0, 1.0)


@pytest.mark.parametrize(("low", "high"), [(2.0, 3.0), (-3.0, -2.0), (0.0, 1.0), (-1e-8, 0.0)])
def test_zero_is_always_within(low, high):
    found = least_squares_range(samples(np.linspace(low, high, 1000)))
    assert found[0] <= 0 <= found[1]
    assert found[0] < found[1]
    assert (found[0] == 0) == (low >= 0)
    assert (found[1] == 0) == (high <= 0)


@pytest.mark.parametrize("tails", ["heavy", "light"])
def test_the_chosen_range_beats_a_coarser_search(tails):
    rng = np.random.default_rng(0)
    values = rng.standard_t(2, 20_000) if tails == "heavy" else rng.normal(size=20_000)
    values = values.astype(np.float32)

    def lost(low: float, high: float) -> float:
        step = (high - low) / 255
        zero = np.round(-low / step)
        rounded = (np.clip(np.round(values / step) + zero, 0, 255) - zero) * step
        return float(np.square(values - rounded).mean())

    parts = np.geomspace(0.05, 1, 25)
    best = min(lost(values.min() * a, values.max() * b) for a in parts for b in parts)
    assert lost(*least_squares_range(samples(values))) < 0.995 * best


# -- a whole network -------------------------------------------------------------------------


def test_every_int8_tensor_gets_a_range(lowered, ranges):
    assert set(ranges) == set(quantized_layers(lowered))
    assert ranges["input"] == PICTURE_RANGE
    for name, (low, high) in ranges.items():
        assert low <= 0 <= high, name
        assert low < high, name
    gate = ranges["expanded_conv_squeeze_excite_conv_1_relu6"]
    assert gate[0] == 0
    assert gate[1] <= 6.001


def test_no_steps_are_finer_than_those_of_the_sums(lowered, ranges):
    """XNNPACK refuses a convolution whose input scale times kernel scale exceeds its output's."""
    checked = 0
    for layer in lowered.layers:
        if kernel_of(layer):
            low, high = input_range(layer, ranges)
            kernel = np.abs(getattr(layer, kernel_of(layer)).numpy()).max()
            out = ranges[range_layer(layer).name]
            assert (out[1] - out[0]) / 255 >= 0.999 * (high - low) / 255 * kernel / 127
            checked += 1
    assert checked == 17


# One batch, and three, of which the last is smaller.
counts = pytest.mark.parametrize("count", [12, 40])


@counts
def test_the_same_pictures_and_seed_give_the_same_ranges(count):
    pictures, found = toy_pictures(count=count), []
    for seed in (0, 0, 1):
        tf_keras.utils.set_random_seed(len(found))
        found.append(calibrate(toy_network(), pictures, seed))
    assert found[0] == found[1] != found[2]


@counts
def test_samples_are_of_all_pictures_and_know_their_extremes(count, monkeypatch):
    network, pictures = toy_network(), toy_pictures(count=count)
    monkeypatch.setattr(calibration, "SAMPLES", 100 * count + 1)
    collected = collect_samples(network, pictures)
    assert list(collected) == quantized_layers(network)
    for name, found in collected.items():
        values = tf_keras.Model(network.inputs, network.get_layer(name).output)(pictures).numpy()
        assert found.low == pytest.approx(values.min(), abs=1e-5)
        assert found.high == pytest.approx(values.max(), rel=1e-5)
        assert found.values.shape == found.importance.shape
        assert found.values.size == count * min(100, values[0].size), name
        nearest = np.sort(values, None)
        at = np.searchsorted(nearest, found.values).clip(1, nearest.size - 1)
        apart = np.minimum(abs(found.values - nearest[at - 1]), abs(found.values - nearest[at]))
        assert apart.max() < 1e-5
        assert (found.importance >= 0).all()
        assert found.importance.max() > 0


def test_importance_belongs_to_its_value():
    """The squared gradient at a logit is (p - 1)^2 if its class is drawn, else p^2."""
    pictures = toy_pictures(count=1)
    found = collect_samples(toy_network(), pictures)["logits"]
    logits = toy_network()(pictures).numpy().ravel()
    odds = np.exp(logits) / np.exp(logits).sum()
    assert len(set(found.values)) > 1
    for value, importance in zip(found.values, found.importance, strict=True):
        chance = odds[np.argmin(abs(logits - value))]
        assert min(abs(importance - chance**2), abs(importance - (1 - chance) ** 2)) < 1e-5


def dead_branch() -> tf_keras.Model:
    """A convolution whose outputs all but vanish, as the released Small has them."""
    x = tf_keras.Input((8, 8, 3))
    y = tf_keras.layers.Activation("linear", name="input")(x)
    y = tf_keras.layers.Conv2D(4, 1, name="dead")(y)
    y = tf_keras.layers.ReLU(name="dead_relu")(y)
    y = tf_keras.layers.Conv2D(4, 1, name="head")(y)
    y = tf_keras.layers.GlobalAveragePooling2D(name="pool")(y)
    model = randomise(tf_keras.Model(x, y))
    kernel, _ = model.get_layer("dead").get_weights()
    bias = np.float32([1e-7, -3, -3, -3]) - np.abs(kernel).sum((0, 1, 2)) * [0, 1, 1, 1]
    kernel[..., 0] = 0
    model.get_layer("dead").set_weights([kernel, bias.astype(np.float32)])
    return model


def test_a_range_that_all_but_vanishes_is_widened():
    model = dead_branch()
    chosen = least_squares_range(collect_samples(model, noise(4, 8))["dead_relu"])
    widened = calibrate(model, noise(4, 8))["dead_relu"]
    assert chosen[1] < 1e-6
    assert widened[0] == 0
    largest = np.abs(model.get_layer("dead").kernel.numpy()).max()
    assert widened[1] == pytest.approx(2 * largest / 127, rel=0.01)


def test_without_pictures_there_is_nothing_to_calibrate_on():
    for nothing in (np.empty(0), np.empty((0, 64, 64, 3), np.float32)):
        with refused("Calibration needs pictures, but there are none", "--calibration"):
            calibrate(toy_network(), nothing)


def test_values_that_overflow_are_traced_to_their_layer():
    network = tf_keras.models.clone_model(toy_network())
    network.set_weights(toy_network().get_weights())
    layer = network.get_layer("b")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel * np.float32(1e38), bias])
    with refused("The output of layer b is not finite on the calibration pictures"):
        calibrate(network, toy_pictures(count=4))


@pytest.mark.parametrize(
    ("resolution", "size"),
    [(8, 16), (224, 16), (320, 8), ((448, 224), 8), ((1024, 2048), 1), (4000, 1)],
)
def test_larger_pictures_come_in_smaller_batches(resolution, size):
    assert batch_size(resolution, 16) == size
