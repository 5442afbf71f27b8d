"""What TensorFlow's usual conversion makes of our networks."""

import numpy as np
import pytest

from mnv3_tf.export import inspection
from mnv3_tf.export.runtime import TFLiteModel
from mnv3_tf.networks import resolve

SMALL = resolve("small", 0.35, 32, 10)
TINY = SMALL.replace(name="tiny", blocks=SMALL.blocks[:4], hidden=32)


@pytest.fixture(scope="module")
def network():
    from benchmark.settled import noise_pictures, settled_classifier

    return settled_classifier(TINY, noise_pictures(32))


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    from benchmark.settled import noise_pictures
    from benchmark.stock import convert_stock

    path = tmp_path_factory.mktemp("stock") / "stock.tflite"
    path.write_bytes(convert_stock(network, noise_pictures(32, count=16)))
    return path


def test_it_is_int8_throughout_and_every_h_swish_cuts_it(path):
    found = inspection.inspect(path)
    assert found["quantize"] == "int8"
    assert found["float_islands"] == 0
    assert (found["input"]["dtype"], found["output"]["dtype"]) == ("int8", "int8")
    # Stem, the expansion and the depthwise of the one h-swish block, and the last two layers.
    assert found["ops"]["HARD_SWISH"] == 5
    assert found["hard_swish"] == "fused"
    assert found["xnnpack"]["error"] is None
    assert found["xnnpack"]["outside"]["HARD_SWISH"] == 5
    assert found["xnnpack"]["partitions"] > 5


def test_it_answers_with_probabilities(path, network):
    from benchmark.settled import noise_pictures

    answers = TFLiteModel(path).predict(noise_pictures(32, count=3, seed=5))
    assert answers.shape == (3, 10)
    assert np.allclose(answers.sum(-1), 1, atol=0.05)
    assert inspection.inspect(path)["ops"]["SOFTMAX"] == 1


def test_or_with_logits_in_the_range_that_its_pictures_had(network, tmp_path):
    from benchmark.settled import noise_pictures
    from benchmark.stock import convert_stock

    pictures = noise_pictures(32, count=16)
    path = tmp_path / "logits.tflite"
    path.write_bytes(convert_stock(network, pictures, "logits"))
    found = inspection.inspect(path)
    assert "SOFTMAX" not in found["ops"]
    logits = network(pictures).numpy()
    width = 255 * found["output"]["scale"]
    assert width == pytest.approx(max(logits.max(), 0) - min(logits.min(), 0), rel=0.25)
