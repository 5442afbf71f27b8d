"""State dicts of PyTorch as training scripts leave them."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny
from random_layers import as_stored, check_same, random_layers
from refusals import refused
from safetensors.numpy import save_file

from mnv3_tf import weights
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.training.trained import load_weights

SPEC = tiny.CLASSIFIER
LAYERS = random_layers(SPEC)
TENSORS = as_stored("timm", SPEC, LAYERS)


def write(path: Path, tensors: dict[str, np.ndarray]) -> str:
    save_file(tensors, path)
    return str(path)


def read(path: str | Path, spec: NetworkSpec = SPEC) -> weights.Weights:
    """Of pixels that are as ours: what is usual with PyTorch would be folded into the stem."""
    return weights.read(str(path), spec, "-1..1")


def under(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: value for name, value in tensors.items()}


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.", "_orig_mod.", "model._orig_mod.module.", "state_dict.", "timm_model."],
)
def test_a_prefix_is_dropped(prefix: str, tmp_path: Path) -> None:
    """With what a training script keeps beside the network."""
    beside = {"criterion.weight": np.ones(3, np.float32), "n_averaged": np.ones((), np.int64)}
    found = read(write(tmp_path / "a.safetensors", under(prefix, TENSORS) | beside))
    assert found.source == "timm"
    check_same(found.layers, LAYERS)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_refused(wrong: float, tmp_path: Path) -> None:
    """A network of it would find class 0 in every picture."""
    name = next(name for name in TENSORS if name.endswith("running_var"))
    value = TENSORS[name].copy()
    value[-1] = wrong
    path = write(tmp_path / "a.safetensors", TENSORS | {name: value})
    with refused(path, "no finite number (moving_variance of conv_bn)"):
        read(path)


def test_a_kernel_that_pixels_make_too_large_is_refused(tmp_path: Path) -> None:
    """In the file it is finite, and for [-1, 1] it is to be 127.5 times as large."""
    name = next(name for name, value in TENSORS.items() if value.shape[1:2] == (3,))
    path = write(tmp_path / "a.safetensors", TENSORS | {name: np.full_like(TENSORS[name], 3e38)})
    with refused(path, "no finite number (kernel of conv)"):
        weights.read(path, SPEC, "0..255")


@pytest.mark.parametrize(
    ("raw", "averaged"),
    [
        ("state_dict.", "state_dict_ema."),
        ("", "state_dict_ema.module."),
        ("model.", "model_ema.module."),
        ("net.", "ema."),
    ],
)
def test_averaged_weights_come_before_raw_ones(raw: str, averaged: str, tmp_path: Path) -> None:
    tensors = under(raw, {name: value + 1 for name, value in TENSORS.items()})
    path = write(tmp_path / "a.safetensors", tensors | under(averaged, TENSORS))
    found = read(path)
    assert f"the averaged weights were read, {averaged!r}, not the raw ones" in found.notes
    check_same(found.layers, LAYERS)


def test_of_two_networks_none_is_guessed(tmp_path: Path) -> None:
    tensors = under("student.", TENSORS) | under("teacher.", TENSORS)
    path = write(tmp_path / "a.safetensors", tensors)
    with refused(path, "2 networks", "'student.' and 'teacher.'"):
        read(path)


def test_a_head_of_any_name(tmp_path: Path) -> None:
    tensors = {k: v for k, v in TENSORS.items() if not k.startswith("classifier")}
    tensors = under("backbone.", tensors)
    tensors["fc.weight"], tensors["fc.bias"] = TENSORS["classifier.weight"], np.ones(3, np.float32)
    found = read(write(tmp_path / "a.safetensors", tensors))
    np.testing.assert_array_equal(found.layers["logits"]["kernel"], LAYERS["logits"]["kernel"])
    np.testing.assert_array_equal(found.layers["logits"]["bias"], 1)
    assert found.spec.hidden == SPEC.hidden


def test_a_classifier_that_was_replaced_by_one_layer(tmp_path: Path) -> None:
    """torchvision's hidden layer is classifier.0, which then is the logits."""
    tensors = as_stored("torchvision", SPEC, LAYERS)
    tensors = {k: v for k, v in tensors.items() if not k.startswith("classifier")}
    single = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    tensors |= {"classifier.0.weight": single, "classifier.0.bias": np.ones(3, np.float32)}
    found = read(write(tmp_path / "a.safetensors", tensors))
    assert found.spec.hidden == 0
    assert "its head has no hidden layer" in found.notes
    np.testing.assert_array_equal(found.layers["logits"]["kernel"], single.T[None, None])


def test_weights_without_a_head_answer_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = {k: v for k, v in TENSORS.items() if not k.startswith("classifier")}
    path = write(tmp_path / "a.safetensors", tensors)
    assert "logits not in the file, so fresh" in read(path).notes
    with refused(path, "has no head", f"train.py --weights={path}"):
        load_weights(SPEC, path)
    capsys.readouterr()
    assert load_weights(SPEC, path, new_head=True).model.output_shape == (None, 3)
    assert capsys.readouterr().err.endswith("without a trained head answers mean nothing.\n")


def test_the_number_of_classes_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", TENSORS)
    with refused(path, "the head has 3 classes, not 1000"):
        load_weights(SPEC.replace(num_classes=1000), path)


# -- files -----------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder as the hub has it: an index and three parts."""
    files = [f"model-{n:05}-of-00003.safetensors" for n in (1, 2, 3)]
    where = {name: files[i % 3] for i, name in enumerate(TENSORS)}
    for file in files:
        write(tmp_path / file, {n: v for n, v in TENSORS.items() if where[n] == file})
    index = {"metadata": {"total_size": 0}, "weight_map": where}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    return tmp_path


@pytest.mark.parametrize(
    "given", [".", "model.safetensors.index.json", "model-00002-of-00003.safetensors"]
)
def test_shards_are_read_together(given: str, shards: Path) -> None:
    check_same(read(shards / given).layers, LAYERS)


@pytest.mark.parametrize("given", [".", "model-00001-of-00003.safetensors"])
def test_an_absent_shard_is_named(given: str, shards: Path) -> None:
    (shards / "model-00003-of-00003.safetensors").unlink()
    with refused("model-00003-of-00003.safetensors is absent"):
        read(shards / given)


def test_a_folder_of_the_hub(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", TENSORS)
    check_same(read(tmp_path).layers, LAYERS)


def test_bfloat16_is_read(tmp_path: Path) -> None:
    """The upper half of float32."""
    header, data = {}, b""
    for name, value in TENSORS.items():
        halves = (value.view(np.uint32) >> 16).astype("<u2").tobytes()
        span = [len(data), len(data) + len(halves)]
        header[name] = {"dtype": "BF16", "shape": value.shape, "data_offsets": span}
        data += halves
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    for layer, variables in read(path).layers.items():
        for variable, value in variables.items():
            np.testing.assert_allclose(value, LAYERS[layer][variable], rtol=2**-7)


@pytest.mark.parametrize(
    ("tree", "inside"),
    [
        ({"conv_stem.weight": 0}, ""),
        ({"epoch": 3, "state_dict": {"a": 0}}, "['state_dict']"),
        ({"state_dict": {"a": 0}, "state_dict_ema": {"a": 0}}, "['state_dict_ema']"),
        ({"model": {"a": 0}, "optimizer": {}}, "['model']"),
    ],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_is_refused_with_the_command_for_it(
    tree: dict[str, object], inside: str, is_zip: bool, tmp_path: Path
) -> None:
    path, content = tmp_path / "last.pth", pickle.dumps(tree, 2)
    if is_zip:
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w") as archive:
            archive.writestr("last/data.pkl", content)
        content = memory.getvalue()
    path.write_bytes(content)
    with refused(f"save_file(torch.load({str(path)!r}, weights_only=True){inside}, "):
        read(path)
