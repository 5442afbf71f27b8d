"""Views of pictures with masks: each pixel keeps its class."""

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.data.augment_masks import (
    IGNORED,
    MaskAugmentation,
    evaluation_example,
    training_example,
)

STEP = 50


def seeds(count):
    return tf.stack([tf.zeros(count, tf.int64), tf.range(count, dtype=tf.int64)], 1)


def pair(height=60, width=80, block=20):
    """Blocks of the classes 0 to 4, and a picture whose gray is STEP times the class."""
    classes = np.random.default_rng(0).integers(0, 5, (height // block, width // block))
    mask = np.kron(classes, np.ones((block, block))).astype(np.uint8)
    return np.repeat(mask[..., None] * STEP, 3, -1), mask


def views(picture, mask, how, count, size):
    picture, mask = tf.constant(picture), tf.constant(mask)
    draw = tf.function(lambda seed: training_example(picture, mask, size, seed, how))
    return [tuple(part.numpy() for part in draw(seed)) for seed in seeds(count)]


def check_pixels_keep_their_class(picture, mask, tolerance=0.1):
    """But at the edges of blocks, which a bilinear picture blurs."""
    seen = (picture[..., 0] + 1) * 127.5 / STEP
    inside = mask != IGNORED
    np.testing.assert_array_equal(picture[~inside], 0)
    padded = np.pad(mask, 2, mode="edge")
    flat = np.ones(mask.shape, bool)
    for row in range(5):
        for column in range(5):
            flat &= padded[row : row + len(mask), column : column + mask.shape[1]] == mask
    assert (flat & inside).mean() > 0.05
    assert np.abs(seen - mask)[flat & inside].max() < tolerance


@pytest.mark.parametrize(
    ("size", "scale"), [((48, 48), (0.5, 2.0)), ((60, 80), (0.5, 0.9)), ((90, 80), (1.2, 2.0))]
)
def test_each_pixel_keeps_its_class(size, scale):
    for picture, mask in views(*pair(), MaskAugmentation(scale), 20, size):
        assert (picture.shape, mask.shape) == ((*size, 3), size)
        assert (picture.dtype, mask.dtype) == (np.float32, np.uint8)
        check_pixels_keep_their_class(picture, mask)


def test_files_keep_it_too_also_where_the_jpeg_is_decoded_smaller(encode_photo):
    from PIL import Image

    pixels, mask = pair(480, 640, 160)
    content = encode_photo(pixels, quality=95)
    encoded = tf.io.encode_png(mask[..., None])
    assert Image.fromarray(mask).mode == "L"
    for picture, view in views(content, encoded, MaskAugmentation((0.6, 1.6)), 8, (60, 80)):
        check_pixels_keep_their_class(picture, view, tolerance=0.3)


@pytest.mark.parametrize(("scale", "side"), [(0.5, 20), (2.0, 40)])
def test_scale_one_is_the_size_of_evaluation(scale, side):
    picture, mask = np.full((100, 100, 3), 255, np.uint8), np.zeros((100, 100), np.uint8)
    for view, of_mask in views(picture, mask, MaskAugmentation((scale, scale)), 5, (40, 40)):
        assert (of_mask == 0).sum() == side**2
        assert np.isclose(view, 1).all(-1).sum() == side**2


def test_a_window_shows_a_part_and_lies_anywhere():
    """Each pixel tells its place: red its column, green its row. None is mirrored."""
    places = np.indices((128, 128)).astype(np.uint8)
    picture = np.stack([places[1], places[0], places[0] * 0], -1)
    mask = np.zeros((128, 128), np.uint8)
    found = views(picture, mask, MaskAugmentation((2.0, 2.0), flip=False), 80, (64, 64))
    corners = np.stack([(view[0, 0, :2] + 1) * 127.5 for view, _ in found])
    extents = np.stack([(view[-1, -1, :2] - view[0, 0, :2]) * 127.5 for view, _ in found])
    np.testing.assert_allclose(extents, 63, atol=0.1)  # half of each side, at its own size
    assert corners.min() < 6
    assert corners.max() > 58
    np.testing.assert_allclose(corners.mean(0), 32, atol=7)


def test_scales_are_drawn_evenly():
    picture, mask = np.full((40, 40, 3), 255, np.uint8), np.zeros((40, 40), np.uint8)
    found = views(picture, mask, MaskAugmentation((0.5, 1.0)), 200, (100, 100))
    sides = np.sqrt([(view == 0).sum() for _, view in found])
    assert 50 <= sides.min() < 53
    assert 97 < sides.max() <= 100
    assert sides.mean() == pytest.approx(75, abs=3)


def test_a_flip_mirrors_both_half_of_the_time():
    picture, mask = pair()
    how = MaskAugmentation((1.0, 1.0))
    found = views(picture, mask, how, 100, (60, 80))
    mirrored = 0
    for view, of_mask in found:
        flipped = not np.array_equal(of_mask, mask)
        mirrored += flipped
        np.testing.assert_array_equal(of_mask, mask[:, ::-1] if flipped else mask)
        expected = picture[:, ::-1] if flipped else picture
        np.testing.assert_allclose((view + 1) * 127.5, expected, atol=1e-3)
    assert 30 < mirrored < 70


def test_the_gray_around_keeps_its_value_when_colours_change():
    how = MaskAugmentation((0.5, 0.5), brightness=0.5, contrast=0.5, saturation=0.5)
    for view, mask in views(*pair(), how, 10, (60, 80)):
        assert (view[mask == IGNORED] == 0).all()
        assert (mask == IGNORED).mean() == pytest.approx(0.75)


def test_a_view_is_the_same_eagerly_and_in_a_pipeline(make_photo, encode_photo):
    how = MaskAugmentation(brightness=0.4, contrast=0.4, saturation=0.4)
    pixels, mask = make_photo(1), np.random.default_rng(0).integers(0, 9, (40, 50)).astype(np.uint8)
    content, given = tf.constant(encode_photo(pixels)), tf.io.encode_png(mask[..., None])
    eager = [training_example(content, given, 32, seed, how) for seed in seeds(5)]
    graph = tf.data.Dataset.from_tensor_slices(seeds(5)).map(
        lambda seed: training_example(content, given, 32, seed, how)
    )
    for (one, of_one), (other, of_other) in zip(eager, graph, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
        np.testing.assert_array_equal(of_one, of_other)
        assert -1 <= tf.reduce_min(one) < tf.reduce_max(one) <= 1
    assert len({of_one.numpy().tobytes() for _, of_one in eager}) == 5


def test_evaluation_touches_nothing_at_the_pictures_own_size(make_photo):
    pixels, mask = make_photo(), np.random.default_rng(0).integers(0, 9, (40, 50)).astype(np.uint8)
    picture, view = evaluation_example(tf.constant(pixels), tf.constant(mask), (40, 50))
    np.testing.assert_array_equal(picture, pixels.astype(np.float32) / 127.5 - 1)
    np.testing.assert_array_equal(view, mask)


@pytest.mark.parametrize("size", [(30, 40), (90, 100)])
def test_evaluation_squeezes_the_whole_picture(size):
    picture, mask = evaluation_example(*map(tf.constant, pair()), size)
    check_pixels_keep_their_class(picture.numpy(), mask.numpy(), tolerance=0.4)
    assert mask[0, 0] == pair()[1][0, 0]
    assert mask[-1, -1] == pair()[1][-1, -1]


def test_evaluation_knows_no_crop():
    with pytest.raises(ValueError, match="view is 'crop'"):
        evaluation_example(*map(tf.constant, pair()), 32, "crop")


def test_the_defaults_are_deeplabs():
    assert MaskAugmentation() == MaskAugmentation((0.5, 2.0), True, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": (0.0, 1.0)},
        {"scale": (2.0, 1.0)},
        {"brightness": 1.5},
        {"contrast": -0.1},
        {"saturation": 2.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MaskAugmentation(**wrong)
