"""The lowered network answers as the trained one does, whatever its weights and statistics."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from random_network import noise, randomise, relative_error, settle

from mnv3_tf.errors import UserError
from mnv3_tf.export.convert import convert
from mnv3_tf.export.lowering import _not_constant, lower_weights, lowered_model
from mnv3_tf.export.runtime import open_interpreter
from mnv3_tf.models import build
from mnv3_tf.networks import NETWORKS, resolve
from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.equalization import _scalable_tensors
from mnv3_tf.quantization.scheme import fake_quantized
from mnv3_tf.spec import NetworkSpec
from mnv3_tf.weights import collect

LOWERINGS = pytest.mark.parametrize("lowering", ["fused", "composite", "equalized"])
SIDE = 64


def check(spec: NetworkSpec, lowering: str) -> None:
    pictures = noise(4, spec.resolution)
    trained = settle(randomise(build(spec)), pictures)
    lowered = lowered_model(spec, trained, lowering)
    assert not [layer for layer in lowered.layers if "batch_norm" in layer.name]
    expected = trained(pictures).numpy()
    assert np.ptp(expected) > 0.1
    assert relative_error(expected, lowered(pictures)) <= 1e-4


@LOWERINGS
@pytest.mark.parametrize("name", NETWORKS)
def test_same_logits(name, lowering):
    check(resolve(name, 0.35, SIDE, 10), lowering)


VARIANTS = {
    "hard_swish_everywhere": lambda spec: spec.with_activation("hard_swish"),
    "swish": lambda spec: spec.with_activation("swish"),
    "relu6": lambda spec: spec.with_activation("relu6"),
    "hard_swish_from_block_8": lambda spec: spec.with_activation("hard_swish", 8),
    "old_last_stage": lambda spec: spec.with_old_last_stage(),
    "wide_stem": lambda spec: spec.with_stem(32),
    "symmetric": lambda spec: spec.replace(padding="symmetric"),
    "sigmoid_gate": lambda spec: spec.replace(gate="sigmoid"),
    "other_epsilon": lambda spec: spec.replace(batch_norm_epsilon=1e-5),
    "odd_side": lambda spec: spec.replace(resolution=100),
    "two_classes": lambda spec: spec.replace(num_classes=2),
    "hard_swish_residual_of_the_stem": lambda spec: spec.with_block(0, stride=1),
}


@LOWERINGS
@pytest.mark.parametrize("variant", VARIANTS)
def test_same_logits_of_variants(variant, lowering):
    spec = VARIANTS[variant](resolve("small", 0.35, SIDE, 10))
    if variant == "hard_swish_residual_of_the_stem":
        # The residual then adds a tensor that is six times too large.
        assert next(spec.placed_blocks()).residual
    check(spec, lowering)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lowering"), zip(NETWORKS, itertools.cycle(["fused", "composite", "equalized"]))
)
def test_same_logits_at_full_size(name, lowering):
    check(resolve(name), lowering)


# -- channels scaled each by itself ----------------------------------------------------------


@pytest.mark.parametrize("lowering", ["composite", "equalized"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gains_of_channels_keep_the_logits(name, lowering):
    """Whatever the gains: of the stem, expansions, depthwise convolutions and bottlenecks."""
    spec, pictures = resolve(name, 0.35, SIDE, 10), noise(4, SIDE)
    trained = settle(randomise(build(spec)), pictures)
    plain = lowered_model(spec, trained, lowering)
    rng = np.random.default_rng(3)
    gains = {
        convolution: np.exp(
            rng.uniform(0, np.log(64), plain.get_layer(convolution).output.shape[-1])
        )
        for convolution, _ in _scalable_tensors(spec, lowering)
    }
    scaled = lowered_model(spec, trained, lowering, gains)
    expected = trained(pictures).numpy()
    assert np.ptp(expected) > 0.1
    assert relative_error(expected, scaled(pictures)) <= 1e-4
    for convolution, gain in gains.items():
        # It is this very convolution that they scale, by so much, whatever feeds it.
        bias = plain.get_layer(convolution).bias.numpy()
        np.testing.assert_allclose(scaled.get_layer(convolution).bias, bias * gain, rtol=1e-5)


@pytest.mark.parametrize("name", ["small", "large"])
def test_the_stem_that_is_equalized_has_a_gate_of_its_own(name):
    spec = resolve(name, 0.35, SIDE, 10)
    trained = randomise(build(spec))
    filters = spec.stem.filters
    gain = np.geomspace(1, 64, filters)
    lowered = lowered_model(spec, trained, "equalized", {"conv": gain})
    plain = lowered_model(spec, trained, "composite")
    for layer, factor in (("conv", gain), ("conv_gate", 1.0)):
        found = tf_keras.Model(lowered.inputs, lowered.get_layer(layer).output)(noise(1, SIDE))
        expected = tf_keras.Model(plain.inputs, plain.get_layer("conv").output)(noise(1, SIDE))
        shift = 3.0 if layer == "conv_gate" else 0.0
        assert relative_error(expected.numpy() * factor + shift, found) <= 1e-5
    others = {layer.name for layer in lowered.layers} ^ {layer.name for layer in plain.layers}
    assert others == {"conv_gate", "conv_gate_relu6", "conv_shifted_relu6"}


@pytest.mark.parametrize("name", ["v2", "mnasnet_a1", "small_minimalistic"])
def test_without_h_swish_in_the_stem_there_is_nothing_to_equalize_it_for(name):
    spec = resolve(name, 0.35, SIDE, 10)
    equalized, composite = (build(spec, how) for how in ("equalized", "composite"))
    assert [x.name for x in equalized.layers] == [x.name for x in composite.layers]


def test_the_trained_network_is_left_as_it_was():
    spec = resolve("small", 0.35, 32, 4)
    trained = randomise(build(spec))
    before = [value.copy() for value in trained.get_weights()]
    lower_weights(spec, collect(trained), "composite")
    for value, kept in zip(trained.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, kept)


@pytest.mark.parametrize("damage", [np.nan, np.inf])
def test_damaged_weights_are_traced_to_their_layer(damage):
    spec = resolve("small", 0.35, 32, 4)
    weights = collect(randomise(build(spec)))
    weights["expanded_conv_2_expand_bn"]["beta"][3] = damage
    with pytest.raises(UserError, match="weights of layer expanded_conv_2_expand are not finite"):
        lower_weights(spec, weights, "composite")


# -- a bias whose values are all the same ----------------------------------------------------


def stored_bias(bias: np.ndarray, folder: Path) -> np.ndarray:
    """The bias of a convolution with unlike channels, as the int8 kernels will read it."""
    x = tf_keras.Input((4, 4, 3))
    y = tf_keras.layers.Activation("linear", name="input")(x)
    y = tf_keras.layers.Conv2D(2, 1, name="conv")(y)
    model = tf_keras.Model(x, y)
    kernel = np.array([[1.0, 0.01], [0.5, 0.02], [-1.0, 0.01]], np.float32)[None, None]
    model.get_layer("conv").set_weights([kernel, bias])
    quantized = fake_quantized(model, {"input": (-1.0, 1.0), "conv": (-6.0, 6.0)})
    (folder / "toy.tflite").write_bytes(convert(quantized, "int8", "int8", "logits"))
    interpreter = open_interpreter(folder / "toy.tflite", delegate=False)
    interpreter.allocate_tensors()
    operator = next(op for op in interpreter._get_ops_details() if op["op_name"] == "CONV_2D")
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    source, kernel, stored = (details[int(index)] for index in operator["inputs"][:3])
    # The kernels take one scale per channel, whatever the file says of the bias.
    scales = source["quantization"][0] * kernel["quantization_parameters"]["scales"]
    return interpreter.get_tensor(stored["index"]) * scales


def test_the_converter_still_mistakes_a_constant_bias(tmp_path):
    """When a TensorFlow mends it, this fails, and `lowering._not_constant` can go."""
    found = stored_bias(np.full(2, 3.0, np.float32), tmp_path)
    assert found == pytest.approx([3.0, 3.0 * 0.02], rel=0.01)


def test_a_bias_that_is_not_quite_constant_is_safe(tmp_path):
    found = stored_bias(_not_constant(np.full(2, 3.0, np.float32)), tmp_path)
    assert found == pytest.approx([3.0, 3.0], rel=0.01)


@pytest.mark.parametrize(
    ("bias", "changed"), [([3, 3, 3], True), ([3, 3, 2], False), ([0, 0], False), ([3], False)]
)
def test_constant_biases_are_nudged(bias, changed):
    given = np.array(bias, np.float32)
    found = _not_constant(given.copy())
    assert (len(set(found.tolist())) > len(set(bias))) == changed
    np.testing.assert_allclose(found, given, rtol=1e-6)


def gates(path, layer: str, pictures: np.ndarray) -> np.ndarray:
    interpreter = open_interpreter(path, delegate=False, keep_tensors=True)
    interpreter.allocate_tensors()
    wanted = next(
        tensor
        for operator in interpreter._get_ops_details()
        for tensor in interpreter.get_tensor_details()
        if tensor["index"] in operator["outputs"] and layer in tensor["name"].split(";")[0]
    )
    source = interpreter.get_input_details()[0]
    found = []
    for picture in pictures:
        interpreter.set_tensor(source["index"], picture[None])
        interpreter.invoke()
        scale, zero = wanted["quantization"]
        found.append((interpreter.get_tensor(wanted["index"]).astype(np.float32) - zero) * scale)
    return np.concatenate(found)


def test_the_gates_of_a_fresh_network_survive_int8(tmp_path):
    """A fresh bias is zero, so that the +3 of the hard sigmoid makes it constant."""
    tf_keras.utils.set_random_seed(0)
    spec = resolve("small", 0.35, SIDE, 10)
    spec = spec.replace(blocks=spec.blocks[:1])
    pictures = noise(16, SIDE)
    trained = settle(build(spec), pictures)
    name = "expanded_conv_squeeze_excite_conv_1"
    assert not trained.get_layer(name).bias.numpy().any()
    lowered = lowered_model(spec, trained, "composite")
    quantized = fake_quantized(lowered, calibrate(lowered, pictures))
    path = tmp_path / "m.tflite"
    path.write_bytes(convert(quantized, "int8", "float32"))
    layer = f"quant_{name}_relu6"
    tapped = tf_keras.Model(quantized.inputs, quantized.get_layer(layer).output)
    expected = tapped(pictures).numpy()
    assert np.ptp(expected) > 0.05
    found = gates(path, layer, pictures)
    # A step is 1/255 of at most 6; the mean before it may be off by one step of its own.
    assert np.abs(found - expected).max() <= 0.1
