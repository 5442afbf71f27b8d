"""Our own files there and back, and files that cannot be used."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from mnv3_tf import create_model, weights
from mnv3_tf.errors import UserError
from mnv3_tf.models import build
from mnv3_tf.networks import resolve
from mnv3_tf.weights.names import convolutions

SMALL = {"num_classes": 5, "resolution": 64}


@pytest.fixture(scope="module")
def trained(random_model: Callable[..., Any]) -> Any:
    return random_model("small", **SMALL)


@pytest.fixture(scope="module")
def saved(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `trained` in every format that we write."""
    folder = tmp_path_factory.mktemp("saved")
    trained.save_weights(folder / "legacy.h5")
    trained.save_weights(folder / "own.weights.h5")
    trained.save(folder / "model.keras")
    return folder


@pytest.mark.parametrize("name", ["legacy.h5", "own.weights.h5", "model.keras"])
def test_own_files_give_the_same_logits(
    name: str, saved: Path, trained: Any, images: np.ndarray, tmp_path: Path
) -> None:
    disguised = tmp_path / "weights.bin"  # the content decides, not the name
    disguised.write_bytes((saved / name).read_bytes())
    model = create_model("small", weights=str(disguised), **SMALL)
    np.testing.assert_array_equal(model(images), trained(images))


def test_own_weights_keep_padding_epsilon_and_widths_of_the_spec(
    random_model: Callable[..., Any], tmp_path: Path
) -> None:
    spec = resolve("small", **SMALL).with_expansion(3, 72).with_block(4, squeeze=0.1)
    spec = spec.replace(padding="symmetric", batch_norm_epsilon=1e-5)
    build(spec).save_weights(tmp_path / "a.weights.h5")
    found = weights.read(str(tmp_path / "a.weights.h5"), spec)
    assert found.spec == spec
    assert found.notes == ()


def test_other_head_is_dropped_with_a_message(
    saved: Path, trained: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(saved / "own.weights.h5")
    found = weights.read(path, resolve("small", num_classes=7, resolution=64))
    assert "logits" not in found.layers
    np.testing.assert_array_equal(
        found.layers["conv_2"]["kernel"], trained.get_layer("conv_2").get_weights()[0]
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"{path}: the head has 5 classes, not 7, so a fresh one is used."]
    assert create_model("small", num_classes=7, weights=path).output_shape == (None, 7)


def test_collect_is_the_inverse_of_assign(trained: Any, images: np.ndarray) -> None:
    collected = weights.collect(trained)
    assert collected["expanded_conv_3_depthwise"]["kernel"].shape == (5, 5, 96, 1)
    assert set(collected["conv_bn"]) == {"gamma", "beta", "moving_mean", "moving_variance"}
    assert set(collected["logits"]) == {"kernel", "bias"}
    fresh = create_model("small", **SMALL)
    weights.assign_layers(fresh, collected)
    np.testing.assert_array_equal(fresh(images), trained(images))


def test_assign_layers_refuses_another_shape(trained: Any) -> None:
    with pytest.raises(ValueError, match="conv_2"):
        weights.assign_layers(trained, {"conv_2": {"bias": np.zeros(3, np.float32)}})


def test_folded_weights_give_the_logits_of_what_was_folded(
    trained: Any, images: np.ndarray, tmp_path: Path
) -> None:
    folded = {}
    layers = weights.collect(trained)
    for name, values in layers.items():
        if name.endswith("_bn"):
            continue
        kernel, bias = values["kernel"], values.get("bias")
        if norm := layers.get(f"{name}_bn"):
            scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + 1e-3)
            kernel = kernel * (scale[:, None] if "depthwise" in name else scale)
            bias = norm["beta"] - norm["moving_mean"] * scale
        folded |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
    np.savez(tmp_path / "folded.npz", **folded)
    model = create_model("small", weights=str(tmp_path / "folded.npz"), **SMALL)
    expected = trained(images).numpy()
    assert np.abs(model(images) - expected).max() <= 1e-4 * np.abs(expected).max()


# -- what cannot be used ---------------------------------------------------------------------


def refusal(path: Path, model: str = "small", width: float = 1.0) -> str:
    with pytest.raises(UserError) as error:
        create_model(model, width=width, weights=str(path), **SMALL)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["legacy.h5", "own.weights.h5"])
@pytest.mark.parametrize(
    ("model", "width"), [("large", 1.0), ("small", 0.75), ("small_minimalistic", 1.0), ("v2", 1.0)]
)
def test_another_architecture_is_refused(saved: Path, name: str, model: str, width: float) -> None:
    message = refusal(saved / name, model, width)
    assert "another architecture" in message
    assert "give the model and width" in message


def test_refusal_names_the_layer_and_both_shapes(saved: Path) -> None:
    message = refusal(saved / "legacy.h5", "small", 0.75)
    assert "expanded_conv_3_project/kernel has shape (1, 1, 96, 40)" in message
    assert "has (1, 1, 96, 32)" in message


def test_a_layer_too_many_is_refused(tmp_path: Path) -> None:
    spec = resolve("small", **SMALL)
    build(spec).save_weights(tmp_path / "with.h5")
    with pytest.raises(UserError, match=r"no place for expanded_conv.*squeeze_excite"):
        weights.read(str(tmp_path / "with.h5"), spec.without_squeeze_excite())


def test_a_layer_too_few_is_refused(saved: Path) -> None:
    deeper = resolve("small", **SMALL).with_old_last_stage()
    with pytest.raises(UserError, match=r"expanded_conv_11_expand/kernel is missing"):
        weights.read(str(saved / "legacy.h5"), deeper)


def test_an_expansion_no_wider_than_its_input_is_refused(tmp_path: Path) -> None:
    """A spec has no way to say it: taking the width over would lose the layer."""
    arrays = {}
    for conv in convolutions(resolve("small", **SMALL)):
        outputs = conv.kernel[2 if conv.part == "depthwise" else 3]
        arrays[f"{conv.name}/kernel"] = np.zeros(conv.kernel, np.float32)
        arrays[f"{conv.name}/bias"] = np.zeros(outputs, np.float32)
    np.savez(tmp_path / "as_it_should_be.npz", **arrays)
    create_model("small", weights=str(tmp_path / "as_it_should_be.npz"), **SMALL)
    for name, value in arrays.items():
        if name.startswith(("expanded_conv_1_expand", "expanded_conv_1_depthwise/bias")):
            arrays[name] = value[..., :16]
        elif name in ("expanded_conv_1_depthwise/kernel", "expanded_conv_1_project/kernel"):
            arrays[name] = value[:, :, :16]
    np.savez(tmp_path / "narrow.npz", **arrays)
    assert "expanded_conv_1_expand" in refusal(tmp_path / "narrow.npz")


def test_absent_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.h5")


def test_folder_without_checkpoint_is_refused(tmp_path: Path) -> None:
    assert "folder without" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"not weights at all, but a text file\n"])
def test_unknown_content_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(content)
    assert "no weights file that can be read" in refusal(path)


@pytest.mark.parametrize("name", ["legacy.h5", "own.weights.h5", "model.keras", "torch", "npz"])
def test_truncated_file_is_refused(name: str, saved: Path, tmp_path: Path) -> None:
    whole, cut = saved / name, tmp_path / "cut"
    if name == "torch":
        whole = tmp_path / "whole.safetensors"
        save_file({"conv_stem.weight": np.zeros((16, 3, 3, 3), np.float32)}, whole)
    elif name == "npz":
        whole = tmp_path / "whole.npz"
        np.savez(whole, **{"conv/bias": np.zeros(1000, np.float32)})
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    assert "damaged or cut short" in refusal(cut)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet.safetensors"
    save_file({"layer1.0.conv1.weight": np.zeros((64, 64, 3, 3), np.float32)}, path)
    message = refusal(path)
    assert "no MobileNet" in message
    assert "layer1.0.conv1.weight" in message


class _Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["pickle", "torch zip", "npz"])
def test_pickles_are_never_loaded(kind: str, tmp_path: Path) -> None:
    trap, path = _Trap(tmp_path / "executed"), tmp_path / "model.pth"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(trap, protocol=2))
    elif kind == "torch zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", pickle.dumps(trap))
    else:
        with path.open("wb") as file:
            np.savez(file, **{"conv/bias": np.array([trap], dtype=object)})
    message = refusal(path)
    assert not trap.path.exists()
    if kind != "npz":
        assert "safetensors.torch.save_file(torch.load(" in message
        assert "weights_only=True" in message
