"""weights="imagenet" without a network: what is asked of get_file, and what users are told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from random_layers import check_same, random_layers
from refusals import refused
from tf_keras.src.applications import mobilenet_v3 as published

from mnv3_tf import create_model, weights
from mnv3_tf.networks.named import resolve

NAME = "weights_mobilenet_v3_small_224_1.0_float.h5"


def test_the_public_file_is_fetched_with_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And read whatever it is: the content decides how."""
    layers = random_layers(resolve("small"))
    path = tmp_path / "fetched.npz"
    np.savez(path, **{f"{k}/{name}": v for k, found in layers.items() for name, v in found.items()})
    asked = {}

    def get_file(name: str, origin: str, **options: Any) -> str:
        asked.update(name=name, origin=origin, **options)
        return str(path)

    monkeypatch.setattr(tf_keras.utils, "get_file", get_file)
    spec = resolve("small", resolution=64)
    found = weights.read("imagenet", spec)
    assert asked["name"] == NAME
    assert asked["origin"].startswith("https://")
    assert asked["origin"].endswith(NAME)
    assert asked["cache_subdir"] == "models"
    assert asked["file_hash"] == "8768d4c2e7dee89b9d02b2d03d65d862"
    assert (found.spec, found.source) == (spec, "imagenet")
    check_same(found.layers, layers)


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
    with refused("Cannot download the ImageNet weights (no network)"):
        create_model(model, width, num_classes=5, weights="imagenet")
    assert asked == [f"weights_mobilenet_v3_{key}_float.h5"]


@pytest.mark.parametrize(("model", "width"), [("small", 0.5), ("v2", 1.0)])
def test_other_networks_have_none(model: str, width: float) -> None:
    with refused(resolve(model, width).name, "exist for", "large 0.75", "small_minimalistic 1.0"):
        create_model(model, width, weights="imagenet")


def test_without_a_network_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(published, "BASE_WEIGHT_PATH", "http://127.0.0.1:9/")  # refuses at once
    place = tmp_path / ".keras" / "models" / NAME
    with refused(f"http://127.0.0.1:9/{NAME}", place, "pass a weights file") as caught:
        create_model("small", weights="imagenet")
    assert "URL fetch failure" not in str(caught.value)


def test_a_download_with_another_checksum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME).write_bytes(b"something else")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(published, "BASE_WEIGHT_PATH", f"file://{tmp_path}/")
    with refused("Cannot download"):
        create_model("small", weights="imagenet")
