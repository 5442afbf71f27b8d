"""Formats, crops and evaluation's view."""

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.data.decode import (
    _shrinking,
    decode,
    decode_placed_window,
    evaluation_view,
    normalize,
    resize_bilinear,
)

FORMATS = [
    ("JPEG", "RGB", 12),
    ("JPEG", "CMYK", 16),
    ("PNG", "RGB", 0),
    ("PNG", "RGBA", 0),
    ("BMP", "RGB", 0),
    ("WEBP", "RGB", 25),
]


@pytest.mark.parametrize(("form", "mode", "tolerance"), FORMATS)
def test_every_format_gives_the_same_rgb(make_photo, encode_photo, form, mode, tolerance):
    pixels = make_photo()
    decoded = decode(tf.constant(encode_photo(pixels, form, mode))).numpy()
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - pixels).mean() <= tolerance / 4
    assert np.abs(decoded.astype(int) - pixels).max() <= max(tolerance * 4, 0)


@pytest.mark.parametrize(
    ("form", "mode"), [("JPEG", "L"), ("PNG", "L"), ("PNG", "LA"), ("GIF", "L")]
)
def test_grayscale_becomes_three_equal_channels(make_photo, encode_photo, form, mode):
    decoded = decode(tf.constant(encode_photo(make_photo(), form, mode))).numpy()
    assert decoded.shape == (40, 50, 3)
    assert decoded.std() > 10
    np.testing.assert_array_equal(decoded[..., 0], decoded[..., 2])


def test_an_animation_gives_its_first_frame(make_photo, encode_photo):
    from PIL import Image

    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (50, 200)]
    content = encode_photo(
        np.asarray(frames[0]), "GIF", "L", save_all=True, append_images=frames[1:]
    )
    assert decode(tf.constant(content)).numpy().max() == 50


@pytest.mark.parametrize(("form", "mode"), [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGB")])
def test_a_decoded_window_is_the_window_of_the_decoded(make_photo, encode_photo, form, mode):
    # Without chroma subsampling, whose interpolation looks beyond the window's edges.
    options = {"subsampling": 0} if form == "JPEG" else {}
    content = tf.constant(encode_photo(make_photo(), form, mode, **options))
    pixels, window, shape = decode_placed_window(
        content, lambda _: tf.constant([7, 11, 20, 17]), 16
    )
    np.testing.assert_array_equal(pixels, decode(content)[7 : 7 + 20, 11 : 11 + 17])
    assert (window.numpy().tolist(), shape.numpy().tolist()) == ([7, 11, 20, 17], [40, 50])


def test_normalize_spans_minus_one_to_one():
    np.testing.assert_allclose(normalize(np.array([0, 127.5, 255])).numpy(), [-1, 0, 1], atol=1e-7)


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (33, 41), (256, 256), (224, 900)])
def test_evaluation_takes_the_centre_of_the_resized_picture(make_photo, shape):
    """Against Pillow: shorter side to 256, centre 224."""
    from PIL import Image

    pixels = make_photo(3, *shape)
    ours = evaluation_view(tf.constant(pixels), 224).numpy()
    assert ours.shape == (224, 224, 3)
    scale = 256 / min(shape)
    height, width = round(shape[0] * scale), round(shape[1] * scale)
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    top, left = (height - 224) // 2, (width - 224) // 2
    theirs = np.asarray(resized)[top : top + 224, left : left + 224]
    assert np.abs((ours + 1) * 127.5 - theirs).mean() < 0.6


def test_the_whole_picture_is_squeezed():
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :2] = 255
    view = evaluation_view(tf.constant(pixels), 40, "whole").numpy()
    assert view[:, 0].min() == 1
    assert view[:, -1].max() == -1


def test_shrinking_is_anti_aliased_and_growing_is_not_affected():
    checks = np.indices((64, 64)).sum(0)[..., None].repeat(3, -1) % 2 * 255
    checks = tf.constant(checks.astype(np.uint8))
    assert resize_bilinear(checks, (20, 20)).numpy()[2:-2, 2:-2].std() < 20
    np.testing.assert_allclose(
        resize_bilinear(checks, (80, 90)),
        tf.image.resize(checks, (80, 90), "bilinear", antialias=True),
        atol=1e-3,
    )


@pytest.mark.parametrize("least", [16, 224, (300, 500), 1100])
def test_what_a_jpeg_cannot_be_decides_nothing(least):
    """Its sides end at 65535, so that often the view alone decides how far it is shrunk."""
    for size in ((100, 65535), (2100, 65535), (447, 65535), (448, 449), (9000, 15000), (40, 40)):
        shape = tf.constant(size, tf.int32)
        whole, shorter = (_shrinking(shape, least, longest) for longest in (None, 65535))
        assert int(whole) == int(shorter)
