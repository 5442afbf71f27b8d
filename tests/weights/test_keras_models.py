"""Keras models as people build and save them: a backbone within, and a head of their own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_models as made
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras_models import SPEC, WITH_HIDDEN
from refusals import refused

from mnv3_tf.models import load_model
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.training.trained import load_weights

LIBRARIES = {"tf_keras": tf_keras, "keras 3": keras}
FORMS = (".h5", ".keras", ".weights.h5")


def transfer(lib: Any, naming: str = made.V2) -> Any:
    """As TensorFlow's tutorial on transfer learning has it."""
    layers = lib.layers
    image = layers.Input((32, 32, 3))
    features = layers.GlobalAveragePooling2D()(made.backbone(lib, naming)(image, training=False))
    return made.randomised(lib.Model(image, layers.Dense(3)(layers.Dropout(0.2)(features))))


def sequential(lib: Any) -> Any:
    base = made.backbone(lib, made.V3 if lib is tf_keras else made.KERAS_3)
    head = [lib.layers.GlobalAveragePooling2D(), lib.layers.Dense(3, name="flowers")]
    return made.randomised(lib.Sequential([base, *head]))


def flat(lib: Any) -> Any:
    base, layers = made.backbone(lib), lib.layers
    head = layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(base.output))
    return made.randomised(lib.Model(base.input, head))


def teachable_machine(lib: Any) -> Any:
    """Sequentials within a Sequential, and the last layer without biases."""
    layers = lib.layers
    features = lib.Sequential([made.backbone(lib), layers.GlobalAveragePooling2D()])
    head = [layers.Dense(10, "relu"), layers.Dense(3, "softmax", use_bias=False)]
    model = lib.Sequential([layers.Input((32, 32, 3)), features, lib.Sequential(head)])
    return made.randomised(model)


def check_same(path: str, model: Any, spec: NetworkSpec = SPEC) -> NetworkSpec:
    """What was read answers as the model does, whose softmax it lacks."""
    loaded, ours = load_model(spec, path, input_range="-1..1")
    expected = made.answers(model, made.pictures())
    found = ours(made.pictures()).numpy()
    if np.allclose(expected.sum(-1), 1):
        found = tf.nn.softmax(found).numpy()
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    return loaded


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("build", [transfer, sequential, flat])
@pytest.mark.parametrize("lib", LIBRARIES)
def test_a_backbone_with_a_head_of_its_own(
    lib: str, build: Callable[[Any], Any], form: str, tmp_path: Path
) -> None:
    model = build(LIBRARIES[lib])
    assert check_same(made.saved(model, tmp_path, form), model) == SPEC


@pytest.mark.parametrize("form", FORMS[:2])
@pytest.mark.parametrize("lib", LIBRARIES)
def test_teachable_machine(
    lib: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = teachable_machine(LIBRARIES[lib])
    spec = SPEC.replace(last_activation="relu6")
    path = made.saved(model, tmp_path, form)
    loaded = load_model(spec, path, input_range="-1..1")[0]
    assert loaded == spec.replace(hidden=10, hidden_activation="relu")
    assert capsys.readouterr().err == f"{path}: its head has a hidden layer of 10, relu.\n"
    assert check_same(path, model) == SPEC.replace(hidden=10)


@pytest.mark.parametrize(
    ("activation", "wanted"),
    [(("ReLU",), "relu"), (("ReLU", 6.0), "relu6"), (("Activation", "swish"), "swish")],
)
def test_activations_may_be_layers_of_their_own(
    activation: Sequence[Any], wanted: str, tmp_path: Path
) -> None:
    layers = tf_keras.layers
    hidden = getattr(layers, activation[0])(*activation[1:])
    pooled = layers.GlobalAveragePooling2D()
    head = [pooled, layers.Dense(10), hidden, layers.Dropout(0.5), layers.Dense(3)]
    model = made.randomised(tf_keras.Sequential([made.backbone(tf_keras), *head, layers.Softmax()]))
    spec = SPEC.replace(last_activation="hard_swish")
    path = made.saved(model, tmp_path, ".keras")
    loaded = load_model(spec, path, input_range="-1..1")[0]
    assert (loaded.hidden, loaded.hidden_activation) == (10, wanted)
    check_same(path, model)


@pytest.mark.parametrize("form", [".ckpt", ""])
@pytest.mark.parametrize("build", [transfer, flat])
def test_what_tensorflow_2_writes(build: Callable[[Any], Any], form: str, tmp_path: Path) -> None:
    model = build(tf_keras)
    check_same(made.saved(model, tmp_path, form), model)


def test_a_checkpoint_of_a_training_loop(tmp_path: Path) -> None:
    model, optimizer = transfer(tf_keras), tf_keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    checkpoint = tf.train.Checkpoint(step=tf.Variable(3), model=model, optimizer=optimizer)
    check_same(checkpoint.save(str(tmp_path / "ck")), model)


def test_a_network_with_a_hidden_layer_takes_weights_without_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = transfer(tf_keras)
    path = made.saved(model, tmp_path, ".ckpt")
    assert check_same(path, model, WITH_HIDDEN) == SPEC
    assert capsys.readouterr().err == f"{path}: its head has no hidden layer.\n"


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_a_single_output_is_two_classes(activation: str | None, tmp_path: Path) -> None:
    base, layers = made.backbone(tf_keras), tf_keras.layers
    single = layers.Dense(1, activation)(layers.GlobalAveragePooling2D()(base.output))
    model = made.randomised(tf_keras.Model(base.input, single))
    path = made.saved(model, tmp_path, ".keras")
    ours = load_model(SPEC.replace(num_classes=2), path)[1]
    logits = tf_keras.Model(model.input, model.layers[-2].output)(made.pictures()).numpy()
    kernel, bias = model.layers[-1].get_weights()
    z = (logits @ kernel + bias)[:, 0]
    second = tf.nn.softmax(ours(made.pictures())).numpy()[:, 1]
    np.testing.assert_allclose(second, 1 / (1 + np.exp(-z)), atol=1e-5)


# -- heads for which there is no place -------------------------------------------------------


def _several(layers: Any, features: Any) -> Any:
    pooled = layers.GlobalAveragePooling2D()(features)
    return [layers.Dense(2, name="gender")(pooled), layers.Dense(3, name="age")(pooled)]


def _normed(layers: Any, features: Any) -> Any:
    pooled = layers.BatchNormalization(name="norm")(layers.GlobalAveragePooling2D()(features))
    return layers.Dense(3)(pooled)


def _deep(layers: Any, features: Any) -> Any:
    hidden = layers.Dense(9, "relu", name="a")(layers.GlobalAveragePooling2D()(features))
    return layers.Dense(3, name="c")(layers.Dense(8, "relu", name="b")(hidden))


def _tanh(layers: Any, features: Any) -> Any:
    hidden = layers.Dense(9, "tanh", name="a")(layers.GlobalAveragePooling2D()(features))
    return layers.Dense(3, name="b")(hidden)


HEADS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "max pooling": (
        lambda layers, x: layers.Dense(3)(layers.GlobalMaxPooling2D(name="widest")(x)),
        "its head has widest (GlobalMaxPooling2D), for which there is no place",
    ),
    "flattened": (
        lambda layers, x: layers.Dense(3, name="top")(layers.Flatten()(x)),
        "top reads 2048 values, and what is pooled has 32",
    ),
    "several": (_several, "it has several heads (gender, age)"),
    "BatchNorm": (_normed, "its head has norm (BatchNormalization), for which there is no place"),
    "deep": (_deep, "its head has too many layers (a, b, c)"),
    "tanh": (_tanh, "a has the activation tanh, none of relu, relu6, hard_swish, swish"),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_without_a_place_is_named(
    head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training takes the backbone with a fresh one; nothing else can do with it."""
    build, why = HEADS[head]
    base = made.backbone(tf_keras)
    model = made.randomised(tf_keras.Model(base.input, build(tf_keras.layers, base.output)))
    path = made.saved(model, tmp_path, ".h5")
    spec, ours = load_model(SPEC, path, input_range="-1..1")
    assert spec == SPEC
    assert capsys.readouterr().err == f"{path}: {why}, so a fresh one is used.\n"
    np.testing.assert_array_equal(
        ours.get_layer("conv").get_weights()[0], base.get_layer("Conv1").get_weights()[0]
    )
    with refused(path, why, "train a new head"):
        load_weights(SPEC, path)


def test_weights_alone_do_not_say_a_hidden_activation(tmp_path: Path) -> None:
    path = made.saved(teachable_machine(tf_keras), tmp_path, ".weights.h5")
    with refused(path, "no activation of ", "a model that is saved whole"):
        load_weights(SPEC, path)
