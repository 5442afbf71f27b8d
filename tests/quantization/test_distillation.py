"""The float network teaches the quantised one: what moves, what stays, and how it goes on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny
from toy_network import RATES, ToyDistiller, toy_batches, toy_network, toy_pictures

from mnv3_tf.quantization.distillation import Distiller, Rates, divergence_from, features_of
from mnv3_tf.quantization.scheme import PICTURE_RANGE, as_stored

STEPS = 20


def kind(name: str) -> str:
    ending = name.rpartition("/")[2]
    return next(k for k in ("bias", "kernel", "output") if k in ending).replace("output", "range")


def run(distiller: Distiller, steps: int, start: int = 0) -> list[float]:
    batches = toy_batches(start)
    return [float(distiller.step(next(batches))) for _ in range(steps)]


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


def check_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def shared_distiller() -> ToyDistiller:
    return ToyDistiller(STEPS)


@pytest.fixture
def fresh(shared_distiller: ToyDistiller) -> Callable[[], ToyDistiller]:
    return shared_distiller.afresh


@pytest.fixture
def eagerly():
    """A few steps take less time than tracing one."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("kinds", [{"bias"}, {"kernel"}, {"range"}, set()])
def test_a_rate_of_zero_leaves_a_kind_alone(kinds, eagerly):
    rates = {"bias": 0.0, "kernel": 0.0, "range": 0.0} | dict.fromkeys(kinds, 1e-3)
    distiller = ToyDistiller(rates=Rates(**rates))
    before = distiller.values()
    run(distiller, 1)
    assert {kind(name) for name in moved(before, distiller.values())} == kinds


def test_with_rates_everything_moves_but_pixels_and_zeros(fresh):
    distiller, taught = fresh(), toy_network().get_weights()
    before = distiller.values()
    run(distiller, 4)
    after = distiller.values()
    stays = set(before) - moved(before, after)
    # A picture's range is what a picture can hold; below a ReLU nothing is ever negative.
    assert stays == {
        "quant_input/output_low:0",
        "quant_input/output_high:0",
        "quant_a_relu/output_low:0",
    }
    assert after["quant_a_relu/output_low:0"] == 0
    assert {kind(name) for name in moved(before, after)} == {"bias", "kernel", "range"}
    for weight, kept in zip(toy_network().get_weights(), taught, strict=True):
        np.testing.assert_array_equal(weight, kept)  # the teacher's
    distiller.put_back()
    assert not moved(before, distiller.values())


def test_a_step_is_no_larger_than_its_rate(eagerly):
    """Adam's first step is its rate, here a part of what suits each variable."""
    distiller = ToyDistiller(rates=Rates(bias=0.01, kernel=0.02, range=0.03))
    before = distiller.values()
    run(distiller, 1)
    after = distiller.values()
    width = {
        name.removesuffix("_high:0"): before[name] - before[name.replace("_high", "_low")]
        for name in before
        if name.endswith("_high:0")
    }
    of_bias = {"quant_a": "quant_a_relu"}  # whose range the convolution's output gets
    for name in moved(before, after):
        step = np.abs(after[name] - before[name])
        layer = name.partition("/")[0]
        match kind(name):
            case "bias":
                expected = 0.01 * width[f"{of_bias.get(layer, layer)}/output"]
            case "kernel":
                axes = (0, 1, 3) if "depthwise" in name else (0, 1, 2)
                expected = 0.02 * np.sqrt(np.square(before[name]).mean(axes, keepdims=True))
            case "range":
                expected = 0.03 * width[f"{layer}/output"]
        largest = (step / expected).max()
        assert largest == pytest.approx(1, rel=0.02), name


def test_rates_fall_to_nothing_at_the_end(fresh):
    distiller = fresh()
    run(distiller, STEPS)
    before = distiller.values()
    run(distiller, 1)
    for name, value in distiller.values().items():
        np.testing.assert_allclose(value, before[name], rtol=1e-6)


def test_the_divergence_is_kullback_and_leiblers(fresh):
    distiller, pictures, lowered = fresh(), toy_pictures(7), toy_network()
    expected, found = (
        tf.nn.softmax(model(seen).numpy().astype(np.float64)).numpy()
        for model, seen in ((lowered, pictures), (distiller.quantized, as_stored(pictures)))
    )
    divergence = (expected * np.log(expected / found)).sum(-1)
    assert (divergence > 0).all()
    # A last batch that is smaller counts by its pictures.
    mean = divergence_from(lowered, distiller.quantized, batch=5)
    assert mean(pictures) == pytest.approx(divergence.mean(), abs=1e-6)
    # The step returns what it was before it.
    assert float(distiller.step(pictures)) == pytest.approx(divergence.mean(), abs=1e-6)
    assert mean(pictures) != pytest.approx(divergence.mean(), abs=1e-6)


def test_low_limits_never_rise_above_zero(fresh):
    """A range without zero in it is one that fake-quantisation and the converter disagree on."""
    distiller = fresh()
    for shift in distiller.shifts:
        shift.assign(tf.ones_like(shift) * 1e4)  # as if training had driven all of them up
    run(distiller, 1)
    found = distiller.values()
    lows = {name: value for name, value in found.items() if name.endswith("_low:0")}
    assert len(lows) == 6
    assert lows.pop("quant_input/output_low:0") == np.float32(PICTURE_RANGE[0])
    assert set(lows.values()) == {0.0}
    assert found["quant_logits/output_high:0"] > 10  # it is not bound


def test_two_alike_make_the_same_steps(fresh, eagerly):
    """One in a graph, and one without."""
    other = ToyDistiller(STEPS)
    eager = run(other, 3)
    tf.config.run_functions_eagerly(False)
    one = fresh()
    assert run(one, 3) == pytest.approx(eager, rel=1e-4)
    check_same(one.values(), other.values())


def test_a_checkpoint_holds_all_that_training_goes_on_from(fresh, tmp_path: Path):
    distiller = fresh()
    run(distiller, 8)
    whole = distiller.values()
    first = fresh()
    run(first, 4)
    half = first.values()
    path = tf.train.Checkpoint(distiller=first).save(tmp_path / "c")
    # Of other weights, so that whatever is not restored shows.
    second = ToyDistiller(STEPS, seed=5)
    status = tf.train.Checkpoint(distiller=second).restore(path)
    status.assert_existing_objects_matched().assert_consumed()
    assert int(second.step_number) == 4
    assert not moved(half, second.values())
    # Its step sizes are constants of the ranges and kernels that it was made with.
    third = fresh()
    tf.train.Checkpoint(distiller=third).restore(path)
    run(third, 4, start=4)
    check_same(third.values(), whole)
    assert moved(half, third.values())


def test_a_mobilenet(lowered, ranges, quantized, images, eagerly):
    """h-swish, squeeze-excite, residuals and a gate of the stem: every convolution learns."""
    distiller = Distiller(quantized, lowered, ranges, RATES, 4, features_of(tiny.CLASSIFIER))
    before = {variable.name: variable.numpy() for variable in quantized.variables}
    assert 0 < float(distiller.step(images)) < np.inf
    after = {variable.name: variable.numpy() for variable in quantized.variables}
    distiller.put_back()
    assert all(np.isfinite(value).all() for value in after.values())
    still = {name for name in set(before) - moved(before, after) if "optimizer" not in name}
    assert {kind(name) for name in still} <= {"range"}
    for name in still:
        assert name.startswith("quant_input/") or before[name] == 0, name
