"""TF-slim checkpoints, written here as tensorflow/models wrote them."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny
from random_layers import check_same, random_layers
from refusals import refused

from mnv3_tf import weights
from mnv3_tf.weights.layer_arrays import LayerArrays

SCOPE = "MobilenetV3/"
SPEC = tiny.CLASSIFIER.replace(num_classes=1000)
LAYERS = random_layers(SPEC)


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
def tensors() -> dict[str, np.ndarray]:
    """`LAYERS` by slim's names, with slim's background class."""
    found = {}
    for layer, variables in LAYERS.items():
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


def read(path: Path) -> LayerArrays:
    found = weights.read(str(path), SPEC)
    assert (found.spec, found.source) == (SPEC, "slim")
    return found.layers


@pytest.mark.parametrize("which", ["prefix", "index", "data", "folder"])
def test_same_weights(which: str, ema: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = {
        "prefix": ema,
        "index": ema.with_name(f"{ema.name}.index"),
        "data": ema.with_name(f"{ema.name}.data-00000-of-00001"),
        "folder": ema.parent,
    }[which]
    check_same(read(path), LAYERS)
    assert capsys.readouterr().err == ""


def test_averages_are_preferred_where_raw_variables_are_stored_too(
    tensors: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored: dict[str, np.ndarray] = {"global_step": np.int64(7)}
    for name, value in tensors.items():
        stored[name] = value + 1
        stored[f"{name}/ExponentialMovingAverage"] = value
        stored[f"{name}/RMSProp"] = stored[f"{name}/Momentum"] = np.zeros_like(value)
    write(tmp_path / "pristine" / "model.ckpt-7", stored)
    check_same(read(tmp_path / "pristine"), LAYERS)
    assert "moving averages" in capsys.readouterr().err


def test_the_checkpoint_file_of_a_folder_decides(
    tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write(tmp_path / "model-1", {name: value + 1 for name, value in tensors.items()})
    write(tmp_path / "model-2", tensors)
    with refused(tmp_path, "several checkpoints (model-1, model-2)"):
        read(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/model-2"\n')
    check_same(read(tmp_path), LAYERS)


def test_another_architecture_is_refused(ema: Path) -> None:
    with refused(ema, "TF-slim weights of another architecture"):
        weights.read(str(ema), SPEC.with_width(2))


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model-1", {"resnet/conv1/weights": np.zeros(3, np.float32)})
    with refused("holds no MobileNet under names that are known (it holds resnet/conv1/weights)"):
        read(tmp_path)


def test_checkpoint_cut_short_is_refused(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    write(tmp_path / "model-1", tensors)
    data = tmp_path / "model-1.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with refused("damaged or cut short"):
        read(tmp_path / "model-1")
