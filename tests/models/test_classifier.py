"""The classifier: public signature, parameters as counted, real layers throughout."""

import inspect

import numpy as np
import pytest
import tf_keras
from random_network import noise, randomise

import mnv3_tf
from mnv3_tf import create_model
from mnv3_tf.cost import cost
from mnv3_tf.errors import UserError
from mnv3_tf.models import build, load_model
from mnv3_tf.networks import NETWORKS, resolve

EVERY = pytest.mark.parametrize("name", NETWORKS)

VARIANTS = {
    "as_named": lambda spec: spec,
    "no_squeeze_excite": lambda spec: spec.without_squeeze_excite(),
    "swish": lambda spec: spec.with_activation("swish"),
    "wide_stem": lambda spec: spec.with_stem(32),
    "symmetric": lambda spec: spec.replace(padding="symmetric"),
    "old_last_stage": lambda spec: spec.with_old_last_stage() if spec.hidden else spec,
    "resized": lambda spec: spec.with_bottleneck(3, 56).with_expansion(2, 104),
}


def trainable(model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


@EVERY
@pytest.mark.parametrize("width", [0.35, 1.0, 1.25])
def test_parameters_are_those_that_the_spec_counts(name, width):
    spec = resolve(name, width, resolution=32)
    assert trainable(build(spec)) == cost(spec).params


@pytest.mark.parametrize("name", ["large", "v2"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_of_variants(name, variant):
    spec = VARIANTS[variant](resolve(name, 0.5, 32, 10))
    assert trainable(build(spec)) == cost(spec).params


@EVERY
def test_shapes_of_the_layers_are_those_that_the_spec_lists(name):
    spec = resolve(name, 0.35, 100, 10)
    model = build(spec)
    for op in cost(spec).operators:
        if op.kind in ("conv", "depthwise"):
            assert tuple(model.get_layer(op.name).output.shape[1:]) == op.output, op.name


@EVERY
@pytest.mark.parametrize("lowering", [None, "fused", "composite"])
def test_every_layer_is_a_real_one(name, lowering):
    """tfmot cannot annotate an operator on tensors (TFOpLambda, SlicingOpLambda)."""
    model = build(resolve(name, 0.35, 32, 10), lowering, dropout=0.2 * (not lowering))
    kinds = {type(layer).__name__ for layer in model.layers}
    assert not {kind for kind in kinds if "Lambda" in kind}
    for layer in model.layers:
        module = type(layer).__module__
        assert module.startswith(("tf_keras", "mnv3_tf.layers")), module


def test_public_signature():
    found = inspect.signature(mnv3_tf.create_model).parameters
    defaults = {name: parameter.default for name, parameter in found.items()}
    assert list(defaults)[:5] == ["model", "width", "resolution", "num_classes", "weights"]
    assert defaults["width"] == 1.0
    assert defaults["weights"] is None


def test_logits_of_pictures():
    model = create_model("large", width=0.35, resolution=64, num_classes=7)
    assert isinstance(model, tf_keras.Model)
    assert model.input_shape == (None, 64, 64, 3)
    logits = randomise(model)(noise(3, 64)).numpy()
    assert logits.shape == (3, 7)
    assert (logits < 0).any()
    assert abs(logits.sum(-1) - 1).min() > 1e-3


def test_a_side_that_is_no_multiple_of_32():
    model = create_model("small", width=0.35, resolution=100, num_classes=4)
    assert np.isfinite(randomise(model)(noise(2, 100))).all()


def test_dropout_acts_in_training_alone():
    model = randomise(build(resolve("small", 0.35, 32, 4), dropout=0.5))
    pictures = noise(2, 32)
    np.testing.assert_array_equal(model(pictures), model(pictures))
    assert not np.array_equal(model(pictures), model(pictures, training=True))
    assert model.get_layer("dropout").rate == 0.5


def test_fresh_networks_start_with_even_answers():
    """A confident fresh network would waste its first steps on unlearning."""
    tf_keras.utils.set_random_seed(0)
    model = create_model("small", resolution=64, num_classes=10)
    logits = model(noise(8, 64), training=True).numpy()
    assert np.abs(logits - logits.mean(-1, keepdims=True)).max() < 1.5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"model": "resnet50"}, "Unknown model 'resnet50'; choose one of large, small"),
        ({"model": "small", "width": 0}, "Width multiplier 0 "),
        ({"model": "small", "width": -1.0}, "Width multiplier -1.0"),
        ({"model": "small", "resolution": 16}, "resolution is 16"),
        ({"model": "small", "num_classes": 0}, "num_classes is 0"),
        ({"model": "small", "weights": "/nowhere/w.h5"}, "/nowhere/w.h5"),
        ({"model": "nowhere.json"}, r"nowhere\.json does not exist"),
    ],
)
def test_errors(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        create_model(**arguments)


def test_weights_of_another_architecture(tmp_path):
    small = build(resolve("small", 0.35, 32, 4))
    small.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(UserError) as caught:
        create_model("large", resolution=32, num_classes=4, weights=str(tmp_path / "a.weights.h5"))
    assert "a.weights.h5" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_load_classifier_gives_the_spec_that_the_weights_need(tmp_path):
    spec = resolve("small", 0.35, 32, 4)
    model = randomise(build(spec))
    model.save_weights(tmp_path / "a.weights.h5")
    found, loaded = load_model(spec, str(tmp_path / "a.weights.h5"))
    assert found == spec
    np.testing.assert_array_equal(loaded(noise(1, 32)), model(noise(1, 32)))
    assert load_model(spec, None)[0] is spec
