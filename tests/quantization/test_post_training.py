"""Biases of a quantised network are tuned back to the float network's answers."""

import numpy as np
import pytest
import tensorflow as tf
from toy_network import TOY_FEATURES, toy_network, toy_pictures, toy_quantized, toy_ranges

from mnv3_tf.quantization import post_training
from mnv3_tf.quantization.distillation import Rates
from mnv3_tf.quantization.post_training import FEWEST_PICTURES, Divergence, steps_for, tune

IMAGES = toy_pictures(count=FEWEST_PICTURES)


@pytest.fixture
def eagerly():
    """A few steps take less time than tracing one."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def known(pictures) -> set[float]:
    return {float(picture.sum()) for picture in pictures}


def biases(model) -> np.ndarray:
    return np.concatenate([v.numpy() for v in model.variables if "bias" in v.name])


def test_a_shifted_bias_comes_back(monkeypatch):
    monkeypatch.setattr(post_training, "RATES", Rates(bias=1e-3))
    quantized = toy_quantized()
    quantized.get_layer("quant_logits").layer.bias.assign_add([0.5, 0, 0, -0.5])
    found = tune(quantized, toy_network(), toy_ranges(), IMAGES, TOY_FEATURES)
    assert found.before > 0.01
    assert 0 <= found.after < 0.2 * found.before


def test_biases_that_do_not_help_are_put_back(monkeypatch, eagerly):
    quantized = toy_quantized()
    before = biases(quantized)
    monkeypatch.setattr(post_training, "RATES", Rates(bias=1.0))
    found = tune(quantized, toy_network(), toy_ranges(), IMAGES, TOY_FEATURES, 2)
    assert found.after == found.before > 0
    np.testing.assert_array_equal(biases(quantized), before)


def test_a_handful_of_pictures_changes_nothing():
    quantized = toy_quantized()
    before = biases(quantized)
    assert tune(quantized, toy_network(), toy_ranges(), IMAGES[:-1], TOY_FEATURES) is None
    np.testing.assert_array_equal(biases(quantized), before)


@pytest.mark.parametrize(
    ("madds", "steps"), [(57e6, 120), (1e6, 120), (114e6, 60), (220e6, 40), (1e9, 40)]
)
def test_a_larger_network_gets_fewer_steps(madds, steps):
    assert steps_for(madds) == steps


@pytest.mark.parametrize("after", [0.5, 1.0, 2.0])
def test_judges_are_held_out_from_so_many_steps(after, monkeypatch):
    """And what brought nothing is put back."""
    stepped, judged, back = [], [], []

    class Recording:
        def __init__(self, quantized, lowered, ranges, rates, steps, features, answer):
            assert (rates, steps, answer) == (Rates(bias=1e-4), 7, "answer")
            assert features == TOY_FEATURES

        def step(self, pictures):
            stepped.append(np.asarray(pictures))

        def put_back(self):
            back.append(True)

    def divergence_from(lowered, quantized, answer):
        assert answer == "answer"
        return lambda pictures: judged.append(pictures) or [1.0, after][len(judged) - 1]

    monkeypatch.setattr(post_training, "Distiller", Recording)
    monkeypatch.setattr(post_training, "divergence_from", divergence_from)
    found = tune(None, toy_network(), toy_ranges(), IMAGES, TOY_FEATURES, 7, answer="answer")
    assert found == Divergence(1.0, min(after, 1.0))
    assert bool(back) == (after >= 1)
    assert [len(pictures) for pictures in stepped] == [post_training.BATCH] * 7
    first, last = map(known, judged)
    assert first == last
    assert len(first) == int(0.2 * FEWEST_PICTURES)
    assert first < known(IMAGES)
    assert set.union(*map(known, stepped)) < known(IMAGES) - first
