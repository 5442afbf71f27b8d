"""Why ranges travel in fake-quant nodes: what TensorFlow's own calibrator makes of them.

It gives a tensor that an ADD or MUL reads last the range of that operator's output. When a
TensorFlow mends it, the tests of this file fail, and `export.convert` may say so.
"""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mnv3_tf.export.runtime import open_interpreter

L = tf_keras.layers
PICTURES = np.random.default_rng(0).uniform(-1, 1, (32, 8, 8, 3)).astype(np.float32)


def network(kind: str, read_again: bool) -> tf_keras.Model:
    """A gate in [0, 6], and a branch in [-100, 100] that is added to it or multiplied by it."""
    x = tf_keras.Input((8, 8, 3), batch_size=1, name="image")
    branch = L.Conv2D(4, 1, name="branch")(x)
    gate = L.ReLU(6.0, name="gate")(L.Conv2D(4, 1, name="gate_conv")(x))
    join = L.Multiply if kind == "MUL" else L.Add
    # An operator is only computed in the place of its input where another reads its output.
    outputs = [L.Conv2D(4, 1, name="last")(join(name="join")([gate, branch]))]
    if read_again:
        outputs.append(L.Conv2D(4, 1, name="later")(gate))
    model = tf_keras.Model(x, outputs)
    rng = np.random.default_rng(1)
    for name, size, bias in (("branch", 50.0, 0.0), ("gate_conv", 3.0, 3.0)):
        kernel = rng.uniform(-1, 1, (1, 1, 3, 4)) * size
        model.get_layer(name).set_weights([kernel, np.full(4, bias)])
    return model


def found_range(model: tf_keras.Model, operator: str, folder: Any) -> tuple[float, float]:
    """Width of the gate's tensor in the int8 file, and that of the operator's output."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture[None]] for picture in PICTURES)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    (folder / "m.tflite").write_bytes(converter.convert())
    interpreter = open_interpreter(folder / "m.tflite", delegate=False)
    interpreter.allocate_tensors()
    scales = {t["index"]: t["quantization"][0] for t in interpreter.get_tensor_details()}
    names = {t["index"]: t["name"] for t in interpreter.get_tensor_details()}
    join = next(op for op in interpreter._get_ops_details() if op["op_name"] == operator)
    gate = next(i for i in join["inputs"] if "gate" in names[int(i)])
    return 255 * scales[int(gate)], 255 * scales[int(join["outputs"][0])]


@pytest.mark.parametrize("operator", ["ADD", "MUL"])
def test_a_tensor_that_is_read_last_by(operator, tmp_path, capfd):
    gate, joined = found_range(network(operator, read_again=False), operator, tmp_path)
    assert joined > 50
    assert gate == pytest.approx(joined, rel=0.01)  # and not 6


@pytest.mark.parametrize("operator", ["ADD", "MUL"])
def test_a_later_reader_restores_the_range(operator, tmp_path, capfd):
    """So that it is the reader, and nothing else, that spoils it."""
    gate, joined = found_range(network(operator, read_again=True), operator, tmp_path)
    assert joined > 50
    assert gate == pytest.approx(6, rel=0.05)
