"""Biases of a quantised network are tuned back to the float network's answers."""

import numpy as np
import pytest
from random_network import noise, randomise, settle

from mnv3_tf.export.lowering import lowered_model
from mnv3_tf.models import build
from mnv3_tf.networks import resolve
from mnv3_tf.quantization import post_training
from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.distillation import Rates
from mnv3_tf.quantization.post_training import steps_for, tune
from mnv3_tf.quantization.scheme import fake_quantized


@pytest.fixture(scope="module")
def network():
    """(lowered model, its ranges, pictures) of the first blocks of a small network."""
    small = resolve("small", 0.35, resolution=32, num_classes=5)
    spec = small.replace(blocks=small.blocks[:4], hidden=32)
    images = noise(post_training.FEWEST_PICTURES, 32)
    lowered = lowered_model(spec, settle(randomise(build(spec)), images), "composite")
    return lowered, calibrate(lowered, images), images


def biases(model) -> np.ndarray:
    return np.concatenate([v.numpy() for v in model.variables if "bias" in v.name])


def test_a_shifted_bias_comes_back(network, monkeypatch):
    # Far enough off to stand out from what quantisation does to a random network.
    monkeypatch.setattr(post_training, "RATES", Rates(bias=1e-3))
    lowered, ranges, images = network
    quantized = fake_quantized(lowered, ranges)
    logits = quantized.get_layer("quant_logits").layer
    width = np.subtract(*reversed(ranges["logits"]))
    logits.bias.assign_add(width * np.array([0.06, 0, 0, 0, -0.06], np.float32))
    found = tune(quantized, lowered, ranges, images)
    assert found.after < 0.5 * found.before


def test_biases_that_do_not_help_are_put_back(network, monkeypatch):
    lowered, ranges, images = network
    quantized = fake_quantized(lowered, ranges)
    before = biases(quantized)
    monkeypatch.setattr(post_training, "RATES", Rates(bias=1.0))
    found = tune(quantized, lowered, ranges, images)
    assert found.after == found.before
    np.testing.assert_array_equal(biases(quantized), before)


def test_a_handful_of_pictures_changes_nothing(network):
    lowered, ranges, images = network
    quantized = fake_quantized(lowered, ranges)
    before = biases(quantized)
    assert tune(quantized, lowered, ranges, images[:-1]) is None
    np.testing.assert_array_equal(biases(quantized), before)


@pytest.mark.parametrize(
    ("madds", "steps"), [(57e6, 120), (1e6, 120), (114e6, 60), (220e6, 40), (1e9, 40)]
)
def test_a_larger_network_gets_fewer_steps(madds, steps):
    assert steps_for(madds) == steps


def test_so_many_steps_are_made(network, monkeypatch):
    lowered, ranges, images = network
    made = []

    class Counting(post_training.Distiller):
        def step(self, pictures):
            made.append(len(pictures))

    monkeypatch.setattr(post_training, "Distiller", Counting)
    tune(fake_quantized(lowered, ranges), lowered, ranges, images, 7)
    assert made == [post_training.BATCH] * 7
