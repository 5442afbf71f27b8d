"""Pictures without TensorFlow are what evaluation sees with it."""

from typing import get_args

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mnv3_tf.data import decode
from mnv3_tf.networks.pixels import View
from mnv3_tf.tflite import views
from mnv3_tf.upright import read_picture

SIZES = [(300, 200), (97, 311), (40, 31), (224, 224), (256, 256)]


def smooth(height, width, seed=0):
    """A picture as photographs are: neighbours are alike."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (7, 9, 3)).astype(np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def stored(folder, pixels, name="p.png", **options):
    Image.fromarray(pixels).save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resolution", [96, 224])
@pytest.mark.parametrize("view", get_args(View))
def test_classifiers_see_the_same(view, size, resolution):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    expected = decode.evaluation_view(picture, resolution, view)
    found = views.VIEWS[view](picture, (resolution, resolution))
    np.testing.assert_allclose(found, expected, atol=1e-3 if view == "whole" else 1e-4)


def test_the_whole_is_sampled_between_the_nearest_pixels():
    line = np.array([[0, 100, 200, 40, 80, 120, 250]], np.uint8)[..., None].repeat(3, -1)
    seen = (views.whole(line, (1, 4))[0, :, 0] + 1) * 127.5
    # At 0, 1.75, 3.5 and 5.25 of seven pixels.
    np.testing.assert_allclose(seen, [0, 175, 60, 152.5], atol=1e-3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", [(96, 96), (180, 240)])
def test_boxes_and_masks_see_the_same(size, target):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    expected = decode.normalize(decode.resize_bilinear(picture, target))
    np.testing.assert_allclose(views.smoothed(picture, target), expected, atol=1e-4)


def test_an_oblong_view_is_cut_from_the_middle():
    seen = views.crop(smooth(300, 300), (64, 128))
    assert seen.shape == (64, 128, 3)
    whole = views.smoothed(smooth(300, 300), (146, 146))
    np.testing.assert_allclose(seen, whole[41:105, 9:137], atol=1e-5)


def test_real_photographs_look_the_same(shared):
    folders = [shared / "camvid12/val/images", shared / "bccd/JPEGImages", shared / "flowers"]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.jpg"))[:4]]
    assert len(paths) > 6
    for path in paths:
        expected = decode.evaluation_view(decode.decode(tf.constant(path.read_bytes())), 224)
        found = views.crop(read_picture(path), (224, 224))
        levels = np.abs(found - expected) * 127.5
        assert levels.max() < 0.1, path
