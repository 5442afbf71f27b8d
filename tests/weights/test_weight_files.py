"""Files of every library there and back, and files that cannot be used."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from random_layers import as_stored, check_same, random_layers
from random_network import noise, randomise
from refusals import refused
from safetensors.numpy import save_file

from mnv3_tf import weights
from mnv3_tf.models import build, load_model
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.weights.layer_arrays import LayerArrays
from mnv3_tf.weights.names import FOLDED, LIBRARIES, NUMBERED, TIMM_TF, convolutions

SPEC = tiny.CLASSIFIER


@pytest.fixture(scope="module")
def trained() -> Any:
    return randomise(build(SPEC))


@pytest.fixture(scope="module")
def saved(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `trained` in every format that we write."""
    folder = tmp_path_factory.mktemp("saved")
    trained.save_weights(folder / "legacy.h5")
    trained.save_weights(folder / "own.weights.h5")
    trained.save(folder / "model.keras")
    return folder


def save_npz(path: Path, layers: LayerArrays) -> str:
    """Under our names."""
    np.savez(path, **{f"{k}/{name}": v for k, found in layers.items() for name, v in found.items()})
    return str(path)


@pytest.mark.parametrize("name", ["legacy.h5", "own.weights.h5", "model.keras"])
def test_own_files_hold_all_weights(name: str, saved: Path, trained: Any, tmp_path: Path) -> None:
    disguised = tmp_path / "weights.bin"  # the content decides, not the name
    disguised.write_bytes((saved / name).read_bytes())
    found = weights.read(str(disguised), SPEC)
    assert (found.spec, found.notes) == (SPEC, ())
    check_same(found.layers, weights.collect(trained))


@pytest.mark.parametrize("library", [key for key in LIBRARIES if key != FOLDED])
def test_every_library_stores_the_same_network(library: str, tmp_path: Path) -> None:
    """Under its names and in its layout; the spec gets what the library does differently."""
    spec = SPEC
    if library.endswith("V2"):
        spec = SPEC.without_squeeze_excite().replace(hidden=0)
    layers, theirs = random_layers(spec), LIBRARIES[library]
    tensors = as_stored(library, spec, layers)
    path = tmp_path / "weights"
    if theirs.layout == "torch":
        counters = {"bn1.num_batches_tracked": np.zeros((), np.int64)}
        metadata = {"architecture": f"{'tf_' * (library == TIMM_TF)}mobilenetv3"}
        save_file(tensors | counters, path, metadata)
    else:
        with path.open("wb") as file:
            np.savez(file, **tensors)
    found = weights.read(str(path), spec, "-1..1")
    check_same(found.layers, layers)
    assert found.source == library
    padding, epsilon = theirs.padding or "same", theirs.batch_norm_epsilon or 1e-3
    assert found.spec == spec.replace(padding=padding, batch_norm_epsilon=epsilon)
    assert len(found.notes) == (found.spec != spec)


@pytest.mark.parametrize(
    ("library", "padding", "epsilon"),
    [
        ("keras", None, None),
        (NUMBERED, None, None),
        ("tf_keras.applications", "same", 1e-3),
        ("tf_keras.applications V2", "same", 1e-3),
        ("slim", "same", 1e-3),
        ("timm", "symmetric", 1e-5),
        (TIMM_TF, "same", 1e-3),
        ("torchvision", "symmetric", 1e-3),
        ("torchvision V2", "symmetric", 1e-5),
    ],
)
def test_how_a_library_pads_and_normalises(
    library: str, padding: str | None, epsilon: float | None
) -> None:
    found = LIBRARIES[library]
    assert (found.padding, found.batch_norm_epsilon) == (padding, epsilon)


def test_own_weights_keep_padding_epsilon_and_widths_of_the_spec(tmp_path: Path) -> None:
    spec = SPEC.with_expansion(2, 72).with_block(3, squeeze=0.1)
    spec = spec.replace(padding="symmetric", batch_norm_epsilon=1e-5)
    found = weights.read(save_npz(tmp_path / "a.npz", random_layers(spec)), spec)
    assert found.source == "keras"
    assert found.spec == spec
    assert found.notes == ()


def test_widths_that_libraries_round_come_from_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = SPEC.with_stem(24).with_expansion(1, 56).with_expansion(2, 80)
    spec = spec.with_block(3, squeeze=0.12).replace(last_conv=72, hidden=40)
    layers = random_layers(spec)
    path = save_npz(tmp_path / "a.npz", layers)
    found = weights.read(path, SPEC)
    assert [block.expansion for block in found.spec.blocks] == [24, 56, 80, 72]
    assert [placed.squeeze_width for placed in found.spec.placed_blocks()] == [8, 0, 24, 8]
    assert (found.spec.stem.filters, found.spec.last_conv, found.spec.hidden) == (24, 72, 40)
    check_same(found.layers, layers)
    assert capsys.readouterr().err == (
        f"{path}: widths as in the file: conv 24 (not 16), expanded_conv_1_expand 56 (not 48), "
        "expanded_conv_2_expand 80 (not 64) and 3 more.\n"
    )


def test_other_head_is_dropped_with_a_message(
    saved: Path, trained: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(saved / "own.weights.h5")
    spec = SPEC.replace(num_classes=7)
    assert "logits" not in weights.read(path, spec).layers
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"{path}: the head has 3 classes, not 7, so a fresh one is used."]
    _, model = load_model(spec, path)
    assert model.output_shape == (None, 7)
    np.testing.assert_array_equal(
        model.get_layer("conv_2").get_weights()[0], trained.get_layer("conv_2").get_weights()[0]
    )


@pytest.mark.parametrize(
    ("hidden", "missing", "told"),
    [
        (32, ["conv_2", "logits"], "conv_2 and logits"),
        (32, ["logits"], "logits"),
        (0, ["logits"], "logits"),
    ],
)
def test_a_head_that_is_not_in_the_file_is_fresh(
    hidden: int, missing: list[str], told: str, tmp_path: Path
) -> None:
    spec = SPEC.replace(hidden=hidden)
    layers = {name: v for name, v in random_layers(spec).items() if name not in missing}
    found = weights.read(save_npz(tmp_path / "a.npz", layers), spec)
    assert found.notes == (f"{told} not in the file, so fresh",)
    check_same(found.layers, layers)


def test_collect_is_the_inverse_of_assign(trained: Any) -> None:
    pictures = noise(2, SPEC.resolution)
    expected = trained(pictures).numpy()
    collected = weights.collect(trained)
    assert collected["expanded_conv_3_depthwise"]["kernel"].shape == (5, 5, 72, 1)
    assert set(collected["conv_bn"]) == {"gamma", "beta", "moving_mean", "moving_variance"}
    assert set(collected["logits"]) == {"kernel", "bias"}
    randomise(trained, seed=1)
    assert not np.array_equal(trained(pictures), expected)
    weights.assign_layers(trained, collected)
    np.testing.assert_array_equal(trained(pictures), expected)


def test_assign_layers_refuses_another_shape(trained: Any) -> None:
    with pytest.raises(ValueError, match=r"conv_2 .* not bias of \(3,\)"):
        weights.assign_layers(trained, {"conv_2": {"bias": np.zeros(3, np.float32)}})
    with pytest.raises(ValueError, match=r"conv_2 .* not gamma"):
        weights.assign_layers(trained, {"conv_2": {"gamma": np.zeros(32, np.float32)}})


@pytest.mark.parametrize("epsilon", [1e-3, 1e-5])
def test_folded_weights_are_those_of_a_batch_norm_that_only_adds(
    epsilon: float, tmp_path: Path
) -> None:
    spec = SPEC.replace(batch_norm_epsilon=epsilon)
    folded = folded_layers(spec)
    found = weights.read(save_npz(tmp_path / "folded.npz", folded), spec)
    assert (found.spec, found.source) == (spec, FOLDED)
    normed = {conv.name for conv in convolutions(spec) if conv.batch_norm}
    check_same(
        {name: layer for name, layer in found.layers.items() if not name.endswith("_bn")},
        {
            name: {k: v for k, v in layer.items() if k == "kernel" or name not in normed}
            for name, layer in folded.items()
        },
    )
    for name, norm in found.layers.items():
        if name.endswith("_bn"):
            scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + epsilon)
            np.testing.assert_allclose(scale, 1, rtol=1e-6)
            bias = norm["beta"] - norm["moving_mean"] * scale
            np.testing.assert_array_equal(bias, folded[name.removesuffix("_bn")]["bias"])


def folded_layers(spec: NetworkSpec) -> LayerArrays:
    rng = np.random.default_rng(0)
    found = {}
    for conv in convolutions(spec):
        outputs = conv.outputs
        shapes = {"kernel": conv.kernel, "bias": (outputs,)}
        found[conv.name] = {k: rng.normal(size=v).astype(np.float32) for k, v in shapes.items()}
    return found


@pytest.mark.parametrize("library", ["keras", "torchvision", "slim"])
def test_the_background_class_of_1001_is_left_out(library: str, tmp_path: Path) -> None:
    spec = SPEC.replace(num_classes=1001)
    layers = random_layers(spec)
    path = tmp_path / "weights"
    if library == "torchvision":
        save_file(as_stored(library, spec, layers), path)
    else:
        with path.open("wb") as file:
            np.savez(file, **as_stored(library, spec, layers))
    assert weights.read(str(path), spec).layers["logits"]["bias"].shape == (1001,)
    found = weights.read(str(path), spec.replace(num_classes=1000))
    for variable, value in layers["logits"].items():
        np.testing.assert_array_equal(found.layers["logits"][variable], value[..., 1:])
    told = "class 0 of 1001 was taken for the background, and left out"
    assert (told in found.notes) == (library != "slim")  # whose classes are documented


# -- what cannot be used ---------------------------------------------------------------------


def refuses(path: Path, *named: str, spec: NetworkSpec = SPEC) -> None:
    with refused(path, *named):
        weights.read(str(path), spec)


@pytest.mark.parametrize("name", ["legacy.h5", "own.weights.h5"])
@pytest.mark.parametrize(
    "spec",
    [
        SPEC.replace(blocks=(*SPEC.blocks, SPEC.blocks[3])),
        SPEC.replace(blocks=SPEC.blocks[:3]),
        SPEC.with_width(2),
        SPEC.with_block(2, kernel=3),
        SPEC.without_squeeze_excite(),
        SPEC.replace(hidden=0),
    ],
    ids=["deeper", "shallower", "wider", "another kernel", "no squeeze-excite", "no hidden layer"],
)
def test_another_architecture_is_refused(saved: Path, name: str, spec: NetworkSpec) -> None:
    remedy = "give the model and width that the weights were trained with"
    refuses(saved / name, "another architecture", remedy, spec=spec)


@pytest.mark.parametrize(
    ("spec", "difference"),
    [
        (
            SPEC.with_width(2),
            "expanded_conv_project/kernel has shape (1, 1, 16, 16), kernel of "
            "expanded_conv_project in tiny_2 has (1, 1, 16, 32)",
        ),
        (SPEC.without_squeeze_excite(), "no place for expanded_conv_squeeze_excite_conv/"),
        (SPEC.with_old_last_stage(), "expanded_conv_4_expand/kernel is missing"),
    ],
)
def test_refusal_names_the_layer_and_both_shapes(
    spec: NetworkSpec, difference: str, saved: Path
) -> None:
    refuses(saved / "legacy.h5", difference, spec=spec)


def test_an_expansion_no_wider_than_its_input_is_refused(tmp_path: Path) -> None:
    """A spec has no way to say it: taking the width over would lose the layer."""
    arrays = folded_layers(SPEC)
    weights.read(save_npz(tmp_path / "as_it_should_be.npz", arrays), SPEC)
    for name in ("expanded_conv_1_expand", "expanded_conv_1_depthwise"):
        arrays[name]["bias"] = arrays[name]["bias"][:16]
    for name, axis in (("expand", 3), ("depthwise", 2), ("project", 2)):
        layer = arrays[f"expanded_conv_1_{name}"]
        layer["kernel"] = layer["kernel"].take(range(16), axis)
    save_npz(tmp_path / "narrow.npz", arrays)
    refuses(tmp_path / "narrow.npz", "expanded_conv_1_expand")


def test_absent_file_is_refused(tmp_path: Path) -> None:
    refuses(tmp_path / "none.h5", "does not exist")


def test_folder_without_checkpoint_is_refused(tmp_path: Path) -> None:
    refuses(tmp_path, "folder without")


@pytest.mark.parametrize("content", [b"", b"TFL3", b"not weights at all, but a text file\n"])
def test_unknown_content_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(content)
    refuses(path, "no weights file that can be read")


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
    refuses(cut, "damaged or cut short")


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet.safetensors"
    save_file({"layer1.0.conv1.weight": np.zeros((64, 64, 3, 3), np.float32)}, path)
    refuses(path, "no MobileNet", "layer1.0.conv1.weight")


class _Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", [2, 3, 4, 5, "torch zip", "npz"])
def test_pickles_are_never_loaded(kind: int | str, tmp_path: Path) -> None:
    trap, path = _Trap(tmp_path / "executed"), tmp_path / "model.pth"
    if isinstance(kind, int):
        path.write_bytes(pickle.dumps(trap, protocol=kind))
    elif kind == "torch zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", pickle.dumps(trap))
    else:
        with path.open("wb") as file:
            np.savez(file, **{"conv/bias": np.array([trap], dtype=object)})
    remedy = ["safetensors.torch.save_file(torch.load(", "weights_only=True"]
    refuses(path, *(remedy if kind != "npz" else ()))
    assert not trap.path.exists()
