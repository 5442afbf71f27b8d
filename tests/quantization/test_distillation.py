"""The float network teaches the quantised one: what moves, what stays, and how it goes on."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from random_network import noise, randomise, settle
from toy_network import (
    RATES,
    toy_batches,
    toy_distiller,
    toy_network,
    toy_pictures,
    values,
)

from mnv3_tf.export.lowering import lowered_model
from mnv3_tf.models import build
from mnv3_tf.networks import resolve
from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.distillation import Distiller, Rates, divergence_from
from mnv3_tf.quantization.scheme import PICTURE_RANGE, as_stored, fake_quantized


def kind(name: str) -> str:
    ending = name.rpartition("/")[2]
    return next(k for k in ("bias", "kernel", "output") if k in ending).replace("output", "range")


def run(distiller: Distiller, steps: int, start: int = 0) -> list[float]:
    batches = toy_batches(start)
    return [float(distiller.step(next(batches))) for _ in range(steps)]


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


@pytest.mark.parametrize("kinds", [{"bias"}, {"kernel"}, {"range"}, set()])
def test_a_rate_of_zero_leaves_a_kind_alone(kinds):
    rates = {"bias": 0.0, "kernel": 0.0, "range": 0.0} | dict.fromkeys(kinds, 1e-3)
    distiller = toy_distiller(rates=Rates(**rates))
    before = values(distiller)
    run(distiller, 2)
    assert {kind(name) for name in moved(before, values(distiller))} == kinds


def test_with_rates_everything_moves_but_pixels_and_zeros():
    distiller = toy_distiller()
    before = values(distiller)
    run(distiller, 4)
    after = values(distiller)
    stays = set(before) - moved(before, after)
    # A picture's range is what a picture can hold; below a ReLU nothing is ever negative.
    assert stays == {
        "quant_input/output_low:0",
        "quant_input/output_high:0",
        "quant_a_relu/output_low:0",
    }
    assert after["quant_a_relu/output_low:0"] == 0
    assert {kind(name) for name in moved(before, after)} == {"bias", "kernel", "range"}


def test_a_step_is_no_larger_than_its_rate():
    """Adam's first step is its rate, here a part of what suits each variable."""
    distiller = toy_distiller(rates=Rates(bias=0.01, kernel=0.02, range=0.03))
    before = values(distiller)
    run(distiller, 1)
    after = values(distiller)
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


def test_rates_fall_to_nothing_at_the_end():
    distiller = toy_distiller(steps=4)
    run(distiller, 4)
    before = values(distiller)
    run(distiller, 1)
    for name, value in values(distiller).items():
        np.testing.assert_allclose(value, before[name], rtol=1e-6)


def test_the_divergence_falls():
    lowered = toy_network()
    ranges = calibrate(lowered, toy_pictures())
    quantized = fake_quantized(lowered, ranges)
    quantized.get_layer("quant_logits").layer.bias.assign_add([0.5, 0, 0, -0.5])
    distiller = Distiller(quantized, lowered, ranges, Rates(bias=0.01), 60)
    divergence, judges = divergence_from(lowered, quantized), toy_pictures(7)
    before = divergence(judges)
    run(distiller, 60)
    assert before > 0.01
    assert divergence(judges) < 0.2 * before


def test_the_divergence_is_kullback_and_leiblers():
    distiller, pictures = toy_distiller(), toy_pictures(7)
    lowered = toy_network()
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


def test_the_teacher_is_not_taught():
    lowered = toy_network()
    ranges = calibrate(lowered, toy_pictures())
    before = [weight.copy() for weight in lowered.get_weights()]
    run(Distiller(fake_quantized(lowered, ranges), lowered, ranges, RATES, 20), 3)
    for weight, kept in zip(lowered.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_all_steps_can_be_undone():
    distiller = toy_distiller()
    before = values(distiller)
    run(distiller, 3)
    assert moved(before, values(distiller))
    distiller.put_back()
    assert not moved(before, values(distiller))


def test_low_limits_never_rise_above_zero():
    """A range without zero in it is one that fake-quantisation and the converter disagree on."""
    distiller = toy_distiller()
    for shift in distiller.shifts:
        shift.assign(tf.ones_like(shift) * 1e4)  # as if training had driven all of them up
    run(distiller, 1)
    found = values(distiller)
    lows = {name: value for name, value in found.items() if name.endswith("_low:0")}
    assert len(lows) == 6
    assert lows.pop("quant_input/output_low:0") == np.float32(PICTURE_RANGE[0])
    assert set(lows.values()) == {0.0}
    assert found["quant_logits/output_high:0"] > 10  # it is not bound


def test_two_alike_make_the_same_steps():
    one, other = toy_distiller(), toy_distiller()
    assert run(one, 4) == pytest.approx(run(other, 4), rel=1e-5)
    for name, value in values(one).items():
        np.testing.assert_allclose(values(other)[name], value, rtol=1e-5, atol=1e-7)


def test_a_checkpoint_holds_all_that_training_goes_on_from(tmp_path: Path):
    whole, first = toy_distiller(steps=8), toy_distiller(steps=8)
    run(whole, 8)
    run(first, 4)
    path = tf.train.Checkpoint(distiller=first).save(tmp_path / "c")
    # Of other weights, so that whatever is not restored shows.
    second = toy_distiller(steps=8, seed=5)
    status = tf.train.Checkpoint(distiller=second).restore(path)
    status.assert_existing_objects_matched().assert_consumed()
    assert int(second.step_number) == 4
    assert not moved(values(first), values(second))
    # Its step sizes are constants of the ranges and kernels that it was made with.
    third = toy_distiller(steps=8)
    tf.train.Checkpoint(distiller=third).restore(path)
    run(third, 4, start=4)
    for name, value in values(whole).items():
        np.testing.assert_allclose(values(third)[name], value, rtol=1e-4, atol=1e-6)
    assert moved(values(first), values(third))


def test_a_mobilenet():
    """h-swish, squeeze-excite, residuals and a gate of the stem: every convolution learns."""
    spec = resolve("small", 0.35, resolution=32, num_classes=5)
    spec = spec.replace(blocks=spec.blocks[:5], hidden=16)
    pictures = noise(16, 32)
    trained = settle(randomise(build(spec)), pictures)
    lowered = lowered_model(spec, trained, "equalized")
    ranges = calibrate(lowered, pictures)
    distiller = Distiller(fake_quantized(lowered, ranges), lowered, ranges, RATES, 4)
    before = values(distiller)
    first, second = (float(distiller.step(pictures)) for _ in range(2))
    assert first != second
    after = values(distiller)
    assert all(np.isfinite(value).all() for value in after.values())
    still = set(before) - moved(before, after)
    assert {kind(name) for name in still} <= {"range"}
    for name in still:
        assert name.startswith("quant_input/") or before[name] == 0, name
