"""Augmentations are pure functions of a picture and a seed."""

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.data.augment import (
    Augmentation,
    jitter_color,
    random_erasing,
    random_flip,
    random_window,
    training_view,
)

STRONG = Augmentation(brightness=0.4, contrast=0.4, saturation=0.4, erase=0.5)
PLAIN = Augmentation()


def seeds(count):
    return tf.stack([tf.zeros(count, tf.int64), tf.range(count, dtype=tf.int64)], 1)


def drawn(draw, count, dtype=tf.float32):
    """What `draw` makes of so many seeds, by a graph."""
    every = tf.function(lambda: tf.map_fn(draw, seeds(count), fn_output_signature=dtype))
    return every().numpy()


def windows(shape, count=1000, **how):
    how = Augmentation(**how)
    return drawn(
        lambda seed: random_window(tf.constant(shape), seed, how.crop_scale, how.crop_ratio),
        count,
        tf.int32,
    )


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (1, 1), (5, 400), (400, 5)])
def test_windows_lie_within_the_picture(shape):
    top, left, height, width = windows(shape, 300).T
    assert min(top.min(), left.min()) >= 0
    assert min(height.min(), width.min()) >= 1
    assert (top + height).max() <= shape[0]
    assert (left + width).max() <= shape[1]


def test_windows_have_the_area_and_ratio_asked_for():
    top, left, height, width = windows((600, 600), crop_scale=(0.1, 0.5)).T
    area, ratio = height * width / 600**2, width / height
    assert 0.1 - 0.01 <= area.min() < 0.12
    assert 0.48 < area.max() <= 0.5 + 0.01
    mean = (0.1 + (0.1 * 0.5) ** 0.5 + 0.5) / 3  # of a square whose side is uniform
    assert area.mean() == pytest.approx(mean, abs=0.015)
    assert ratio.min() == pytest.approx(3 / 4, abs=0.02)
    assert ratio.max() == pytest.approx(4 / 3, abs=0.03)
    assert ratio.mean() == pytest.approx((3 / 4 + 4 / 3) / 2, abs=0.03)  # uniform
    assert (top / (600 - height)).mean() == pytest.approx(0.5, abs=0.04)
    assert (left / (600 - width)).mean() == pytest.approx(0.5, abs=0.04)
    assert top.min() == 0 or left.min() == 0 or (left + width).max() == 600


def test_where_nothing_fits_the_window_is_the_whole_picture():
    found = windows((10, 400), 20, crop_scale=(0.9, 1.0))
    np.testing.assert_array_equal(found, [[0, 0, 10, 400]] * 20)


def test_the_whole_picture_can_be_asked_for():
    found = windows((64, 64), 20, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    np.testing.assert_array_equal(found, [[0, 0, 64, 64]] * 20)


def test_a_flip_mirrors_left_and_right_half_of_the_time(make_photo):
    picture = make_photo()
    flipped = drawn(lambda seed: random_flip(tf.constant(picture), seed), 200, tf.uint8)
    mirrored = [np.array_equal(one, picture[:, ::-1]) for one in flipped]
    assert all(m or np.array_equal(f, picture) for m, f in zip(mirrored, flipped, strict=True))
    assert 70 < sum(mirrored) < 130


def test_colour_strength_zero_changes_nothing(make_photo):
    picture = tf.constant(make_photo() / 127.5 - 1, tf.float32)
    np.testing.assert_array_equal(jitter_color(picture, seeds(1)[0], 0.0, 0.0, 0.0), picture)


@pytest.mark.parametrize("which", range(3))
def test_each_colour_change_does_what_its_name_says(make_photo, which):
    picture = tf.constant(make_photo() / 255 * 0.4 - 0.2, tf.float32)  # far from clipping
    strengths = np.eye(3)[which] * 0.3
    changed = drawn(lambda seed: jitter_color(picture, seed, *strengths), 50)
    unit, changed = (picture.numpy() + 1) / 2, (changed + 1) / 2
    gray = tf.image.rgb_to_grayscale(unit).numpy()
    base = [0.0, gray.mean(), gray][which]
    factors = ((changed - base) * (unit - base)).sum((1, 2, 3)) / ((unit - base) ** 2).sum()
    assert 0.7 <= factors.min() < 0.8
    assert 1.2 < factors.max() <= 1.3
    np.testing.assert_allclose(
        changed, base + (unit - base) * factors[:, None, None, None], atol=2e-5
    )


def test_erasing_fills_windows_of_the_size_that_it_says():
    picture = tf.fill((60, 80, 3), 2.0)
    found = drawn(lambda seed: random_erasing(picture, seed, 0.5), 300)
    erased = (found < 2.0).all(-1)
    assert erased[(found < 2.0).any(-1)].all()
    parts = erased.mean((1, 2))
    assert 0.4 < np.mean(parts > 0) < 0.6
    parts = parts[parts > 0]
    assert 0.01 < parts.min() < 0.06
    assert 0.28 < parts.max() < 0.35
    for mask in erased[:50]:
        rows, columns = mask.any(1), mask.any(0)
        assert mask.sum() == rows.sum() * columns.sum()  # a rectangle
    noise = found[found < 2.0]
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(3**-0.5, abs=0.01)


@pytest.mark.parametrize(("form", "how"), [("JPEG", STRONG), ("PNG", PLAIN)])
def test_a_view_is_the_same_eagerly_and_in_a_pipeline(make_photo, encode_photo, form, how):
    pixels = make_photo(1)
    content = tf.constant(encode_photo(pixels, form))
    eager = [training_view(content, 32, seed, how).numpy() for seed in seeds(4)]
    graph = tf.data.Dataset.from_tensor_slices(seeds(4)).map(
        lambda seed: training_view(content, 32, seed, how)
    )
    for one, other in zip(eager, graph, strict=True):
        # The graph may fuse operations: equal up to rounding, of a few pixels to the next value.
        assert np.mean(np.abs(one - other) > 1e-4) < 0.01
        np.testing.assert_allclose(one, other, atol=0.1)
        assert one.shape == (32, 32, 3)
        assert one.dtype == np.float32
        assert -1 <= one.min() < one.max() <= 1 + 1e-6
    assert len({one.tobytes() for one in eager}) == 4


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"flip": True},
        {"crop_scale": (0.1, 0.5)},
        {"crop_scale": (0.1, 1.0), "crop_ratio": (1.9, 2.0)},
        {"brightness": 0.4},
        {"contrast": 0.4},
        {"saturation": 0.4},
        {"randaugment_layers": 1},
        {"erase": 1.0},
    ],
    ids=lambda more: "-".join(more) or "nothing",
)
def test_a_view_has_the_changes_that_are_asked_for(make_photo, more):
    pixels = make_photo(1, 32, 32)
    how = Augmentation(**{"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": False} | more)
    found = [training_view(tf.constant(pixels), 32, seed, how).numpy() for seed in seeds(4)]
    still = [np.allclose(one, pixels / 127.5 - 1, atol=1e-6) for one in found]
    assert all(still) == (not more)


def test_randaugment_has_its_magnitude(make_photo):
    """Without strength but two operations change nothing."""
    pixels = make_photo(1, 32, 32)
    views = [
        [
            training_view(
                tf.constant(pixels),
                32,
                seed,
                Augmentation((1.0, 1.0), (1.0, 1.0), False, 0, 0, 0, 1, magnitude),
            ).numpy()
            for seed in seeds(8)
        ]
        for magnitude in (0.0, 10.0)
    ]
    still = [sum(np.allclose(one, pixels / 127.5 - 1, atol=1e-6) for one in of) for of in views]
    assert still[0] > 4 > still[1]


def test_the_defaults_are_those_of_imagenet():
    expected = Augmentation((0.08, 1.0), (3 / 4, 4 / 3), True, 0.0, 0.0, 0.0, 0, 9.0, 0.0)
    assert expected == Augmentation()


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop_scale": (0.0, 1.0)},
        {"crop_scale": (0.5, 0.2)},
        {"crop_scale": (0.5, 1.2)},
        {"crop_ratio": (2.0, 1.0)},
        {"brightness": 1.5},
        {"saturation": -0.1},
        {"erase": 1.1},
        {"randaugment_layers": -1},
        {"randaugment_magnitude": 11.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)
