"""Exported files run as ARM code, and answer as they do here."""

from pathlib import Path

import arm_machine
import numpy as np
import pytest

from benchmark.settled import noise_pictures, settled_classifier
from mnv3_tf.export.exporter import ExportOptions, export
from mnv3_tf.export.runtime import TFLiteModel
from mnv3_tf.networks import resolve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> arm_machine.ArmMachine:
    return arm_machine.make(tmp_path_factory.mktemp("arm"))


@pytest.fixture(scope="module", params=["small", "large_minimalistic"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with none.tflite and int8.tflite of a network."""
    folder = tmp_path_factory.mktemp(request.param)
    spec = resolve(request.param, resolution=96)
    pictures = noise_pictures(spec.resolution)
    model = settled_classifier(spec, pictures)
    for quantize in ("none", "int8"):
        path = folder / f"{quantize}.tflite"
        export(spec, model, ExportOptions(quantize, output="logits"), path, calibration=pictures)
    return folder


def answers(arm, path: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of the same picture: on ARM, and here."""
    model = TFLiteModel(path)
    picture = noise_pictures(model.input.shape[1], count=1, seed=1)
    there = arm.predict(path, model.input.quantize(picture), folder)
    return model.output.dequantize(there), model.predict(picture)


def test_int8_answers_bit_for_bit(arm, files, tmp_path) -> None:
    there, here = answers(arm, files / "int8.tflite", tmp_path)
    assert np.ptp(here) > 0
    np.testing.assert_array_equal(there, here)


def test_float_answers_within_rounding(arm, files, tmp_path) -> None:
    there, here = answers(arm, files / "none.tflite", tmp_path)
    np.testing.assert_allclose(there, here, atol=1e-4 * np.abs(here).max())
