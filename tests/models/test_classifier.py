"""Models by name, and how they begin; what holds of every network is among the contracts."""

import inspect

import numpy as np
import pytest
import tf_keras
import tiny
from random_network import noise, randomise
from refusals import refused

import mnv3_tf
from mnv3_tf import create_model
from mnv3_tf.models import build, load_model


def test_public_signature():
    found = inspect.signature(mnv3_tf.create_model).parameters
    defaults = {name: parameter.default for name, parameter in found.items()}
    assert defaults == {
        "model": "large",
        "width": 1.0,
        "resolution": None,
        "num_classes": None,
        "weights": None,
        "dropout": 0.0,
        "input_range": None,
    }


def test_a_model_of_a_spec_file(tmp_path):
    """Logits of pictures, with every argument."""
    spec, weights = tiny.SHALLOW, tmp_path / "a.weights.h5"
    (tmp_path / "a.json").write_text(spec.to_json())
    wide = spec.with_width(1.5).replace(resolution=48, num_classes=7)
    trained = randomise(build(wide))
    trained.save_weights(weights)
    model = create_model(str(tmp_path / "a.json"), 1.5, 48, 7, str(weights), 0.3)
    assert isinstance(model, tf_keras.Model)
    assert model.input_shape == (None, 48, 48, 3)
    assert model.name == "shallow_1_5"
    assert model.get_layer("dropout").rate == 0.3
    logits = model(noise(3, 48)).numpy()
    np.testing.assert_array_equal(logits, trained(noise(3, 48)))
    assert logits.shape == (3, 7)
    assert (logits < 0).any()
    assert abs(logits.sum(-1) - 1).min() > 1e-3


def test_dropout_acts_in_training_alone():
    model = randomise(build(tiny.SHALLOW, dropout=0.5))
    pictures = noise(2, 32)
    np.testing.assert_array_equal(model(pictures), model(pictures))
    assert not np.array_equal(model(pictures), model(pictures, training=True))
    assert model.get_layer("dropout").rate == 0.5
    assert "dropout" not in {layer.name for layer in build(tiny.SHALLOW).layers}


def test_without_weights_a_network_is_fresh():
    spec, model = load_model(tiny.SHALLOW, None, dropout=0.25)
    assert spec is tiny.SHALLOW
    assert model.get_layer("dropout").rate == 0.25


def test_fresh_networks_start_with_even_answers():
    """A confident fresh network would waste its first steps on unlearning."""
    tf_keras.utils.set_random_seed(0)
    model = build(tiny.CLASSIFIER.replace(num_classes=50, hidden=256))
    logits = model(noise(8, 32), training=True).numpy()
    assert np.abs(logits - logits.mean(-1, keepdims=True)).max() < 1.5
    assert spread(model, "logits") == pytest.approx(0.01, rel=0.05)
    # He et al. 2015, by what reads the filters.
    assert spread(model, "conv_2") == pytest.approx(np.sqrt(2 / 256), rel=0.05)
    assert spread(model, "expanded_conv_2_expand") == pytest.approx(np.sqrt(2 / 64), rel=0.1)
    assert spread(model, "expanded_conv_3_depthwise") == pytest.approx(np.sqrt(2 / 25), rel=0.1)
    assert {float(np.abs(layer.bias).max()) for layer in model.layers if biased(layer)} == {0.0}


def biased(layer) -> bool:
    return getattr(layer, "bias", None) is not None


def spread(model, layer: str) -> float:
    return float(np.std(model.get_layer(layer).get_weights()[0]))


def test_fresh_detectors_think_objects_rare():
    tf_keras.utils.set_random_seed(0)
    model = build(tiny.DETECTOR)
    _, logits = model(noise(2, 64), training=False)
    assert np.mean(1 / (1 + np.exp(-np.asarray(logits)))) == pytest.approx(0.01, rel=0.5)
    assert spread(model, "class_0") == pytest.approx(0.03, rel=0.1)
    assert spread(model, "box_0") == pytest.approx(0.03, rel=0.1)
    biases = {name: model.get_layer(name).bias.numpy() for name in ("class_0", "box_0")}
    np.testing.assert_allclose(biases["class_0"], -np.log(99), rtol=1e-5)
    assert not biases["box_0"].any()


def test_fresh_segmentation_networks_start_with_even_answers():
    tf_keras.utils.set_random_seed(0)
    model = build(tiny.SEGMENTER)
    for layer in ("logits", "skip_logits"):
        assert spread(model, layer) == pytest.approx(0.01, rel=0.35)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"model": "resnet50"}, "Unknown model 'resnet50'; choose one of large, small"),
        ({"model": "small", "width": 0}, "Width multiplier 0 "),
        ({"model": "small", "width": -1.0}, "Width multiplier -1.0"),
        ({"model": "small", "resolution": 16}, "resolution is 16"),
        ({"model": "small", "num_classes": 0}, "num_classes is 0"),
        ({"model": "small", "weights": "/nowhere/w.h5"}, "/nowhere/w.h5"),
        ({"model": "nowhere.json"}, "nowhere.json does not exist"),
    ],
)
def test_errors(arguments, named):
    with refused(named):
        create_model(**arguments)
