"""Weights of networks that take pixels otherwise than ours: the same answers, borders included."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_models as made
import numpy as np
import pytest
import tf_keras
import tiny
from keras_models import SPEC
from random_layers import as_stored, random_layers
from refusals import refused
from safetensors.numpy import save_file

from mnv3_tf import weights
from mnv3_tf.models import build, load_model
from mnv3_tf.networks.pixels import InputRange
from mnv3_tf.weights.keras_config import Layer
from mnv3_tf.weights.preprocessing import Preprocessing, Usual

LIBRARIES = {"tf_keras": tf_keras, "keras 3": keras}
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
ASSUMED = "nothing in it says how it takes pixels, so {} is assumed; --input_range says otherwise"


def bytes_of(count: int = 4) -> np.ndarray:
    """A camera's, as float32 (N, 32, 32, 3)."""
    shown = np.random.default_rng(8).integers(0, 256, (count, 32, 32, 3))
    return shown.astype(np.float32)


def as_ours(shown: np.ndarray) -> np.ndarray:
    return shown / np.float32(127.5) - 1


def check_close(found: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    assert np.ptp(expected) > 0.01 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


# -- PyTorch ---------------------------------------------------------------------------------


@pytest.fixture
def timm(tmp_path: Path) -> Path:
    """A state dict of timm, alone in its folder."""
    path = tmp_path / "model.safetensors"
    save_file(as_stored("timm", tiny.CLASSIFIER, random_layers(tiny.CLASSIFIER)), path)
    return path


def check_folded(
    path: Path,
    mean: Sequence[float],
    deviation: Sequence[float],
    asked: InputRange | None = None,
) -> weights.Weights:
    """The network answers to bytes as the bare one does to what is made of them."""
    bare = load_model(tiny.CLASSIFIER, str(path), input_range="-1..1")[1]
    normalised = (bytes_of() / 255 - np.float32(mean)) / np.float32(deviation)
    found = weights.read(str(path), tiny.CLASSIFIER, asked)
    model = build(found.spec)
    weights.assign(model, found)
    check_close(model(as_ours(bytes_of())), bare(normalised))
    return found


def test_timm_normalises_by_imagenet(timm: Path) -> None:
    found = check_folded(timm, MEAN, DEVIATION)
    assert found.spec.stem.zero == pytest.approx((-0.03, -0.088, -0.188))
    assert ASSUMED.format("imagenet") in found.notes


@pytest.mark.parametrize("nested", [True, False])
def test_timms_config_says_it_itself(nested: bool, timm: Path) -> None:
    said: dict[str, Any] = {"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.25, 0.2]}
    config = {"architecture": "mobilenetv3_small_050", "num_classes": 1000}
    tree = config | ({"pretrained_cfg": said} if nested else said)
    (timm.parent / "config.json").write_text(json.dumps(tree))
    found = check_folded(timm, said["mean"], said["std"])
    assert found.spec.stem.zero == pytest.approx((0, -0.2, -0.4))
    assert not any("pixels" in note for note in found.notes)


@pytest.mark.parametrize("config", ["[]", '{"pretrained_cfg": 3}', '{"mean": [1], "std": [0]}'])
def test_a_config_that_says_nothing_of_use(config: str, timm: Path) -> None:
    (timm.parent / "config.json").write_text(config)
    assert ASSUMED.format("imagenet") in check_folded(timm, MEAN, DEVIATION).notes


def test_tf_variants_of_timm_take_pixels_as_ours_do(timm: Path) -> None:
    config = {"architecture": "tf_mobilenetv3_small_100"}
    (timm.parent / "config.json").write_text(json.dumps(config))
    found = weights.read(str(timm), tiny.CLASSIFIER)
    assert (found.spec, found.notes) == (tiny.CLASSIFIER, ())


@pytest.mark.parametrize(
    ("asked", "mean", "deviation"),
    [
        ("0..255", [0] * 3, [1 / 255] * 3),
        ("0..1", [0] * 3, [1] * 3),
        ("-1..1", [0.5] * 3, [0.5] * 3),
        ("imagenet", MEAN, DEVIATION),
    ],
)
def test_what_is_asked_for(
    asked: InputRange, mean: Sequence[float], deviation: Sequence[float], timm: Path
) -> None:
    found = check_folded(timm, mean, deviation, asked)
    assert not any("pixels" in note for note in found.notes)
    assert (found.spec.stem.zero is None) == (asked == "-1..1")


def test_torchvision_normalises_by_imagenet(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(as_stored("torchvision", tiny.CLASSIFIER, random_layers(tiny.CLASSIFIER)), path)
    assert ASSUMED.format("imagenet") in check_folded(path, MEAN, DEVIATION).notes


# -- Keras -----------------------------------------------------------------------------------


def _rescaled(lib: Any, x: Any) -> Any:
    return lib.layers.Rescaling(1 / 255)(x)


def _as_applications(lib: Any, x: Any) -> Any:
    return lib.layers.Rescaling(1 / 127.5, offset=-1)(x)


def _normalised_bytes(lib: Any, x: Any) -> Any:
    variance = np.square(255 * DEVIATION).tolist()
    return lib.layers.Normalization(mean=(255 * MEAN).tolist(), variance=variance)(x)


def _both(lib: Any, x: Any) -> Any:
    norm = lib.layers.Normalization(mean=MEAN.tolist(), variance=np.square(DEVIATION).tolist())
    return norm(lib.layers.Rescaling(1 / 255)(x))


def _adapted(lib: Any, x: Any) -> Any:
    norm = lib.layers.Normalization()
    norm.adapt(bytes_of() * np.float32([1, 0.5, 0.25]) + 20)
    return norm(x)


def _preprocess_input(lib: Any, x: Any) -> Any:
    """As `applications.mobilenet_v2.preprocess_input` does it, after random views."""
    flips = [
        lib.layers.RandomFlip(),
        lib.layers.RandomRotation(0.1),
        lib.layers.RandomContrast(0.1),
    ]
    x = lib.Sequential(flips, name="data_augmentation")(x)
    return x / 127.5 - 1.0


def _other_operations(lib: Any, x: Any) -> Any:
    return (x + 5.0) * 0.01


FRONTS = (
    _rescaled,
    _as_applications,
    _normalised_bytes,
    _both,
    _adapted,
    _preprocess_input,
    _other_operations,
)


def model_with(lib: Any, front: Callable[[Any, Any], Any]) -> Any:
    image = lib.layers.Input((32, 32, 3))
    base, pooling = made.randomised(made.backbone(lib)), lib.layers.GlobalAveragePooling2D()
    return lib.Model(image, lib.layers.Dense(3)(pooling(base(front(lib, image)))))


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    ("lib", "form"), [("tf_keras", ".h5"), ("tf_keras", ".keras"), ("keras 3", ".keras")]
)
def test_layers_in_front_are_honoured(
    lib: str, front: Callable[[Any, Any], Any], form: str, tmp_path: Path
) -> None:
    model = model_with(LIBRARIES[lib], front)
    path = made.saved(model, tmp_path, form)
    found = weights.read(path, SPEC)
    assert found.notes == ()
    ours = build(found.spec)
    weights.assign(ours, found)
    check_close(ours(as_ours(bytes_of())), made.answers(model, bytes_of()))


@pytest.mark.parametrize(
    ("name", "mean", "deviation", "shown"),
    [
        ("0..1", MEAN, DEVIATION, bytes_of() / 255),
        ("-1..1", [0.01, -0.05, -0.1], [0.5] * 3, as_ours(bytes_of())),
    ],
)
def test_a_model_of_parts_of_white(
    name: InputRange, mean: Any, deviation: Any, shown: np.ndarray, tmp_path: Path
) -> None:
    """Such a mean makes no sense of bytes; what is asked for is what the model takes."""

    def front(lib: Any, x: Any) -> Any:
        variance = np.square(deviation).tolist()
        return lib.layers.Normalization(mean=np.asarray(mean).tolist(), variance=variance)(x)

    model = model_with(tf_keras, front)
    path = made.saved(model, tmp_path, ".keras")
    told = weights.read(path, SPEC).notes[0]
    assert told.startswith("by its layers (normalization")
    assert told.endswith(f") it takes pixels as {name}; --input_range says otherwise")
    found = weights.read(path, SPEC, name)
    assert found.spec == weights.read(path, SPEC).spec
    ours = build(found.spec)
    weights.assign(ours, found)
    check_close(ours(as_ours(bytes_of())), made.answers(model, shown))


def test_a_layer_of_another_kind_is_named(tmp_path: Path) -> None:
    def front(lib: Any, x: Any) -> Any:
        return lib.layers.Permute((2, 1, 3), name="turned")(lib.layers.Rescaling(1 / 255)(x))

    path = made.saved(model_with(tf_keras, front), tmp_path, ".keras")
    with refused(path, "turned (Permute) before its first convolution", "--input_range"):
        weights.read(path, SPEC)
    assert weights.read(path, SPEC, "0..1").spec.stem.zero == (-1, -1, -1)


def test_channels_in_another_order_are_no_matter_of_range(tmp_path: Path) -> None:
    """As `preprocess_input` of networks from Caffe has it."""
    model = model_with(tf_keras, lambda _, x: x[..., ::-1] - 110.0)
    path = made.saved(model, tmp_path, ".h5")
    for asked in (None, "0..255"):
        with refused(path, "(SlicingOpLambda)", "turns their order"):
            weights.read(path, SPEC, asked)


@pytest.mark.parametrize("scale", [0.0, 1e300, 1e-300])
def test_a_scale_that_leaves_nothing_of_pixels_is_named(scale: float) -> None:
    layer = Layer("Rescaling", "damaged", {"scale": scale})
    with refused("m.keras has damaged (Rescaling)", "nothing says"):
        Preprocessing((layer,)).pixels("m.keras", Usual("-1..1", None, True), None)


@pytest.mark.parametrize("form", [".weights.h5", ".h5", ".ckpt"])
def test_weights_alone_do_not_hold_the_numbers(form: str, tmp_path: Path) -> None:
    model = model_with(tf_keras, _rescaled)
    path = str(tmp_path / f"w{form}")
    model.save_weights(path, save_format="tf" if form == ".ckpt" else None)
    known = "a layer of it scales pixels, but its numbers are not there"
    why = "nothing in it says how it takes pixels" if form == ".ckpt" else known
    assert weights.read(path, SPEC).notes == (
        f"{why}, so -1..1 is assumed; --input_range says otherwise",
    )
    assert weights.read(path, SPEC, "0..1").notes == ()


@pytest.mark.parametrize("form", [".weights.h5", ".ckpt"])
def test_but_those_of_an_adapted_layer(form: str, tmp_path: Path) -> None:
    model = model_with(tf_keras, _adapted)
    path = made.saved(model, tmp_path, form)
    ours = load_model(SPEC, path)[1]
    check_close(ours(as_ours(bytes_of())), made.answers(model, bytes_of()))


def test_our_own_weights_keep_the_stem_of_their_spec(timm: Path, tmp_path: Path) -> None:
    """Those of a run that began with weights of others."""
    spec, model = load_model(tiny.CLASSIFIER, str(timm))
    model.save_weights(path := str(tmp_path / "best.weights.h5"))
    again = weights.read(path, spec)
    assert (again.spec, again.notes) == (spec, ())
    np.testing.assert_array_equal(
        again.layers["conv"]["kernel"], model.get_layer("conv").get_weights()[0]
    )
