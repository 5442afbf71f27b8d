"""State dicts of timm and torchvision against the logits that PyTorch gives for them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from refusals import refused
from safetensors.numpy import load_file, save_file

from mnv3_tf import weights
from mnv3_tf.models import load_model
from mnv3_tf.networks.named import resolve

NAMES = {
    "timm": ("timm_mobilenetv3_small_050_random", 0.5),
    "torchvision": ("torchvision_mobilenet_v3_small_random", 1.0),
}


@pytest.fixture
def fixtures(shared: Path) -> Path:
    return shared / "torch_fixtures"


def before_normalisation(images: np.ndarray) -> np.ndarray:
    """RGB in [-1, 1] of which ImageNet's mean and deviation make these."""
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return ((images.astype(np.float64) * deviation + mean) * 2 - 1).astype(np.float32)


@pytest.mark.parametrize("library", NAMES)
def test_logits_agree_with_pytorch(library: str, fixtures: Path) -> None:
    name, width = NAMES[library]
    recorded = np.load(fixtures / f"{name}_io.npz")
    path = fixtures / f"{name}.safetensors"
    _, model = load_model(resolve("small", width), str(path))
    logits = model(before_normalisation(recorded["images_nhwc"])).numpy()
    expected = recorded["logits"]
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_spec_says_what_timm_does_differently(
    fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fixtures / f"{NAMES['timm'][0]}.safetensors"
    found = weights.read(str(path), resolve("small", 0.5))
    assert found.source == "timm"
    assert (found.spec.padding, found.spec.batch_norm_epsilon) == ("symmetric", 1e-5)
    assert found.spec.stem.filters == 16
    told = capsys.readouterr().err
    assert "padding is symmetric and the BatchNorm epsilon 1e-05" in told
    assert "conv 16 (not 8)" in told


@pytest.mark.parametrize("where", ["config.json", "metadata"])
def test_tf_variants_of_timm_are_known_by_their_architecture(
    where: str, fixtures: Path, tmp_path: Path
) -> None:
    original = fixtures / f"{NAMES['timm'][0]}.safetensors"
    path = tmp_path / "model.safetensors"
    if where == "config.json":
        shutil.copy(original, path)
        config = {"architecture": "tf_mobilenetv3_small_050", "num_classes": 1000}
        (tmp_path / "config.json").write_text(json.dumps(config))
    else:
        save_file(load_file(original), path, {"architecture": "tf_mobilenetv3_small_050"})
    spec = weights.read(str(path), resolve("small", 0.5)).spec
    assert (spec.padding, spec.batch_norm_epsilon) == ("same", 1e-3)


def test_expansions_and_squeezes_come_from_the_file(fixtures: Path, tmp_path: Path) -> None:
    """As for torchvision at other widths, which rounds expansions in its own way."""
    tensors = load_file(fixtures / f"{NAMES['torchvision'][0]}.safetensors")
    block = "features.2.block"
    for name, value in tensors.items():
        if name.startswith((f"{block}.0", f"{block}.1")) and value.ndim:
            tensors[name] = value[:80]
    tensors[f"{block}.2.0.weight"] = tensors[f"{block}.2.0.weight"][:, :80]
    squeeze = "features.4.block.2"
    tensors[f"{squeeze}.fc1.weight"] = tensors[f"{squeeze}.fc1.weight"][:12]
    tensors[f"{squeeze}.fc1.bias"] = tensors[f"{squeeze}.fc1.bias"][:12]
    tensors[f"{squeeze}.fc2.weight"] = tensors[f"{squeeze}.fc2.weight"][:, :12]
    path = tmp_path / "narrower.safetensors"
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    save_file(tensors, path)
    # Block 1 of the network asked for expands to 88, that of the file to 72.
    spec = weights.read(str(path), resolve("small").with_expansion(1, 88)).spec
    assert spec.blocks[1].expansion == 72
    widths = [placed.squeeze_width for placed in spec.placed_blocks()]
    assert widths == [8, 0, 0, 12, 64, 64, 32, 40, 72, 144, 144]


@pytest.mark.parametrize(
    ("library", "difference"),
    [
        ("timm", ["blocks.0.0.conv_pw.weight has shape (1, 1, 16, 8), ", "(1, 1, 16, 16)"]),
        ("torchvision", ["features.1.block.1.0.weight is missing"]),
    ],
)
def test_another_architecture_is_refused_by_its_own_names(
    library: str, difference: list[str], fixtures: Path
) -> None:
    model = {"timm": "small", "torchvision": "large"}[library]
    with refused(*difference):
        weights.read(str(fixtures / f"{NAMES[library][0]}.safetensors"), resolve(model))
