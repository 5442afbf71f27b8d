"""The hard activations against numpy, before and after conversion."""

import numpy as np
import pytest
import tf_keras

from mnv3_tf.layers import HardSigmoid, HardSwish, ShiftedReLU6

X = np.linspace(-8, 8, 97, dtype=np.float32)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (HardSigmoid(), np.clip(X + 3, 0, 6) / 6),
        (HardSwish(), X * np.clip(X + 3, 0, 6) / 6),
        (ShiftedReLU6(), np.clip(X + 3, 0, 6)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values(layer, expected):
    np.testing.assert_allclose(layer(X), expected, rtol=1e-6, atol=1e-6)


def test_corners():
    assert HardSwish()(np.float32([-3, -100, 0, 3, 100])).numpy().tolist() == [0, 0, 0, 3, 100]
    assert HardSigmoid()(np.float32([-3, 0, 3])).numpy() == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize("layer", [HardSigmoid, HardSwish, ShiftedReLU6])
def test_a_model_with_them_can_be_saved_and_read(layer, tmp_path):
    inputs = tf_keras.Input((4,))
    model = tf_keras.Model(inputs, layer(name="a")(inputs))
    model.save(tmp_path / "m.keras")
    again = tf_keras.models.load_model(tmp_path / "m.keras")
    assert type(again.get_layer("a")) is layer
    np.testing.assert_array_equal(again(X[:4][None]), model(X[:4][None]))
