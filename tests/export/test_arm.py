"""Exported files run as ARM code, and answer as they do here."""

import dataclasses
from typing import Any

import arm_machine
import making
import numpy as np
import pytest
import tiny

pytestmark = pytest.mark.slow

PLAIN = {"kernel": 3, "squeeze": 0.0, "activation": "relu"}
NETWORKS = {
    "v3": tiny.CLASSIFIER,
    "minimalistic": tiny.CLASSIFIER.replace(
        name="minimalistic",
        blocks=tuple(dataclasses.replace(block, **PLAIN) for block in tiny.CLASSIFIER.blocks),
        stem=dataclasses.replace(tiny.CLASSIFIER.stem, activation="relu"),
        last_activation="relu",
    ),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """By network and precision: the same picture's answers on ARM, and here."""
    arm_machine.emulator()  # which may be missing
    from mnv3_tf.export.exporter import export
    from mnv3_tf.export.settings import ExportOptions
    from mnv3_tf.models.random_networks import noise_pictures, settled_classifier
    from mnv3_tf.tflite.runtime import TFLiteModel

    folder = tmp_path_factory.mktemp("files")
    models = {}
    for name, spec in NETWORKS.items():
        pictures = noise_pictures(spec.resolution, count=16)
        network = settled_classifier(spec, pictures)
        for quantize in ("none", "int8"):
            path = folder / f"{name}_{quantize}.tflite"
            options = ExportOptions(quantize, output="logits")
            with making.quick_timing():
                export(spec, network, options, path, calibration=pictures)
            models[name, quantize] = TFLiteModel(path)
    picture = noise_pictures(32, count=1, seed=1)
    given = {model.path: model.input.quantize(picture) for model in models.values()}
    return {
        key: (model.output.dequantize(there), model.predict(picture))
        for (key, model), there in zip(
            models.items(), arm_machine.predict(given, folder), strict=True
        )
    }


@pytest.mark.parametrize("network", NETWORKS)
def test_int8_answers_bit_for_bit(answers, network) -> None:
    there, here = answers[network, "int8"]
    assert np.ptp(here) > 0
    np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("network", NETWORKS)
def test_float_answers_within_rounding(answers, network) -> None:
    there, here = answers[network, "none"]
    np.testing.assert_allclose(there, here, atol=1e-4 * np.abs(here).max())
