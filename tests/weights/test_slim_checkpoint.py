"""TF-slim checkpoints, written here as tensorflow/models wrote them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf import create_model, weights
from mnv3_tf.errors import UserError

SCOPE = "MobilenetV3/"


def slim_name(layer: str, variable: str) -> str:
    scope = re.sub(r"^(expanded_conv(?:_\d+)?)_(?=[a-z])", r"\1/", layer.removesuffix("_bn"))
    scope = scope.replace("squeeze_excite_conv", "squeeze_excite/Conv")
    if "/" not in scope:
        scope = "Logits/Conv2d_1c_1x1" if scope == "logits" else scope.capitalize()
    if layer.endswith("_bn"):
        return f"{SCOPE}{scope}/BatchNorm/{variable}"
    kernel = "depthwise_weights" if scope.endswith("depthwise") else "weights"
    return f"{SCOPE}{scope}/" + {"kernel": kernel, "bias": "biases"}[variable]


def write(prefix: Path, tensors: dict[str, np.ndarray]) -> None:
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tensors[name] for name in names],
    )


@pytest.fixture(scope="module")
def trained(random_model: Callable[..., Any]) -> Any:
    return random_model("small", width=0.75, resolution=64)


@pytest.fixture(scope="module")
def tensors(trained: Any) -> dict[str, np.ndarray]:
    """The network's variables by slim's names, with slim's background class."""
    found = {}
    for layer, variables in weights.collect(trained).items():
        for variable, value in variables.items():
            if layer == "logits":
                background = np.full((*value.shape[:-1], 1), 9, np.float32)
                value = np.concatenate([background, value], -1)
            found[slim_name(layer, variable)] = value
    assert found[f"{SCOPE}Logits/Conv2d_1c_1x1/biases"].shape == (1001,)
    assert f"{SCOPE}expanded_conv_3/squeeze_excite/Conv_1/weights" in found
    return found


@pytest.fixture(scope="module")
def ema(tensors: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Averages under plain names, and the step."""
    prefix = tmp_path_factory.mktemp("v3-small_224_0.75_float") / "ema" / "model-497500"
    write(prefix, tensors | {"global_step": np.int64(497500)})
    return prefix


def logits(path: Path, images: np.ndarray) -> np.ndarray:
    model = create_model("small", width=0.75, resolution=64, weights=str(path))
    return model(images).numpy()


@pytest.mark.parametrize("which", ["prefix", "index", "data", "folder"])
def test_same_logits(which: str, ema: Path, trained: Any, images: np.ndarray) -> None:
    path = {
        "prefix": ema,
        "index": ema.with_name(f"{ema.name}.index"),
        "data": ema.with_name(f"{ema.name}.data-00000-of-00001"),
        "folder": ema.parent,
    }[which]
    np.testing.assert_array_equal(logits(path, images), trained(images))


def test_averages_are_preferred_where_raw_variables_are_stored_too(
    tensors: dict[str, np.ndarray],
    trained: Any,
    images: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stored: dict[str, np.ndarray] = {"global_step": np.int64(7)}
    for name, value in tensors.items():
        stored[name] = value + 1
        stored[f"{name}/ExponentialMovingAverage"] = value
        stored[f"{name}/RMSProp"] = stored[f"{name}/Momentum"] = np.zeros_like(value)
    write(tmp_path / "pristine" / "model.ckpt-7", stored)
    np.testing.assert_array_equal(logits(tmp_path / "pristine", images), trained(images))
    assert "moving averages" in capsys.readouterr().err


def test_the_checkpoint_file_of_a_folder_decides(
    tensors: dict[str, np.ndarray], trained: Any, images: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path / "model-1", {name: value + 1 for name, value in tensors.items()})
    write(tmp_path / "model-2", tensors)
    with pytest.raises(UserError, match="several checkpoints"):
        logits(tmp_path, images)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/model-2"\n')
    np.testing.assert_array_equal(logits(tmp_path, images), trained(images))


def test_another_architecture_is_refused(ema: Path) -> None:
    with pytest.raises(UserError, match="TF-slim weights of another architecture"):
        create_model("large", width=0.75, weights=str(ema))


def test_checkpoint_cut_short_is_refused(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    write(tmp_path / "model-1", tensors)
    data = tmp_path / "model-1.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with pytest.raises(UserError, match="damaged or cut short"):
        create_model("small", width=0.75, weights=str(tmp_path / "model-1"))
