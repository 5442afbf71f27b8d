import math

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.segmentation import segmentation_loss

modes = pytest.mark.parametrize("mode", [lambda f: f, tf.function], ids=["eager", "graph"])


def batch(seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (2, 5, 6)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.3] = 255
    return rng.normal(0, 3, (2, 5, 6, 4)).astype(np.float32), labels


@modes
def test_it_is_what_loops_say(mode):
    logits, labels = batch()
    losses = []
    for place in np.ndindex(labels.shape):
        if labels[place] != 255:
            scores = logits[place].astype(float)
            losses.append(math.log(sum(map(math.exp, scores))) - scores[labels[place]])
    found = mode(segmentation_loss)(logits, labels)
    assert found.dtype == tf.float32
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


def test_ignored_pixels_teach_nothing():
    logits, labels = batch()
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = segmentation_loss(variable, labels)
    taught = tape.gradient(loss, variable).numpy().any(-1)
    np.testing.assert_array_equal(taught, labels != 255)


def test_nothing_but_ignored_pixels():
    logits, labels = batch()
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = segmentation_loss(variable, np.full_like(labels, 255))
    assert float(loss) == 0
    assert not tape.gradient(loss, variable).numpy().any()


@modes
def test_logits_of_another_size(mode):
    logits, labels = batch()
    with pytest.raises(ValueError, match=r"\(2, 5, 3, 4\)"):
        mode(segmentation_loss)(tf.constant(logits[:, :, :3]), tf.constant(labels))


def test_logits_of_another_size_known_late():
    logits, labels = batch()
    unknown = [tf.TensorSpec([None] * 3 + [4], tf.float32), tf.TensorSpec([None] * 3, tf.uint8)]
    late = tf.function(segmentation_loss, input_signature=unknown)
    assert float(late(logits, labels)) > 0
    with pytest.raises(tf.errors.InvalidArgumentError, match="size of the labels"):
        late(logits[:, :, :3], labels)
