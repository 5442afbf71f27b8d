"""Our networks against those of tf_keras.applications and Keras 3, with the same weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from random_network import randomise, relative_error

from mnv3_tf import create_model

SIDE = 64
CLASSES = 10


def pictures(side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (2, side, side, 3)).astype(np.float32)


def check_files(reference: Any, name: str, alpha: float, files: list[Path], side: int) -> None:
    expected = reference(pictures(side))
    for path in files:
        (reference.save if path.suffix == ".keras" else reference.save_weights)(path)
        model = create_model(name, alpha, resolution=side, num_classes=CLASSES, weights=str(path))
        assert relative_error(expected, model(pictures(side))) <= 1e-4, path.name


def check_v3(
    size: str, minimalistic: bool, alpha: float, files: list[Path], side: int = SIDE
) -> None:
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
    check_files(reference, name, alpha, files, side)


LEGACY, WEIGHTS = "a.h5", "a.weights.h5"


@pytest.mark.parametrize(
    ("size", "minimalistic", "alpha", "files"),
    [
        ("small", False, 0.35, [LEGACY]),
        ("large", True, 0.5, [WEIGHTS]),
    ],
)
def test_v3(size: str, minimalistic: bool, alpha: float, files: list[str], tmp_path: Path) -> None:
    """Beyond 0.75 and 1.0, Keras' stem stays at 16 and its hidden layer grows with alpha."""
    check_v3(size, minimalistic, alpha, [tmp_path / name for name in files])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "minimalistic", "alpha"),
    [("small", False, 1.25), ("large", False, 1.0), ("large", True, 0.75)],
)
def test_v3_of_other_widths(size: str, minimalistic: bool, alpha: float, tmp_path: Path) -> None:
    check_v3(size, minimalistic, alpha, [tmp_path / LEGACY], 224)


def test_v2(tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(0)
    reference = randomise(
        tf_keras.applications.MobileNetV2(
            (SIDE, SIDE, 3),
            alpha=0.35,
            weights=None,
            classes=CLASSES,
            classifier_activation=None,
        )
    )
    check_files(reference, "v2", 0.35, [tmp_path / WEIGHTS], SIDE)


def test_v3_without_its_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    headless = tf_keras.applications.MobileNetV3Small(
        (SIDE, SIDE, 3), 0.35, weights=None, include_top=False, include_preprocessing=False
    )
    headless.save_weights(tmp_path / "no_top.h5")
    model = create_model("small", 0.35, resolution=SIDE, weights=str(tmp_path / "no_top.h5"))
    assert "conv_2 and logits not in the file, so fresh" in capsys.readouterr().err
    features = tf_keras.Model(model.input, model.get_layer("conv_1_hard_swish").output)
    assert relative_error(headless(pictures()), features(pictures())) <= 1e-4


@pytest.fixture(scope="module")
def keras_3_model() -> Any:
    keras = pytest.importorskip("keras", minversion="3.0")
    keras.utils.set_random_seed(0)
    return randomise(
        keras.applications.MobileNetV3Small(
            (SIDE, SIDE, 3),
            alpha=0.35,
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
    model = create_model("small", 0.35, resolution=SIDE, num_classes=CLASSES, weights=str(path))
    assert relative_error(keras_3_model(pictures()), model(pictures())) <= 1e-4
