"""Our networks against those of tf_keras.applications and Keras 3, with the same weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_network
import tf_keras
from random_network import randomise

from mnv3_tf import create_model

SIDE = 96
CLASSES = 10


def relative_error(reference: Any, model: Any, side: int = SIDE) -> float:
    images = np.random.default_rng(1).uniform(-1, 1, (2, side, side, 3)).astype(np.float32)
    return random_network.relative_error(reference(images), model(images))


def check_files(reference: Any, name: str, alpha: float, files: list[Path], side: int) -> None:
    for path in files:
        (reference.save if path.suffix == ".keras" else reference.save_weights)(path)
        model = create_model(name, alpha, resolution=side, num_classes=CLASSES, weights=str(path))
        assert relative_error(reference, model, side) <= 1e-4, path.name


def check_v3(size: str, minimalistic: bool, alpha: float, folder: Path, side: int = SIDE) -> None:
    build = getattr(tf_keras.applications, f"MobileNetV3{size.capitalize()}")
    tf_keras.utils.set_random_seed(0)
    reference = randomise(
        build(
            (side, side, 3),
            alpha=alpha,
            minimalistic=minimalistic,
            weights=None,
            classes=CLASSES,
            classifier_activation=None,
            include_preprocessing=False,
        )
    )
    name = size + "_minimalistic" * minimalistic
    check_files(reference, name, alpha, [folder / "a.h5", folder / "a.weights.h5"], side)


@pytest.mark.parametrize(
    ("size", "minimalistic", "alpha"),
    [
        ("small", False, 1.0),
        ("small", True, 0.75),
        ("large", False, 0.75),
    ],
)
def test_v3(size: str, minimalistic: bool, alpha: float, tmp_path: Path) -> None:
    check_v3(size, minimalistic, alpha, tmp_path)


GRID = [  # every size of either kind, every width and every side with each
    ("small", False, 0.35, 96),
    ("small", False, 0.75, 224),
    ("small", True, 0.5, 224),
    ("small", True, 1.25, 96),
    ("large", False, 0.5, 96),
    ("large", False, 1.0, 224),
    ("large", False, 1.25, 96),
    ("large", True, 0.35, 224),
    ("large", True, 1.0, 96),
]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "minimalistic", "alpha", "side"), GRID)
def test_v3_grid(size: str, minimalistic: bool, alpha: float, side: int, tmp_path: Path) -> None:
    """Beyond 0.75 and 1.0, Keras' stem stays at 16 and its hidden layer grows with alpha."""
    check_v3(size, minimalistic, alpha, tmp_path, side)


@pytest.mark.parametrize("alpha", [0.35, pytest.param(1.0, marks=pytest.mark.slow)])
def test_v2(alpha: float, tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(0)
    reference = randomise(
        tf_keras.applications.MobileNetV2(
            (SIDE, SIDE, 3),
            alpha=alpha,
            weights=None,
            classes=CLASSES,
            classifier_activation=None,
        )
    )
    check_files(reference, "v2", alpha, [tmp_path / "a.h5", tmp_path / "a.weights.h5"], SIDE)


def test_v3_without_its_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    headless = tf_keras.applications.MobileNetV3Small(
        (SIDE, SIDE, 3), weights=None, include_top=False, include_preprocessing=False
    )
    headless.save_weights(tmp_path / "no_top.h5")
    model = create_model("small", resolution=SIDE, weights=str(tmp_path / "no_top.h5"))
    assert "conv_2 and logits not in the file, so fresh" in capsys.readouterr().err
    features = tf_keras.Model(model.input, model.get_layer("conv_1_hard_swish").output)
    assert relative_error(headless, features) <= 1e-4


@pytest.fixture(scope="module")
def keras_3_model() -> Any:
    keras = pytest.importorskip("keras", minversion="3.0")
    keras.utils.set_random_seed(0)
    return randomise(
        keras.applications.MobileNetV3Small(
            (SIDE, SIDE, 3),
            alpha=0.75,
            weights=None,
            classes=CLASSES,
            classifier_activation=None,
            include_preprocessing=False,
        )
    )


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_keras_3(suffix: str, keras_3_model: Any, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    (keras_3_model.save_weights if suffix == ".weights.h5" else keras_3_model.save)(path)
    model = create_model("small", 0.75, resolution=SIDE, num_classes=CLASSES, weights=str(path))
    assert relative_error(keras_3_model, model) <= 1e-4
