"""Detectors and segmentation networks: what is built is what is counted, and lowering is exact."""

import numpy as np
import pytest
from random_network import randomise, relative_error, settle

from mnv3_tf.cost import cost
from mnv3_tf.export.lowering import lowered_model
from mnv3_tf.models import build
from mnv3_tf.tasks import Head, for_phones, resolve_spec

CASES = {
    "detector": ("detect", 96, Head()),
    "detector, whole tail": ("detect", 96, Head("full")),
    "lraspp": ("segment", (97, 128), Head()),
    "lraspp, stride 32": ("segment", (97, 128), Head(output_stride=32)),
    "raspp": ("segment", (96, 64), Head(head="raspp", head_filters=16)),
}


def pictures(spec, count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (count, *spec.image_size, 3)).astype(np.float32)


def spec_of(case: str, model: str = "small"):
    task, resolution, head = CASES[case]
    return resolve_spec(task, model, 0.35, resolution, 4, head)


@pytest.mark.parametrize("case", CASES)
def test_trainable_parameters_are_those_counted(case):
    spec = spec_of(case)
    model = build(spec)
    count = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert count == cost(spec).params
    if spec.task == "detect":
        anchors = len(spec.anchors())
        assert [part.shape[1:] for part in model.outputs] == [(anchors, 4), (anchors, 5)]
    else:
        assert model.output_shape == (None, *spec.image_size, 4)


@pytest.mark.parametrize("lowering", ["fused", "composite", "equalized"])
@pytest.mark.parametrize("case", CASES)
def test_lowering_keeps_the_answers(case, lowering):
    spec = spec_of(case)
    images = pictures(spec)
    trained = settle(randomise(build(spec)), images)
    lowered = lowered_model(spec, trained, lowering)
    ours, theirs = trained(images, training=False), lowered(images, training=False)
    if spec.task == "segment":
        ours, theirs = [ours], [theirs]
    for expected, found in zip(ours, theirs, strict=True):
        assert np.std(expected) > 0.01
        assert relative_error(expected, found) < 1e-4
    assert not any("_bn" in layer.name for layer in lowered.layers)


def test_large_windows_are_averaged_alike_by_cutting_and_by_pooling():
    spec = resolve_spec("segment", "small", 0.35, (800, 1120), 3)
    images = pictures(spec, 1)
    trained = settle(randomise(build(spec)), images)
    lowered = lowered_model(spec, trained, "composite")
    found = relative_error(trained(images, training=False), lowered(images, training=False))
    assert found < 1e-4
    kinds = {type(layer).__name__ for layer in lowered.layers}
    assert "AveragePooling2D" not in kinds
    assert "AveragePooling2D" in {type(layer).__name__ for layer in trained.layers}


def test_the_order_of_stretching_and_classifying_does_not_matter():
    spec = spec_of("lraspp")
    images = pictures(spec, 2)
    first = settle(randomise(build(spec)), images)
    other = build(for_phones(spec))
    other.set_weights(
        [
            dict(zip([w.name for w in first.weights], first.get_weights(), strict=True))[w.name]
            for w in other.weights
        ]
    )
    assert relative_error(first(images, training=False), other(images, training=False)) < 1e-4


def test_a_fresh_detector_thinks_objects_rare():
    spec = spec_of("detector")
    _, logits = build(spec)(pictures(spec, 2), training=False)
    assert np.mean(1 / (1 + np.exp(-np.asarray(logits)))) == pytest.approx(0.01, rel=0.5)
