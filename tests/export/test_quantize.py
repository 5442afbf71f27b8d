"""From a trained network to int8: the choices on the way, and one contract for all networks."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from random_network import noise, randomise, relative_error, settle

from mnv3_tf.errors import UserError
from mnv3_tf.export import inspection, int8
from mnv3_tf.export.convert import convert
from mnv3_tf.export.int8 import FEWEST_PICTURES, Training, find_warnings, quantize
from mnv3_tf.export.parity import layer_steps, parting_of
from mnv3_tf.models import build
from mnv3_tf.networks import resolve
from mnv3_tf.quantization.distillation import divergence_from
from mnv3_tf.spec import NetworkSpec

SIDE = 64
_SMALL = resolve("small", 0.35, SIDE, 10)
TINY = _SMALL.replace(name="tiny", blocks=_SMALL.blocks[:5], hidden=32)
"""Every kind of operator of a MobileNetV3, and few of each."""


def trained(spec: NetworkSpec, pictures: np.ndarray, seed: int = 0) -> tf_keras.Model:
    return settle(randomise(build(spec), seed), pictures)


def batches(start: int) -> Iterator[np.ndarray]:
    return (noise(8, SIDE, seed=100 + step) for step in count(start))


# -- the stem --------------------------------------------------------------------------------


def test_a_stem_of_unequal_channels_gets_a_gate_of_its_own():
    """As the released Small's: a hundredfold, and what reads them makes all of them count."""
    pictures = noise(16, SIDE)
    model = randomise(build(TINY))
    norm = model.get_layer("conv_bn")
    size = np.geomspace(0.02, 2, TINY.stem.filters)
    norm.gamma.assign(size)
    norm.beta.assign(0.3 * size)
    settle(model, pictures)
    made = quantize(TINY, model, "composite", True, pictures)
    tried = made.notes["stem"]["divergence"]
    assert made.lowering == made.notes["stem"]["chosen"] == "equalized"
    assert tried["equalized"] < 0.75 * tried["composite"]
    assert "conv_gate" in {layer.name for layer in made.lowered.layers}
    assert {"conv_gate_relu6", "conv"} <= set(made.ranges)
    assert relative_error(model(pictures), made.lowered(pictures)) <= 1e-4


def choose(monkeypatch, composite: float, equalized: float) -> tuple[str, dict[str, Any]]:
    figures = {"composite": composite, "equalized": equalized}

    def calibrated(spec: Any, network: Any, lowering: str, pictures: Any) -> int8.Int8:
        return int8.Int8(None, lowering, lowering, {}, {})  # type: ignore[arg-type]

    monkeypatch.setattr(int8, "divergence_from", lambda _, told, __: lambda pictures: figures[told])
    monkeypatch.setattr(int8, "_calibrated", calibrated)
    return int8._choose_stem(TINY, None, noise(1, 8))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("composite", "equalized", "chosen"),
    [
        (0.20, 0.10, "equalized"),
        (0.20, 0.149, "equalized"),
        (0.20, 0.151, "composite"),  # better, but it takes longer
        (0.20, 0.30, "composite"),
        (0.0, 0.0, "composite"),
        (0.20, np.nan, "composite"),
    ],
)
def test_the_gate_must_be_worth_its_time(composite, equalized, chosen, monkeypatch):
    found, note = choose(monkeypatch, composite, equalized)
    assert found == note["chosen"] == chosen
    assert set(note["divergence"]) == {"composite", "equalized"}


@pytest.mark.parametrize(
    ("name", "lowering", "may"),
    [
        ("small", "composite", False),
        ("small", "fused", True),
        ("small", "equalized", True),
        ("v2", "composite", True),
        ("small_minimalistic", "composite", True),
    ],
)
def test_where_there_is_nothing_to_choose(name, lowering, may, monkeypatch):
    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(int8, "_choose_stem", never)
    spec = resolve(name, 0.35, SIDE, 10)
    spec = spec.replace(blocks=spec.blocks[:2], hidden=0)
    pictures = noise(4, SIDE)
    made = quantize(spec, trained(spec, pictures), lowering, may, pictures)
    assert "stem" not in made.notes
    assert made.lowering == lowering


# -- what is done ----------------------------------------------------------------------------


def test_a_dead_branch_is_gone_before_anything_is_quantised():
    pictures = noise(8, SIDE)
    model = trained(TINY, pictures)
    before = model.get_weights()
    gates = model.get_layer("expanded_conv_3_squeeze_excite_conv_1")
    gates.set_weights([np.zeros_like(w) if w.ndim == 4 else w for w in gates.get_weights()])
    made = quantize(TINY, model, "composite", False, pictures)
    assert made.notes["simplified"]["squeeze_excite_removed"] == ["expanded_conv_3"]
    for network in (made.lowered, made.quantized):
        names = {layer.name.removeprefix("quant_") for layer in network.layers}
        assert not any(name.startswith("expanded_conv_3_squeeze") for name in names)
        assert "expanded_conv_4_squeeze_excite_conv" in names
    assert not any(name.startswith("expanded_conv_3_squeeze") for name in made.ranges)
    assert relative_error(model(pictures), made.lowered(pictures)) <= 1e-4
    # The trained network itself is left as it was.
    model.set_weights(before)
    assert "expanded_conv_3_squeeze_excite_conv" in {layer.name for layer in model.layers}


def test_post_training_quantisation_tunes_biases():
    pictures = noise(FEWEST_PICTURES, SIDE)
    made = quantize(TINY, trained(TINY, pictures), "composite", False, pictures)
    tuned = made.notes["bias_correction"]
    assert 0 <= tuned["after"] <= tuned["before"]
    assert made.notes["warnings"] == []
    assert "qat_steps" not in made.notes
    assert json.loads(json.dumps(made.notes)) == made.notes


def test_training_goes_in_the_place_of_tuning(tmp_path):
    pictures = noise(8, SIDE)
    model = trained(TINY, pictures)
    before = [weight.copy() for weight in model.get_weights()]
    plain = quantize(TINY, model, "composite", False, pictures)
    folder = tmp_path / "m.qat"
    made = quantize(
        TINY, model, "composite", False, pictures, Training(batches, steps=3, checkpoints=folder)
    )
    assert made.notes["qat_steps"] == 3
    assert "bias_correction" not in made.notes
    assert made.ranges == plain.ranges  # from which it started
    for kind in ("bias", "kernel", "output_high"):
        pairs = [
            (one.numpy(), other.numpy())
            for one, other in zip(made.quantized.variables, plain.quantized.variables, strict=True)
            if kind in one.name
        ]
        assert pairs
        assert not all(np.array_equal(one, other) for one, other in pairs), kind
    for weight, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)
    job = json.loads((folder / "job.json").read_text())
    assert job["spec"] == TINY.hash
    assert (job["lowering"], job["steps"]) == ("composite", 3)


def test_a_training_of_other_weights_is_another_job(tmp_path, capsys):
    pictures, folder = noise(8, SIDE), tmp_path / "m.qat"
    spec = TINY.replace(blocks=TINY.blocks[:1], hidden=0)

    def stopping(start: int) -> Iterator[np.ndarray]:
        yield next(batches(start))
        raise KeyboardInterrupt

    def make(seed: int, pictures_of: Any) -> None:
        model = trained(spec, pictures, seed)
        quantize(
            spec,
            model,
            "composite",
            False,
            pictures,
            Training(pictures_of, steps=2, checkpoints=folder),
        )

    with pytest.raises(KeyboardInterrupt):
        make(0, stopping)
    make(1, batches)
    assert "Going on after" not in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):
        make(0, stopping)
    make(0, batches)
    assert "Going on after step 1 of 2" in capsys.readouterr().out


# -- pictures and weights that leave something to wish ---------------------------------------


@pytest.fixture(scope="module")
def lively() -> tf_keras.Model:
    return trained(TINY, noise(16, SIDE))


@pytest.mark.parametrize("may_equalize_stem", [True, False])
@pytest.mark.parametrize("shape", [(0,), (0, SIDE, SIDE, 3)])
def test_without_pictures(lively, shape, may_equalize_stem):
    with pytest.raises(UserError, match="Calibration needs pictures, but there are none"):
        quantize(TINY, lively, "composite", may_equalize_stem, np.empty(shape, np.float32))


@pytest.mark.parametrize("may_equalize_stem", [True, False])
def test_one_picture_is_worked_with(lively, may_equalize_stem, tmp_path):
    made = quantize(TINY, lively, "composite", may_equalize_stem, noise(1, SIDE))
    assert len(made.notes["warnings"]) == 1
    assert "Calibrated on 1 picture:" in made.notes["warnings"][0]
    assert f"give at least {FEWEST_PICTURES}" in made.notes["warnings"][0]
    assert np.isfinite(made.quantized(noise(4, SIDE)).numpy()).all()
    check_file(made, tmp_path / "m.tflite", noise(2, SIDE))


def test_pictures_that_are_all_alike_are_worked_with(lively, tmp_path):
    pictures = np.repeat(noise(1, SIDE), FEWEST_PICTURES, 0)
    made = quantize(TINY, lively, "composite", False, pictures)
    assert len(made.notes["warnings"]) == 1
    assert (
        "pictures are all alike (their pixels differ by 0.0000 of 2)" in made.notes["warnings"][0]
    )
    check_file(made, tmp_path / "m.tflite", noise(2, SIDE))


def test_pictures_of_one_grey_are_worked_with(lively, tmp_path):
    pictures = np.zeros((FEWEST_PICTURES, SIDE, SIDE, 3), np.float32)
    made = quantize(TINY, lively, "composite", False, pictures)
    assert "all alike" in made.notes["warnings"][0]
    check_file(made, tmp_path / "m.tflite", noise(2, SIDE), twin=False)


@pytest.mark.parametrize("may_equalize_stem", [True, False])
@pytest.mark.parametrize("layer", ["conv", "expanded_conv_2_expand", "expanded_conv_3_project"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_damaged_weights_are_traced_to_their_layer(layer, value, may_equalize_stem):
    model = randomise(build(TINY))
    kernel = model.get_layer(layer).get_weights()[0]
    kernel.flat[1] = value
    model.get_layer(layer).set_weights([kernel])
    with pytest.raises(UserError, match=f"weights of layer {layer} are not finite"):
        quantize(TINY, model, "composite", may_equalize_stem, noise(4, SIDE))


@pytest.mark.parametrize("layer", ["expanded_conv_1_project", "expanded_conv_3_project"])
def test_values_that_overflow_are_traced_to_their_layer(layer):
    model = trained(TINY, noise(4, SIDE))
    norm = model.get_layer(f"{layer}_bn")
    norm.gamma.assign(np.full(norm.gamma.shape, 2e38, np.float32))
    with pytest.raises(UserError, match=f"output of layer {layer} is not finite"):
        quantize(TINY, model, "composite", True, noise(4, SIDE))


def test_ranges_that_explode_are_worked_with_and_named(tmp_path):
    pictures = noise(8, SIDE)
    model = trained(TINY, pictures)
    norm = model.get_layer("expanded_conv_2_project_bn")
    norm.gamma.assign(norm.gamma * 1e3)
    made = quantize(TINY, model, "composite", False, pictures)
    warning = made.notes["warnings"][-1]
    widest = max(made.ranges.items(), key=lambda item: item[1][1] - item[1][0])
    low, high = widest[1]
    assert f"Layer {widest[0]} ranges from {low:.4g} to {high:.4g}" in warning
    assert f"int8 step of {(high - low) / 255:.4g}" in warning
    # XNNPACK takes no ADD or MUL of such unlike scales, but it does load.
    (tmp_path / "m.tflite").write_bytes(convert(made.quantized, "int8", "uint8"))
    assert inspection.inspect(tmp_path / "m.tflite")["xnnpack"]["error"] is None


ORDINARY = {"input": (-1.0, 1.0), "a": (0.0, 40.0)}


@pytest.mark.parametrize(
    ("pictures", "ranges", "sentences"),
    [
        (noise(FEWEST_PICTURES, 8), {}, []),
        (noise(FEWEST_PICTURES - 1, 8), {}, [f"Calibrated on {FEWEST_PICTURES - 1} pictures:"]),
        (noise(1, 8), {}, ["Calibrated on 1 picture:"]),
        (np.ones((FEWEST_PICTURES, 8, 8, 3)), {}, ["all alike (their pixels differ by 0.0000"]),
        (0.005 * noise(FEWEST_PICTURES, 8), {}, ["all alike"]),
        (0.1 * noise(FEWEST_PICTURES, 8), {}, []),
        (np.ones((2, 8, 8, 3)), {}, ["Calibrated on 2 pictures:", "all alike"]),
        (noise(FEWEST_PICTURES, 8), {"b": (-6e3, 3e3)}, []),
        (
            noise(FEWEST_PICTURES, 8),
            {"b": (-6e3, 6e3), "c": (0.0, 1.1e4)},
            ["Layer b ranges from -6000 to 6000, an int8 step of 47.06"],
        ),
        (
            np.ones((1, 8, 8, 3)),
            {"b": (0.0, 1e9)},
            ["1 picture:", "Layer b ranges from 0 to 1e+09"],
        ),
    ],
)
def test_warnings(pictures, ranges, sentences):
    found = find_warnings(pictures.astype(np.float32), ORDINARY | ranges)
    assert len(found) == len(sentences)
    for sentence, wanted in zip(found, sentences, strict=True):
        assert wanted in sentence
        assert sentence.endswith(".")
        assert "\n" not in sentence


# -- the contract ----------------------------------------------------------------------------


def check_file(made: int8.Int8, path: Path, pictures: np.ndarray, twin: bool = True) -> None:
    """One partition without float islands; loads in both runtimes; computes what Keras does."""
    path.write_bytes(convert(made.quantized, "int8", "uint8"))
    found = inspection.inspect(path)  # in a process of its own, for a refusal may be a crash
    assert found["xnnpack"]["error"] is None
    assert found["xnnpack"]["partitions"] == 1
    # XNNPACK has no int8 SOFTMAX, and leaves uint8 to int8 at both ends to the built-in kernels.
    assert found["xnnpack"]["outside"] == {"QUANTIZE": 2, "SOFTMAX": 1}
    assert found["float_islands"] == 0
    assert found["quantize"] == "int8"
    assert "HARD_SWISH" not in found["ops"]
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.invoke()
    if twin:
        steps = layer_steps(path, made.quantized, pictures)
        assert len(steps) > 20
        assert parting_of(steps) is None


def check_network(
    name: str, width: float, resolution: int, path: Path, lowering: Any = "composite"
) -> None:
    spec, pictures = resolve(name, width, resolution, 10), noise(4, resolution)
    made = quantize(spec, trained(spec, pictures), lowering, False, pictures)
    check_file(made, path, pictures[:2])


# Between them they have all kinds of layers; every network is exported in test_exporter.py.
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize("name", ["small", "mnasnet_a1"])
def test_networks(name, tmp_path):
    check_network(name, 0.35, 96, tmp_path / "m.tflite")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize(
    ("name", "width", "resolution", "lowering"),
    [  # every width, every resolution and both stems
        ("v2", 0.5, 160, "composite"),
        ("small", 0.5, 256, "equalized"),
        ("mnasnet_a1", 0.75, 96, "composite"),
        ("large_minimalistic", 0.75, 256, "composite"),
        ("large", 1.0, 160, "equalized"),
        ("small_minimalistic", 1.25, 96, "composite"),
    ],
)
def test_sizes(name, width, resolution, lowering, tmp_path):
    check_network(name, width, resolution, tmp_path / "m.tflite", lowering)


def test_the_divergence_of_the_stems_is_that_of_the_networks():
    """What is compared is what would be made, before any tuning."""
    pictures = noise(8, SIDE)
    model = trained(TINY, pictures)
    _, note = int8._choose_stem(TINY, model, pictures)
    for lowering, divergence in note["divergence"].items():
        made = int8._calibrated(TINY, model, lowering, pictures)
        found = divergence_from(made.lowered, made.quantized)(pictures)
        assert found == pytest.approx(divergence, rel=1e-3)
