"""A tiny classifier lowered, calibrated and quantised, for tests that leave it as it is."""

import numpy as np
import pytest
import tf_keras
import tiny
from random_network import noise, randomise, settle

from mnv3_tf.models import build
from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.lowering import lowered_model
from mnv3_tf.quantization.scheme import Range, fake_quantized


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return noise(16, tiny.CLASSIFIER.resolution)


@pytest.fixture(scope="session")
def lowered(images: np.ndarray) -> tf_keras.Model:
    """With a gate of its own for the stem."""
    spec = tiny.CLASSIFIER.replace(blocks=tiny.CLASSIFIER.blocks[:3])
    return lowered_model(spec, settle(randomise(build(spec)), images), "equalized")


@pytest.fixture(scope="session")
def ranges(lowered: tf_keras.Model, images: np.ndarray) -> dict[str, Range]:
    return calibrate(lowered, images)


@pytest.fixture(scope="session")
def quantized(lowered: tf_keras.Model, ranges: dict[str, Range]) -> tf_keras.Model:
    return fake_quantized(lowered, ranges)
