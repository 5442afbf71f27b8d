"""The lowered network answers as the trained one does, whatever its weights and statistics."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tf_keras
import tiny
from contracts import Network, check_layers, check_lowering
from random_network import noise, randomise, relative_error, settle

from mnv3_tf.errors import UserError
from mnv3_tf.export.convert import convert
from mnv3_tf.models import build
from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.lowering import lower_weights, lowered_model
from mnv3_tf.quantization.scheme import fake_quantized
from mnv3_tf.tasks.specs import Head, resolve_spec
from mnv3_tf.tflite.runtime import open_interpreter
from mnv3_tf.weights import collect

TINY = tiny.CLASSIFIER
VARIANTS = {  # of what no network with a name has, and the lowerings that may mistake it
    "hard_swish_everywhere": (
        TINY.with_activation("hard_swish"),
        ("fused", "composite", "equalized"),
    ),
    "swish": (TINY.with_activation("swish"), ("composite",)),
    "relu_before_block_2": (TINY.with_activation("hard_swish", 2), ("composite",)),
    "old_last_stage": (TINY.with_old_last_stage(), ("composite",)),
    # The residual then adds a tensor that is six times too large.
    "residual_of_the_stem": (TINY.with_block(0, stride=1), ("composite", "equalized")),
    "wide_stem": (TINY.with_stem(32), ("equalized",)),
    "no_squeeze_excite": (TINY.without_squeeze_excite(), ("composite",)),
    "symmetric": (TINY.replace(padding="symmetric", resolution=50), ("composite",)),
    "other_numbers": (
        TINY.replace(batch_norm_epsilon=1e-5, resolution=50, num_classes=2, gate="sigmoid"),
        ("composite",),
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(variant):
    spec, lowerings = VARIANTS[variant]
    network = Network(spec)
    check_layers(network)
    for lowering in lowerings:
        check_lowering(network, lowering)


def test_the_residual_of_the_stem_is_one():
    spec, _ = VARIANTS["residual_of_the_stem"]
    assert next(spec.placed_blocks()).residual


def test_the_stem_that_is_equalized_has_a_gate_of_its_own():
    trained = randomise(build(TINY))
    gain = np.geomspace(1, 64, TINY.stem.filters)
    lowered = lowered_model(TINY, trained, "equalized", {"conv": gain})
    plain = lowered_model(TINY, trained, "composite")
    pictures = noise(1, TINY.resolution)
    for layer, factor in (("conv", gain), ("conv_gate", 1.0)):
        found = tf_keras.Model(lowered.inputs, lowered.get_layer(layer).output)(pictures)
        expected = tf_keras.Model(plain.inputs, plain.get_layer("conv").output)(pictures)
        shift = 3.0 if layer == "conv_gate" else 0.0
        assert relative_error(expected.numpy() * factor + shift, found) <= 1e-5
    others = {layer.name for layer in lowered.layers} ^ {layer.name for layer in plain.layers}
    assert others == {"conv_gate", "conv_gate_relu6", "conv_shifted_relu6"}


def test_without_h_swish_in_the_stem_there_is_nothing_to_equalize_it_for():
    spec = tiny.SHALLOW.with_activation("hard_swish", 1)
    assert spec.stem.activation == "relu"
    equalized, composite = (build(spec, how) for how in ("equalized", "composite"))
    assert [x.name for x in equalized.layers] == [x.name for x in composite.layers]


def test_large_windows_are_averaged_alike_by_cutting_and_by_pooling(tmp_path):
    (tmp_path / "backbone.json").write_text(tiny.BACKBONE.to_json())
    head = Head("full", head_filters=16)
    spec = resolve_spec("segment", str(tmp_path / "backbone.json"), 1.0, (800, 1120), 3, head)
    network = Network(spec, count=1)
    lowered = lowered_model(spec, network.model, "composite")
    network.check_answers(lowered)
    kinds = [{type(layer).__name__ for layer in model.layers} for model in (network.model, lowered)]
    assert ["AveragePooling2D" in found for found in kinds] == [True, False]
    assert ["Cropping2D" in found for found in kinds] == [False, True]


# -- weights ---------------------------------------------------------------------------------


@cache
def weights():
    return collect(randomise(build(TINY)))


def changed(layer: str, name: str, value: np.ndarray) -> dict:
    return weights() | {layer: weights()[layer] | {name: value}}


@pytest.mark.parametrize(
    ("layer", "name", "damage"),
    [
        ("expanded_conv_2_expand_bn", "beta", np.nan),
        ("expanded_conv_2_expand", "kernel", np.inf),
        ("expanded_conv_3_squeeze_excite_conv", "bias", np.nan),
    ],
)
def test_damaged_weights_are_traced_to_their_layer(layer, name, damage):
    value = weights()[layer][name].copy()
    value.flat[3] = damage
    convolution = layer.removesuffix("_bn")
    with pytest.raises(UserError, match=f"weights of layer {convolution} are not finite"):
        lower_weights(TINY, changed(layer, name, value), "composite")


# -- a bias whose values are all the same ----------------------------------------------------


def lowered_bias(bias: list[float]) -> np.ndarray:
    """What becomes of the last layer's bias, which nothing else changes."""
    given = changed("logits", "bias", np.array(bias, np.float32))
    kernel = given["logits"]["kernel"][..., : len(bias)]
    given["logits"] = given["logits"] | {"kernel": kernel}
    return lower_weights(TINY, given, "composite")["logits"]["bias"]


@pytest.mark.parametrize(
    ("bias", "changed"), [([3, 3, 3], True), ([3, 3, 2], False), ([0, 0], False), ([3], False)]
)
def test_constant_biases_are_nudged(bias, changed):
    found = lowered_bias(bias)
    assert (len(set(found.tolist())) > len(set(bias))) == changed
    np.testing.assert_allclose(found, bias, rtol=1e-6)


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
    """When a TensorFlow mends it, this fails, and lowering need not nudge biases any more."""
    found = stored_bias(np.full(2, 3.0, np.float32), tmp_path)
    assert found == pytest.approx([3.0, 3.0 * 0.02], rel=0.01)


def test_a_bias_that_is_not_quite_constant_is_safe(tmp_path):
    found = stored_bias(lowered_bias([3.0, 3.0]), tmp_path)
    assert found == pytest.approx([3.0, 3.0], rel=0.01)


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
    spec = TINY.replace(blocks=TINY.blocks[:1], last_conv=0, hidden=0)
    pictures = noise(8, spec.resolution)
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
