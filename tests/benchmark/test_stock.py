"""What TensorFlow's usual conversion makes of our networks."""

import numpy as np
import pytest
import tiny

from mnv3_tf.tflite import inspection
from mnv3_tf.tflite.runtime import TFLiteModel

SPEC = tiny.SHALLOW.replace(blocks=tiny.SHALLOW.blocks[1:])


@pytest.fixture(scope="module")
def pictures():
    from mnv3_tf.models.random_networks import noise_pictures

    return noise_pictures(32, count=16)


@pytest.fixture(scope="module")
def network(pictures):
    from mnv3_tf.models.random_networks import settled_classifier

    return settled_classifier(SPEC, pictures)


def test_it_is_int8_throughout_and_every_h_swish_cuts_it(network, pictures, tmp_path, capfd):
    from benchmark.stock import convert_stock
    from mnv3_tf.models.random_networks import noise_pictures

    path = tmp_path / "stock.tflite"
    path.write_bytes(convert_stock(network, pictures, "logits"))
    assert capfd.readouterr().out == ""
    found = inspection.inspect(path)
    assert found["quantize"] == "int8"
    assert found["float_islands"] == 0
    assert (found["input"]["dtype"], found["output"]["dtype"]) == ("int8", "int8")
    # Stem, the expansion and the depthwise of the one block, and the last two layers.
    assert found["ops"]["HARD_SWISH"] == 5
    assert "SOFTMAX" not in found["ops"]
    assert found["hard_swish"] == "fused"
    assert found["xnnpack"]["error"] is None
    assert found["xnnpack"]["outside"]["HARD_SWISH"] == 5
    assert found["xnnpack"]["partitions"] > 5
    # Logits have the range that the pictures gave them.
    logits = network(pictures).numpy()
    width = 255 * found["output"]["scale"]
    assert width == pytest.approx(max(logits.max(), 0) - min(logits.min(), 0), rel=0.25)
    shown = noise_pictures(32, count=3, seed=5)
    answers = TFLiteModel(path).predict(shown)
    assert np.allclose(answers, network(shown), atol=0.2 * np.ptp(logits))


def test_what_is_converted_gives_probabilities(network, pictures, monkeypatch):
    import tensorflow as tf

    from benchmark.stock import convert_stock

    class Given(Exception):
        pass

    def convert(model):
        raise Given(model)

    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_keras_model", convert)
    with pytest.raises(Given) as caught:
        convert_stock(network, pictures)
    powers = np.exp(network(pictures).numpy())
    (given,) = caught.value.args
    np.testing.assert_allclose(given(pictures), powers / powers.sum(-1, keepdims=True), atol=1e-5)
