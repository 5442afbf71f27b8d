"""RandAugment's operations are Pillow's."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from mnv3_tf.data import rand_augment as ours


@pytest.fixture
def pixels(make_photo):
    noise = np.random.default_rng(1).integers(-20, 20, (40, 50, 3))
    return np.clip(make_photo(3) + noise, 10, 240).astype(np.uint8)


def run(name, pixels, strength):
    picture = tf.constant(pixels, tf.float32)
    return ours.OPERATIONS[name](picture, tf.constant(strength, tf.float32)).numpy()


def moved(pixels, strength, matrix):
    """Pillow's affine map about the centre; `matrix` maps output to input places."""
    (xx, xy), (yx, yy) = matrix(strength)
    height, width = pixels.shape[:2]
    cx, cy = width / 2, height / 2
    data = (xx, xy, cx - xx * cx - xy * cy, yx, yy, cy - yx * cx - yy * cy)
    image = Image.fromarray(pixels)
    return image.transform(image.size, Image.Transform.AFFINE, data, fillcolor=(128,) * 3)


def turned(strength):
    angle = np.deg2rad(30 * strength)
    return (np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))


PILLOW = {
    "autocontrast": lambda p, s: ImageOps.autocontrast(Image.fromarray(p)),
    "equalize": lambda p, s: ImageOps.equalize(Image.fromarray(p)),
    "solarize": lambda p, s: ImageOps.solarize(Image.fromarray(p), 256 * (1 - abs(s))),
    "posterize": lambda p, s: ImageOps.posterize(Image.fromarray(p), 8 - round(4 * abs(s))),
    "brightness": lambda p, s: ImageEnhance.Brightness(Image.fromarray(p)).enhance(1 + 0.9 * s),
    "contrast": lambda p, s: ImageEnhance.Contrast(Image.fromarray(p)).enhance(1 + 0.9 * s),
    "color": lambda p, s: ImageEnhance.Color(Image.fromarray(p)).enhance(1 + 0.9 * s),
    "sharpness": lambda p, s: ImageEnhance.Sharpness(Image.fromarray(p)).enhance(1 + 0.9 * s),
    "rotate": lambda p, s: moved(p, s, turned),
    "shear_x": lambda p, s: moved(p, s, lambda s: ((1, 0.3 * s), (0, 1))),
    "shear_y": lambda p, s: moved(p, s, lambda s: ((1, 0), (0.3 * s, 1))),
}


@pytest.mark.parametrize("strength", [-0.9, -0.5, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", PILLOW)
def test_an_operation_is_pillows(pixels, name, strength):
    found, wanted = run(name, pixels, strength), np.asarray(PILLOW[name](pixels, strength), float)
    # Rounding may differ by one value, and the nearest of two equally near pixels too.
    assert np.mean(np.abs(found - wanted) > 1) < 0.01
    assert found.shape == wanted.shape


@pytest.mark.parametrize(("name", "axis", "far"), [("translate_x", 1, 50), ("translate_y", 0, 40)])
def test_a_translation_moves_by_a_part_of_the_side(pixels, name, axis, far):
    shift = round(0.45 * 0.4 * far)
    found = np.moveaxis(run(name, pixels, 0.4), axis, 0)
    was = np.moveaxis(pixels, axis, 0)
    np.testing.assert_array_equal(found[:-shift], was[shift:])
    assert (found[-shift:] == ours.FILL).all()


@pytest.mark.parametrize("name", sorted(ours.OPERATIONS.keys() - {"autocontrast", "equalize"}))
def test_without_strength_nothing_changes(pixels, name):
    np.testing.assert_array_equal(run(name, pixels, 0.0), pixels)


@pytest.mark.parametrize("name", ours.OPERATIONS)
@pytest.mark.parametrize("strength", [-1.0, 1.0])
def test_results_are_values_of_a_picture(pixels, name, strength):
    found = run(name, pixels, strength)
    assert (found == np.round(found)).all()
    assert found.min() >= 0
    assert found.max() <= 255


@pytest.mark.parametrize("name", ours.OPERATIONS)
def test_a_picture_of_one_colour(name):
    found = run(name, np.full((8, 9, 3), 77, np.uint8), 0.5)
    assert found.shape == (8, 9, 3)


def test_every_operation_is_drawn_as_often(pixels):
    """Those of one layer, told apart by what they make of a picture."""
    picture = tf.constant(pixels[:12, :16], tf.float32)

    count = 1400

    @tf.function
    def draw():
        seeds = tf.stack([tf.zeros(count, tf.int64), tf.range(count, dtype=tf.int64)], 1)
        return tf.map_fn(
            lambda seed: ours.rand_augment(picture, seed, 1, 9.0),
            seeds,
            fn_output_signature=tf.float32,
        )

    found = [one.tobytes() for one in draw().numpy()]
    expected = Counter()
    for name in ours.OPERATIONS:
        for sign in (-1, 1):
            expected[run(name, pixels[:12, :16], 0.9 * sign).tobytes()] += 50
    drawn = Counter(found)
    assert drawn.keys() == expected.keys()
    for result, times in expected.items():
        assert drawn[result] == pytest.approx(times, abs=0.4 * times + 10)


def test_layers_follow_one_another(pixels):
    seed = tf.constant([5, 6], tf.int64)
    two = ours.rand_augment(tf.constant(pixels, tf.float32), seed, 2, 5.0).numpy()
    again = ours.rand_augment(tf.constant(pixels, tf.float32), seed, 2, 5.0).numpy()
    np.testing.assert_array_equal(two, again)
    assert two.shape == pixels.shape
    one = ours.rand_augment(tf.constant(pixels, tf.float32), seed, 1, 5.0).numpy()
    seconds = [run(name, one, 0.5 * sign) for name in ours.OPERATIONS for sign in (-1, 1)]
    assert any(np.array_equal(two, second) for second in seconds)
