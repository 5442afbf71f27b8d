import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.data.mixing import mix

SIDE = 20
IMAGES = tf.constant(np.random.default_rng(0).uniform(-1, 1, (4, SIDE, SIDE, 3)), tf.float32)
TARGETS = tf.eye(4)


def mixed(number, mixup, cutmix, images=IMAGES):
    seed = tf.constant([5, number], tf.int64)
    return [part.numpy() for part in mix(images, TARGETS, seed, mixup, cutmix)]


def many(mixup, cutmix, count=300):
    """Pictures and targets of so many draws, by a graph."""
    seeds = tf.stack([tf.fill((count,), 5), tf.range(count)], 1)
    kinds = (tf.float32, tf.float32)
    draw = tf.function(
        lambda seeds: tf.map_fn(
            lambda seed: mix(IMAGES, TARGETS, seed, mixup, cutmix), seeds, fn_output_signature=kinds
        )
    )
    return [part.numpy() for part in draw(tf.cast(seeds, tf.int64))]


def shares(mixup, cutmix):
    return many(mixup, cutmix)[1][:, 0, 0]


def test_mixup_overlays_pictures_as_it_does_their_targets():
    for number in range(5):
        images, targets = mixed(number, 0.4, 0.0)
        share = targets[0, 0]
        assert targets[0, 3] == pytest.approx(1 - share)
        np.testing.assert_allclose(
            images, share * IMAGES + (1 - share) * IMAGES[::-1], rtol=1e-4, atol=1e-5
        )


def test_cutmix_pastes_a_window_whose_area_the_targets_have():
    for images, targets in zip(*many(0.0, 1.0, 20), strict=True):
        kept = (images == IMAGES.numpy()).all(-1)
        pasted = (images == IMAGES.numpy()[::-1]).all(-1)
        assert (kept ^ pasted).all()
        assert targets[0, 0] == pytest.approx(kept[0].mean())
        rows, columns = np.flatnonzero(pasted[0].any(1)), np.flatnonzero(pasted[0].any(0))
        assert pasted[0].sum() == len(rows) * len(columns)


def test_rows_of_targets_still_sum_to_one():
    np.testing.assert_allclose(many(0.2, 1.0, 20)[1].sum(-1), 1.0, rtol=1e-5)


def test_shares_are_drawn_from_a_beta_distribution():
    found = shares(0.4, 0.0)
    assert found.mean() == pytest.approx(0.5, abs=0.07)
    assert found.var() == pytest.approx(0.25 / 1.8, abs=0.02)  # of Beta(0.4, 0.4)
    # Where the window is cut off at the borders, more than its draw remains.
    assert 0.5 < shares(0.0, 1.0).mean() < 0.7


def test_with_both_each_batch_draws_which():
    cut = (many(1.0, 1.0, 200)[0] == IMAGES.numpy()).all(-1).any((1, 2, 3))
    assert 70 < sum(cut) < 130


def test_it_is_a_function_of_the_seed_eagerly_and_compiled():
    compiled = zip(*many(0.3, 1.0, 6), strict=True)
    eager = [mixed(number, 0.3, 1.0) for number in range(6)]
    for (images, targets), found in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(found[0], images, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[1], targets, rtol=1e-5)
    assert len({images.tobytes() for images, _ in eager}) == 6


def test_a_row_of_zeros_stays_without_weight():
    targets = tf.constant([[0.0, 0.0], [0.0, 1.0]])
    found = mix(IMAGES[:2], targets, tf.constant([1, 2], tf.int64), 1.0, 0.0)[1].numpy()
    assert found.sum() == pytest.approx(1.0)


def test_with_neither_nothing_happens():
    images, targets = mix(IMAGES, TARGETS, tf.constant([1, 2], tf.int64), 0.0, 0.0)
    assert images is IMAGES
    assert targets is TARGETS
