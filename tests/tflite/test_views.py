"""Pictures without TensorFlow are what evaluation sees with it."""

import io

import numpy as np
import pytest
from PIL import Image

from mnv3_tf.data import decode
from mnv3_tf.errors import UserError
from mnv3_tf.tflite import views

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
def test_classifiers_see_the_same_centre(size, resolution):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    expected = decode.evaluation_view(picture, resolution)
    np.testing.assert_allclose(views.centre(picture, (resolution, resolution)), expected, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", [(96, 96), (180, 240)])
def test_the_whole_is_squeezed_the_same(size, target):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    expected = decode.normalize(decode.resize_bilinear(picture, target))
    np.testing.assert_allclose(views.whole(picture, target), expected, atol=1e-4)


def test_an_oblong_view_is_cut_from_the_middle():
    seen = views.centre(smooth(300, 300), (64, 128))
    assert seen.shape == (64, 128, 3)
    whole = views.whole(smooth(300, 300), (146, 146))
    np.testing.assert_array_equal(seen, whole[41:105, 9:137])


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.gif", "p.bmp", "p.webp"])
def test_files_are_read_as_by_tensorflow(tmp_path, name):
    options = {"lossless": True} if name == "p.webp" else {}
    path = stored(tmp_path, smooth(64, 80), name, **options)
    expected = np.asarray(decode.decode(path.read_bytes())).astype(int)
    found = views.read_picture(path)
    assert found.dtype == np.uint8
    # TensorFlow decodes JPEG in its faster way.
    assert np.abs(found - expected).max() <= (3 if name == "p.jpg" else 0)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(smooth(20, 30))
    alpha = Image.fromarray(np.tile(np.arange(30, dtype=np.uint8) * 8, (20, 1)))
    image = image.convert(mode.removesuffix("A")) if mode != "RGBA" else image
    if mode.endswith("A"):
        image.putalpha(alpha)
    image.save(tmp_path / "p.png")
    expected = np.asarray(decode.decode((tmp_path / "p.png").read_bytes()))
    np.testing.assert_array_equal(views.read_picture(tmp_path / "p.png"), expected)


def test_sixteen_bits_are_cut_to_eight(tmp_path):
    deep = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 109
    path = stored(tmp_path, deep)
    expected = np.asarray(decode.decode(path.read_bytes()))
    assert np.ptp(expected) > 200
    np.testing.assert_array_equal(views.read_picture(path), expected)


def test_cmyk_is_read(tmp_path):
    Image.fromarray(smooth(32, 32)).convert("CMYK").save(tmp_path / "p.jpg", quality=95)
    expected = np.asarray(decode.decode((tmp_path / "p.jpg").read_bytes())).astype(int)
    assert np.abs(views.read_picture(tmp_path / "p.jpg") - expected).mean() < 3


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("name", ["p.jpg", "p.png"])
def test_pictures_are_turned_upright(tmp_path, orientation, turns, name):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = smooth(40, 60)
    path = stored(tmp_path, pixels, name, exif=exif, quality=95)
    found = views.read_picture(path).astype(int)
    expected = np.rot90(pixels, turns)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 4


def cut_jpeg():
    stream = io.BytesIO()
    Image.fromarray(smooth(200, 200)).save(stream, "JPEG")
    return stream.getvalue()[:2000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no picture; give a JPEG"),
        (b"no picture at all", "is no picture"),
        (cut_jpeg(), "cannot be read: .*truncated.*; copy it again"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "p.jpg "),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, content, message):
    (tmp_path / "p.jpg").write_bytes(content)
    with pytest.raises(UserError, match=message):
        views.read_picture(tmp_path / "p.jpg")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.jpg cannot be read: No such file"):
        views.read_picture(tmp_path / "absent.jpg")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        views.read_picture(tmp_path)


def test_real_photographs_look_the_same(shared):
    folders = [shared / "camvid12/val/images", shared / "bccd/JPEGImages", shared / "flowers"]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.jpg"))[:4]]
    assert len(paths) > 6
    for path in paths:
        expected = decode.evaluation_view(decode.decode(path.read_bytes()), 224)
        found = views.centre(views.read_picture(path), (224, 224))
        levels = np.abs(found - expected) * 127.5
        assert levels.max() < 6, path
        assert levels.mean() < 1.5, path
