"""weights="imagenet" without a network: what is asked of get_file, and what users are told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from tf_keras.src.applications import mobilenet_v3 as published

from mnv3_tf import create_model
from mnv3_tf.errors import UserError

NAME = "weights_mobilenet_v3_small_224_1.0_float.h5"


@pytest.fixture(scope="module")
def public_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A file as Keras publishes it, with random weights, and its network."""
    network = tf_keras.applications.MobileNetV3Small(
        (64, 64, 3), weights=None, include_preprocessing=False, classifier_activation=None
    )
    path = tmp_path_factory.mktemp("public") / NAME
    network.save_weights(path)
    return path, network


def test_the_public_file_is_fetched_with_its_checksum(
    public_file: tuple[Path, Any], images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, network = public_file
    asked = {}

    def get_file(name: str, origin: str, **options: Any) -> str:
        asked.update(name=name, origin=origin, **options)
        return str(path)

    monkeypatch.setattr(tf_keras.utils, "get_file", get_file)
    model = create_model("small", resolution=64, weights="imagenet")
    assert asked["name"] == NAME
    assert asked["origin"].startswith("https://")
    assert asked["origin"].endswith(NAME)
    assert asked["file_hash"] == "8768d4c2e7dee89b9d02b2d03d65d862"
    expected = network(images).numpy()
    assert np.abs(model(images) - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("model", "width", "key"),
    [
        ("large", 1.0, "large_224_1.0"),
        ("large", 0.75, "large_224_0.75"),
        ("small", 0.75, "small_224_0.75"),
        ("large_minimalistic", 1.0, "large_minimalistic_224_1.0"),
        ("small_minimalistic", 1.0, "small_minimalistic_224_1.0"),
    ],
)
def test_every_network_gets_its_own_file(
    model: str, width: float, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def get_file(name: str, *_: Any, **__: Any) -> str:
        asked.append(name)
        raise OSError("no network")

    monkeypatch.setattr(tf_keras.utils, "get_file", get_file)
    with pytest.raises(UserError, match="Cannot download"):
        create_model(model, width, num_classes=5, weights="imagenet")
    assert asked == [f"weights_mobilenet_v3_{key}_float.h5"]


@pytest.mark.parametrize(("model", "width"), [("small", 0.5), ("v2", 1.0)])
def test_other_networks_have_none(model: str, width: float) -> None:
    with pytest.raises(UserError, match=r"exist for .*large 0\.75.*small_minimalistic 1\.0"):
        create_model(model, width, weights="imagenet")


def test_without_a_network_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(published, "BASE_WEIGHT_PATH", "http://127.0.0.1:9/")  # refuses at once
    with pytest.raises(UserError) as error:
        create_model("small", weights="imagenet")
    message = str(error.value)
    assert f"http://127.0.0.1:9/{NAME}" in message
    assert str(tmp_path / ".keras" / "models" / NAME) in message
    assert "pass a weights file" in message
    assert "\n" not in message


def test_a_download_with_another_checksum_is_refused(
    public_file: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(published, "BASE_WEIGHT_PATH", f"file://{public_file[0].parent}/")
    with pytest.raises(UserError, match="Cannot download"):
        create_model("small", weights="imagenet")
