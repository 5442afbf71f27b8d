import numpy as np
import pytest
import tensorflow as tf
import tiny

from mnv3_tf.models import build
from mnv3_tf.training.classification import DropPathAdd, with_drop_path


def test_whole_branches_of_single_pictures_are_left_out_and_the_rest_scaled():
    layer = DropPathAdd(0.25)
    shortcut, branch = tf.ones((4000, 2, 2, 3)), tf.fill((4000, 2, 2, 3), 6.0)
    layer.seed = tf.constant([1, 2], tf.int64)
    found = layer([shortcut, branch], training=True).numpy().reshape(4000, -1)
    assert (found == found[:, :1]).all()
    assert set(found[:, 0]) == {1.0, 1.0 + 6.0 / 0.75}
    # The expectation is the plain sum; its error over 4000 draws is 0.055.
    assert found.mean() == pytest.approx(7.0, abs=0.2)
    np.testing.assert_array_equal(layer([shortcut, branch], training=False), shortcut + branch)


def test_it_is_a_function_of_its_seed():
    layer, pictures = DropPathAdd(0.5), tf.ones((64, 1, 1, 1))

    def drawn(seed):
        layer.seed = tf.constant([0, seed], tf.int64)
        return layer([pictures, pictures], training=True).numpy().tobytes()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_network_keeps_its_weights_and_its_answers():
    blocks = tiny.CLASSIFIER.blocks
    network = build(tiny.CLASSIFIER.replace(blocks=(*blocks[:3], *blocks[2:])))
    dropped, adds = with_drop_path(network, 0.6)
    rates = [add.rate for add in adds]
    residuals = [layer.name for layer in network.layers if layer.name.endswith("_add")]
    assert [add.name for add in adds] == residuals
    assert rates == pytest.approx([0.3, 0.6])
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(network(pictures), dropped(pictures, training=False))
    assert [id(v) for v in network.variables] == [id(v) for v in dropped.variables]
