"""From a trained network to int8: the choices on the way, and what comes of odd input.

Most tests replace what takes time: a network is then the name of its lowering.
"""

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
import tiny
from random_network import noise, randomise, relative_error, settle
from refusals import refused as refuses

from mnv3_tf.export.convert import convert
from mnv3_tf.export.parity import layer_steps, parting_of
from mnv3_tf.models import build
from mnv3_tf.quantization import aware_training, pipeline, post_training
from mnv3_tf.quantization.distillation import features_of
from mnv3_tf.quantization.distributions import Boxes, Classes
from mnv3_tf.quantization.pipeline import (
    FEWEST_PICTURES,
    TRIAL_IMAGES,
    Training,
    find_warnings,
    quantize,
)
from mnv3_tf.quantization.scheme import variables_of
from mnv3_tf.tflite import inspection

SPEC = tiny.SHALLOW
SIDE = SPEC.resolution
SMALLEST = SPEC.replace(blocks=SPEC.blocks[1:], last_conv=0, hidden=0)
BLOCK = "expanded_conv_1"
"""The one with h-swish and an expansion."""


def trained(pictures: np.ndarray, spec: Any = SPEC, seed: int = 0) -> tf_keras.Model:
    return settle(randomise(build(spec), seed), pictures)


def batches(start: int) -> Iterator[np.ndarray]:
    return (noise(8, SIDE, seed=100 + step) for step in count(start))


@pytest.fixture(scope="module")
def lively() -> tf_keras.Model:
    return trained(noise(16, SIDE))


# -- the choices -----------------------------------------------------------------------------

ORDINARY = {"input": (-1.0, 1.0), "a": (0.0, 40.0)}


class Workbench:
    """What `quantize` did, and with what."""

    def __init__(self, patch: Any) -> None:
        self.divergence = {"composite": 0.2, "equalized": 0.1}
        self.calibrated: list[tuple[str, int]] = []
        self.compared: list[str] = []
        self.rounded: list[str] = []
        self.answers: set[type] = set()
        self.tuned: tuple[Any, ...] = ()
        self.jobs: list[tuple[Any, ...]] = []
        self.distilled: tuple[Any, ...] = ()
        for name, value in {
            "lowered_model": lambda spec, network, lowering: lowering,
            "channel_gains": lambda *_: {},
            "calibrate": self._calibrate,
            "fake_quantized": lambda lowered, ranges: f"int8 {lowered}",
            "divergence_from": self._divergence_from,
            "round_biases": self.rounded.append,
            "Distiller": self._distil,
        }.items():
            patch.setattr(pipeline, name, value)
        patch.setattr(post_training, "tune", self._tune)
        patch.setattr(aware_training, "train", lambda *job: self.jobs.append(job))

    def _calibrate(self, lowered: str, pictures: np.ndarray, answer: Any) -> dict[str, Any]:
        self.calibrated.append((lowered, len(pictures)))
        self.answers.add(type(answer))
        return ORDINARY

    def _divergence_from(self, lowered: str, quantized: str, answer: Any) -> Any:
        assert quantized == f"int8 {lowered}"
        self.answers.add(type(answer))

        def divergence(pictures: np.ndarray) -> float:
            self.compared.append(lowered)
            assert len(pictures) <= TRIAL_IMAGES
            return self.divergence[lowered]

        return divergence

    def _tune(self, *arguments: Any, answer: Any) -> Any:
        self.tuned = arguments
        self.answers.add(type(answer))
        return post_training.Divergence(0.5, 0.25)

    def _distil(self, *arguments: Any) -> str:
        self.distilled = arguments
        return "distiller"


@pytest.fixture
def bench(monkeypatch) -> Workbench:
    return Workbench(monkeypatch)


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
def test_a_gate_for_the_stem_must_be_worth_its_time(composite, equalized, chosen, bench, lively):
    bench.divergence = {"composite": composite, "equalized": equalized}
    made = quantize(SPEC, lively, "composite", True, noise(40, 8))
    assert made.lowering == made.lowered == made.notes["stem"]["chosen"] == chosen
    assert made.notes["stem"]["divergence"] == pytest.approx(bench.divergence, nan_ok=True)
    assert bench.compared == ["composite", "equalized"]
    # A few pictures decide, and all of them choose the ranges.
    assert bench.calibrated == [("composite", 32), ("equalized", 32), (chosen, 40)]
    assert bench.rounded == [made.quantized] == [f"int8 {chosen}"]


def test_what_was_tried_on_all_pictures_is_not_made_again(bench, lively):
    quantize(SPEC, lively, "composite", True, noise(TRIAL_IMAGES, 8))
    assert bench.calibrated == [("composite", TRIAL_IMAGES), ("equalized", TRIAL_IMAGES)]
    assert TRIAL_IMAGES == 32


@pytest.mark.parametrize(
    ("stem", "lowering", "may"),
    [
        ("hard_swish", "composite", False),
        ("hard_swish", "fused", True),
        ("hard_swish", "equalized", True),
        ("relu6", "composite", True),
    ],
)
def test_where_there_is_nothing_to_choose(stem, lowering, may, bench, lively):
    spec = SPEC.with_stem(16, stem)
    made = quantize(spec, lively, lowering, may, noise(4, 8))
    assert "stem" not in made.notes
    assert made.lowering == lowering
    assert bench.calibrated == [(lowering, 4)]
    assert not bench.compared


@pytest.mark.parametrize(
    ("spec", "answer"),
    [(tiny.SHALLOW, Classes), (tiny.DETECTOR, Boxes), (tiny.SEGMENTER, Classes)],
)
def test_biases_are_tuned_for_what_the_task_answers(spec, answer, bench):
    pictures = noise(FEWEST_PICTURES, 8)
    made = quantize(spec, randomise(build(spec)), "composite", True, pictures)
    assert bench.answers == {answer}
    *networks, tuned_on, features, steps = bench.tuned
    assert features == features_of(spec)
    assert networks == [made.quantized, made.lowered, ORDINARY]
    assert tuned_on is pictures
    assert steps == post_training.STEPS  # of a network as small as this
    assert made.notes["bias_correction"] == {"before": 0.5, "after": 0.25}
    assert made.notes["warnings"] == []
    assert made.notes["simplified"]["squeeze_excite_removed"] == []
    assert not {"qat_steps"} & set(made.notes)
    assert json.loads(json.dumps(made.notes)) == made.notes


def test_training_goes_in_the_place_of_tuning(bench, lively):
    training = Training(batches, "photos", 7, Path("m.qat"))
    made = quantize(SPEC, lively, "composite", False, noise(4, 8), training)
    assert made.notes["qat_steps"] == 7
    assert "bias_correction" not in made.notes
    assert bench.tuned == ()
    assert bench.distilled[:6] == (
        made.quantized,
        made.lowered,
        ORDINARY,
        aware_training.RATES,
        7,
        features_of(SPEC),
    )
    assert isinstance(bench.distilled[6], Classes)
    assert bench.rounded == [made.quantized]
    (job,) = bench.jobs
    assert job[:4] == ("distiller", batches, 7, Path("m.qat"))
    assert job[4] | {"weights": "", "calibration": ""} == {
        "spec": SPEC.hash,
        "weights": "",
        "calibration": "",
        "pictures": "photos",
        "lowering": "composite",
        "steps": 7,
    }


def test_checkpoints_are_of_these_weights_and_pictures_alone(bench, lively):
    """Another job begins anew."""
    training, pictures = Training(batches, steps=7), noise(4, 8)
    other, others = randomise(build(SPEC), seed=1), noise(4, 8, seed=2)
    for network, shown in ((lively, pictures), (other, pictures), (lively, others)):
        quantize(SPEC, network, "composite", False, shown, training)
    first, *changed = (job[4] for job in bench.jobs)
    for job, what in zip(changed, ("weights", "calibration"), strict=True):
        assert {key for key in job if job[key] != first[key]} == {what}


# -- what is done ----------------------------------------------------------------------------


def check_file(made: pipeline.Int8, path: Path, twin: bool = True) -> None:
    """One partition without float islands; every layer computes what its twin does."""
    path.write_bytes(convert(made.quantized, "int8", "uint8"))
    found = inspection.inspect(path)  # in a process of its own, for a refusal may be a crash
    assert found["xnnpack"]["error"] is None
    assert found["xnnpack"]["partitions"] == 1
    assert found["xnnpack"]["outside"] == {"QUANTIZE": 2, "SOFTMAX": 1}
    assert found["float_islands"] == 0
    if twin:
        steps = layer_steps(path, made.quantized, noise(2, SIDE))
        assert len(steps) > 10
        assert parting_of(steps) is None


def test_a_stem_of_unequal_channels_gets_a_gate_of_its_own():
    """As the released Small's: a hundredfold, and what reads them makes all of them count."""
    pictures = noise(16, SIDE)
    model = randomise(build(SPEC))
    norm = model.get_layer("conv_bn")
    size = np.geomspace(0.02, 2, SPEC.stem.filters)
    norm.gamma.assign(size)
    norm.beta.assign(0.3 * size)
    settle(model, pictures)
    made = quantize(SPEC, model, "composite", True, pictures)
    tried = made.notes["stem"]["divergence"]
    assert made.lowering == made.notes["stem"]["chosen"] == "equalized"
    assert tried["equalized"] < 0.75 * tried["composite"]
    assert "conv_gate" in {layer.name for layer in made.lowered.layers}
    assert {"conv_gate_relu6", "conv"} <= set(made.ranges)
    assert relative_error(model(pictures), made.lowered(pictures)) <= 1e-4


@pytest.fixture
def quick_tuning(monkeypatch):
    monkeypatch.setattr(post_training, "steps_for", lambda madds: 5)


def test_a_dead_branch_is_gone_before_anything_is_quantised(quick_tuning):
    """And biases are tuned, where there are pictures enough."""
    pictures = noise(FEWEST_PICTURES, SIDE)
    model = trained(pictures)
    gates = model.get_layer(f"{BLOCK}_squeeze_excite_conv_1")
    gates.set_weights([np.zeros_like(w) if w.ndim == 4 else w for w in gates.get_weights()])
    before = model.get_weights()
    made = quantize(SPEC, model, "composite", False, pictures)
    assert made.notes["simplified"]["squeeze_excite_removed"] == [BLOCK]
    for network in (made.lowered, made.quantized):
        names = {layer.name.removeprefix("quant_") for layer in network.layers}
        assert not any(name.startswith(f"{BLOCK}_squeeze") for name in names)
        assert "expanded_conv_squeeze_excite_conv" in names
    assert not any(name.startswith(f"{BLOCK}_squeeze") for name in made.ranges)
    assert relative_error(model(pictures), made.lowered(pictures)) <= 1e-4
    tuned = made.notes["bias_correction"]
    assert 0 <= tuned["after"] <= tuned["before"]
    for weight, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_quantisation_aware_training(tmp_path):
    pictures, folder = noise(8, SIDE), tmp_path / "m.qat"
    model = trained(pictures, SMALLEST)
    before = [weight.copy() for weight in model.get_weights()]
    training = Training(batches, steps=3, checkpoints=folder)
    made = quantize(SMALLEST, model, "composite", False, pictures, training)
    name = "expanded_conv_project"
    kernel = made.lowered.get_layer(name).get_weights()[0]
    taught = variables_of(made.quantized.get_layer(f"quant_{name}"))
    assert 0 < np.abs(taught["kernel"].numpy() - kernel).max() < 0.01 * np.abs(kernel).max()
    assert float(taught["output_high"]) != pytest.approx(made.ranges[name][1], rel=1e-6)
    for weight, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)
    assert json.loads((folder / "job.json").read_text())["steps"] == 3
    check_file(made, tmp_path / "m.tflite")


# -- pictures and weights that leave something to wish ---------------------------------------


@pytest.mark.parametrize(
    ("shape", "may_equalize_stem"), [((0,), True), ((0, SIDE, SIDE, 3), False)]
)
def test_without_pictures(lively, shape, may_equalize_stem):
    with refuses("Calibration needs pictures, but there are none; give --calibration"):
        quantize(SPEC, lively, "composite", may_equalize_stem, np.empty(shape, np.float32))


@pytest.mark.parametrize("pictures", ["one", "all of one grey"])
def test_few_or_dull_pictures_are_worked_with(pictures, quick_tuning, tmp_path):
    grey = pictures != "one"
    shown = np.zeros((FEWEST_PICTURES, SIDE, SIDE, 3), np.float32) if grey else noise(1, SIDE)
    made = quantize(SMALLEST, trained(noise(8, SIDE), SMALLEST), "composite", False, shown)
    (warning,) = made.notes["warnings"]
    assert ("pictures are all alike" if grey else "Calibrated on 1 picture:") in warning
    assert np.isfinite(made.quantized(noise(4, SIDE)).numpy()).all()
    check_file(made, tmp_path / "m.tflite", twin=not grey)


def test_ranges_that_explode_are_worked_with_and_named(lively, tmp_path):
    pictures = noise(8, SIDE)
    model = tf_keras.models.clone_model(lively)
    model.set_weights(lively.get_weights())
    norm = model.get_layer("expanded_conv_project_bn")
    norm.gamma.assign(norm.gamma * 1e4)
    made = quantize(SPEC, model, "composite", False, pictures)
    warning = made.notes["warnings"][-1]
    name, (low, high) = max(made.ranges.items(), key=lambda item: item[1][1] - item[1][0])
    assert f"Layer {name} ranges from {low:.4g} to {high:.4g}" in warning
    assert f"int8 step of {(high - low) / 255:.4g}" in warning
    # XNNPACK may leave an ADD or MUL of such unlike scales, but it does load.
    (tmp_path / "m.tflite").write_bytes(convert(made.quantized, "int8", "uint8"))
    assert inspection.inspect(tmp_path / "m.tflite")["xnnpack"]["error"] is None


@pytest.mark.parametrize(
    ("layer", "value", "sentence"),
    [
        ("expanded_conv_project", np.nan, "weights of layer expanded_conv_project are not finite"),
        ("expanded_conv_project_bn", 2e38, "output of layer expanded_conv_project is not finite"),
    ],
)
def test_damage_is_traced_to_its_layer(layer, value, sentence):
    model = randomise(build(SPEC))
    first, *others = model.get_layer(layer).get_weights()
    model.get_layer(layer).set_weights([np.full_like(first, value), *others])
    with refuses(sentence):
        quantize(SPEC, model, "composite", True, noise(4, SIDE))


@pytest.mark.parametrize(
    ("pictures", "ranges", "sentences"),
    [
        (noise(FEWEST_PICTURES, 8), {}, []),
        (
            noise(FEWEST_PICTURES - 1, 8),
            {},
            [f"Calibrated on {FEWEST_PICTURES - 1} pictures:"],
        ),
        (noise(1, 8), {}, [f"Calibrated on 1 picture: .* give at least {FEWEST_PICTURES}"]),
        (
            np.ones((FEWEST_PICTURES, 8, 8, 3)),
            {},
            [r"all alike \(their pixels differ by 0.0000 of 2"],
        ),
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
            ["1 picture:", r"Layer b ranges from 0 to 1e\+09"],
        ),
    ],
)
def test_warnings(pictures, ranges, sentences):
    found = find_warnings(pictures.astype(np.float32), ORDINARY | ranges)
    assert len(found) == len(sentences)
    for sentence, wanted in zip(found, sentences, strict=True):
        assert re.search(wanted, sentence)
        assert sentence.endswith(".")
        assert "\n" not in sentence
