"""Why ranges travel in fake-quant nodes: what TensorFlow's own calibrator makes of them.

It gives a tensor that an ADD or MUL reads last the range of that operator's output. When a
TensorFlow mends it, the tests of this file fail, and `export.convert` may say so.
"""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mnv3_tf.tflite.runtime import open_interpreter

L = tf_keras.layers
PICTURES = np.random.default_rng(0).uniform(-1, 1, (32, 8, 8, 3)).astype(np.float32)


def network() -> tf_keras.Model:
    """Gates in [0, 6], and a branch in [-100, 100] that is added to them or multiplied by them."""
    x = tf_keras.Input((8, 8, 3), batch_size=1, name="image")
    branch = L.Conv2D(4, 1, name="branch")(x)
    outputs = []
    for name, join in (("add", L.Add), ("mul", L.Multiply)):
        for read_again in (False, True):
            end = "again" if read_again else "last"
            gate = L.ReLU(6.0, name=f"{name}_{end}")(L.Conv2D(4, 1, name=f"{name}_{end}_conv")(x))
            joined = join(name=f"{name}_{end}_join")([gate, branch])
            # An operator is only computed in the place of its input where another reads its output.
            outputs.append(L.Conv2D(4, 1)(joined))
            if read_again:
                outputs.append(L.Conv2D(4, 1)(gate))
    model = tf_keras.Model(x, outputs)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if layer.name == "branch" or layer.name.endswith("_conv"):
            size, bias = (50.0, 0.0) if layer.name == "branch" else (3.0, 3.0)
            layer.set_weights([rng.uniform(-1, 1, (1, 1, 3, 4)) * size, np.full(4, bias)])
    return model


@pytest.fixture(scope="module")
def widths(tmp_path_factory) -> dict[str, tuple[float, float]]:
    """By gate: width of its tensor in the int8 file, and of the output of what joins it."""
    converter = tf.lite.TFLiteConverter.from_keras_model(network())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture[None]] for picture in PICTURES)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    path = tmp_path_factory.mktemp("calibrator") / "m.tflite"
    path.write_bytes(converter.convert())
    interpreter = open_interpreter(path, delegate=False)
    interpreter.allocate_tensors()
    details = interpreter.get_tensor_details()
    found = {}
    for gate in ("add_last", "add_again", "mul_last", "mul_again"):
        both = [
            255 * next(t["quantization"][0] for t in details if f"/{name}/" in t["name"])
            for name in (gate, f"{gate}_join")
        ]
        found[gate] = both[0], both[1]
    return found


@pytest.mark.parametrize("join", ["add", "mul"])
def test_a_tensor_that_is_read_last_by(join, widths):
    gate, joined = widths[f"{join}_last"]
    assert joined > 50
    assert gate == pytest.approx(joined, rel=0.01)  # and not 6


@pytest.mark.parametrize("join", ["add", "mul"])
def test_a_later_reader_restores_the_range(join, widths):
    """So that it is the reader, and nothing else, that spoils it."""
    gate, joined = widths[f"{join}_again"]
    assert joined > 50
    assert gate == pytest.approx(6, rel=0.05)
