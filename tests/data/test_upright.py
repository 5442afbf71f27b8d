"""What a picture is: every part of the toolkit sees what Pillow shows upright."""

import io
import resource
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from exif_files import encoded, exif_of
from PIL import Image, ImageOps

from mnv3_tf import prediction, upright
from mnv3_tf.data.augment import Augmentation, training_view
from mnv3_tf.data.decode import (
    cut_window,
    decode,
    decode_window,
    evaluation_view,
    normalize,
    resize_bilinear,
)
from mnv3_tf.data.picture_files import PictureFile, checked, open_splits
from mnv3_tf.data.sources import open_dataset
from mnv3_tf.data.tfrecords import write_shards
from mnv3_tf.errors import UserError
from mnv3_tf.tflite import views

HEIGHT, WIDTH = 40, 50
LEVELS = 3
"""Of 255, that two decoders may differ by."""


@pytest.fixture(scope="module")
def photo(make_photo):
    return Image.fromarray(make_photo(5, HEIGHT, WIDTH))


# -- kinds of files: (photograph, EXIF) -> content -------------------------------------------


def cmyk(photo, exif, transform=0):
    """`transform` 2 says that the four channels are YCCK."""
    content = bytearray(encoded(photo.convert("CMYK"), "JPEG", exif=exif))
    content[content.index(b"Adobe") + 11] = transform
    return bytes(content)


def without_adobe(content):
    start = content.index(b"\xff\xee")
    return content[:start] + content[start + 2 + int.from_bytes(content[start + 2 : start + 4]) :]


def with_alpha(photo):
    photo = photo.copy()
    photo.putalpha(Image.fromarray(np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, -1)))
    return photo


def deep(photo, channels):
    """16 bits, whose lower half is noise: (H, W) or (H, W, channels)."""
    high = np.asarray(with_alpha(photo))[..., :channels].astype(np.uint16)
    return (high << 8 | np.random.default_rng(0).integers(0, 256, high.shape).astype(np.uint16))[
        ..., 0 if channels == 1 else slice(None)
    ]


def png_chunk(kind, content):
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def deep_png(photo, exif):
    """Of 16 bits with alpha, which Pillow does not write; EXIF stands after the pixels."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep(photo, 4))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", zlib.compress(rows)),
            png_chunk(b"eXIf", exif.tobytes()[6:]),
            png_chunk(b"IEND", b""),
        )
    )


def run_length_bmp(photo, _):
    palette = photo.quantize(200)
    rows = np.asarray(palette)[::-1]
    runs = b"".join(b"".join(bytes((1, index)) for index in row) + b"\0\0" for row in rows)
    colours = np.array(palette.getpalette()).reshape(-1, 3)[:, ::-1]
    table = b"".join(bytes((*colour.tolist(), 0)) for colour in colours)
    runs += b"\0\1"
    start = 54 + len(table)
    sizes = 40, WIDTH, HEIGHT, 1, 8, 1, len(runs), 0, 0, len(colours), 0
    header = struct.pack("<IiiHHIIiiII", *sizes)
    return struct.pack("<2sIHHI", b"BM", start + len(runs), 0, 0, start) + header + table + runs


def see_through(image):
    return {"transparency": image.getpixel((9, 9))}


def frames(photo):
    return {"save_all": True, "append_images": [photo.rotate(180)]}


TURNABLE = {
    "JPEG": lambda p, e: encoded(p, "JPEG", exif=e),
    "JPEG, progressive": lambda p, e: encoded(p, "JPEG", exif=e, progressive=True),
    "JPEG, all chroma": lambda p, e: encoded(p, "JPEG", exif=e, subsampling=0, quality=95),
    "JPEG, gray": lambda p, e: encoded(p.convert("L"), "JPEG", exif=e),
    "JPEG, RGB": lambda p, e: encoded(p, "JPEG", exif=e, keep_rgb=True),
    "JPEG, CMYK": cmyk,
    "JPEG, YCCK": lambda p, e: cmyk(p, e, 2),
    "JPEG, CMYK without Adobe's mark": lambda p, e: without_adobe(cmyk(p, e)),
    "JPEG, profile and comment": lambda p, e: encoded(
        p, "JPEG", exif=e, icc_profile=b"\xff\xdb" * 999, comment=b"\xff of a camera"
    ),
    "MPO": lambda p, e: encoded(p, "MPO", exif=e, **frames(p)),
    "PNG": lambda p, e: encoded(p, "PNG", exif=e),
    "PNG, gray": lambda p, e: encoded(p.convert("L"), "PNG", exif=e),
    "PNG, alpha": lambda p, e: encoded(with_alpha(p), "PNG", exif=e),
    "PNG, gray and alpha": lambda p, e: encoded(with_alpha(p).convert("LA"), "PNG", exif=e),
    "PNG, palette": lambda p, e: encoded(p.quantize(200), "PNG", exif=e),
    "PNG, transparent palette": lambda p, e: encoded(
        p.quantize(200), "PNG", exif=e, **see_through(p.quantize(200))
    ),
    "PNG, palette with alphas": lambda p, e: encoded(
        p.quantize(200), "PNG", exif=e, transparency=bytes(range(200))
    ),
    "PNG, 1 bit": lambda p, e: encoded(p.convert("1"), "PNG", exif=e),
    "PNG, gray of 16 bits": lambda p, e: encoded(Image.fromarray(deep(p, 1)), "PNG", exif=e),
    "PNG, 16 bits": deep_png,
    "PNG, animated": lambda p, e: encoded(p, "PNG", exif=e, **frames(p)),
    "WebP": lambda p, e: encoded(p, "WEBP", exif=e),
    "WebP, lossless": lambda p, e: encoded(p, "WEBP", exif=e, lossless=True),
    "WebP, alpha": lambda p, e: encoded(with_alpha(p), "WEBP", exif=e, lossless=True),
    "WebP, animated": lambda p, e: encoded(p, "WEBP", exif=e, lossless=True, **frames(p)),
    "TIFF": lambda p, e: encoded(p, "TIFF", exif=e),
    "TIFF, compressed": lambda p, e: encoded(p, "TIFF", exif=e, compression="tiff_lzw"),
    "TIFF, gray of 16 bits": lambda p, e: encoded(Image.fromarray(deep(p, 1)), "TIFF", exif=e),
}
FIXED = {
    "JPEG, no EXIF": lambda p, _: encoded(p, "JPEG"),
    "GIF": lambda p, _: encoded(p.quantize(200), "GIF"),
    "GIF, transparent": lambda p, _: encoded(
        p.quantize(200), "GIF", **see_through(p.quantize(200))
    ),
    "GIF, animated": lambda p, _: encoded(p.quantize(200), "GIF", **frames(p.quantize(200))),
    "BMP": lambda p, _: encoded(p, "BMP"),
    "BMP, palette": lambda p, _: encoded(p.quantize(200), "BMP"),
    "BMP, 1 bit": lambda p, _: encoded(p.convert("1"), "BMP"),
    "BMP, run lengths": run_length_bmp,
}
KINDS = TURNABLE | FIXED


def shown(content):
    """What Pillow shows, of 16 bits the upper 8: the right answer."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    if image.mode.startswith("I;16"):
        return np.repeat((np.asarray(image) >> 8)[..., None], 3, 2)
    image.info.pop("transparency", None)
    return np.asarray(image.convert("RGB"))


def differ(one, other):
    assert one.shape == other.shape
    return np.abs(one.astype(int) - other.astype(int)).max()


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def by_pipeline(content):
    """All of the picture, and a window of it as training takes one."""
    window = tf.constant((7, 11, 20, 17))
    return decode(content), decode_window(content, lambda shape: window, 224)


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_sees_what_pillow_shows(photo, kind, recwarn):
    known = range(1, 9) if kind == "TIFF, compressed" else range(10)  # which writes no others
    for orientation in known if kind in TURNABLE else (1,):
        content = KINDS[kind](photo, exif_of(orientation))
        expected = shown(content)
        assert expected.shape[0] == (WIDTH if orientation in (5, 6, 7, 8) else HEIGHT)
        assert expected.std() > 10
        assert differ(upright.pixels(content), expected) <= LEVELS, orientation
        for kept in (content, checked(content)):
            whole, part = by_pipeline(kept)
            assert differ(whole.numpy(), expected) <= LEVELS, orientation
            # A JPEG's colours at a window's edge are made of fewer neighbours.
            assert differ(part.numpy(), expected[7:27, 11:28]) <= 16, orientation
            assert differ(part.numpy()[2:-2, 2:-2], expected[9:25, 13:26]) <= LEVELS, orientation
    assert not [one for one in recwarn if one.category is UserWarning]


def test_orientations_are_told_apart(photo):
    """The right answers above are eight pictures, and 0 and 9 are as if there was nothing."""
    seen = [shown(TURNABLE["PNG"](photo, exif_of(number))) for number in range(10)]
    assert len({one.tobytes() for one in seen}) == 8
    np.testing.assert_array_equal(seen[0], photo)
    np.testing.assert_array_equal(seen[9], photo)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0", b"Exif\0\0" + b"\xff" * 40, b"Exif\0\0"])
def test_damaged_exif_is_none(photo, form, exif):
    options = {"lossless": True} if form == "WEBP" else {}
    content = encoded(photo, form, exif=exif, **options)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert differ(upright.pixels(content), expected) == 0
    assert differ(by_pipeline(content)[0].numpy(), expected) <= LEVELS


# -- through the parts -----------------------------------------------------------------------

SOME = ("JPEG", "JPEG, CMYK", "PNG, palette", "WebP, alpha", "TIFF, gray of 16 bits")


@pytest.fixture(scope="module")
def folder(photo, tmp_path_factory):
    """Two classes of the same pictures, turned and fixed, for training and validation."""
    root = tmp_path_factory.mktemp("kinds")
    contents = [KINDS[kind](photo, exif_of(number)) for kind in SOME for number in (1, 6, 3)]
    contents += [KINDS[kind](photo, None) for kind in FIXED]
    for part in ("train/a", "train/b", "val/a", "val/b"):
        (root / part).mkdir(parents=True)
        for number, content in enumerate(contents):
            (root / part / f"{number:02}.jpg").write_bytes(content)
    return root, contents


def levels(pictures, expected):
    assert pictures.shape == expected.shape
    return np.abs(pictures - expected).max() * 127.5


def test_evaluation_calibration_and_shards(folder, tmp_path):
    root, contents = folder
    data = open_dataset(f"folder:{root}", training=False)
    assert data.skipped == ()
    expected = np.stack([views.crop(shown(content), (32, 32)) for content in contents] * 2)
    ((evaluated, _),) = data.val.eval_batches(len(expected), 32).as_numpy_iterator()
    assert levels(evaluated, expected) <= LEVELS
    write_shards(data, tmp_path / "shards")
    of_shards = open_dataset(f"shards:{tmp_path / 'shards'}").val
    for split in (data.val, of_shards):
        # In another order: each has its equal.
        calibrating = split.images(len(expected), 32)
        assert calibrating.shape == expected.shape
        apart = np.abs(calibrating[:, None] - expected[None]).max((2, 3, 4)) * 127.5
        assert (apart.min(0) <= LEVELS).all()
        assert (apart.min(1) <= LEVELS).all()


def test_training(folder):
    whole = Augmentation(crop_scale=(1.0, 1.0), flip=False)
    seed = tf.constant((0, 0), tf.int64)
    view = tf.function(lambda content: training_view(content, 32, seed, whole))
    for content in folder[1]:
        picture = resize_bilinear(shown(content), (32, 32), smooth_from=3.0)
        assert levels(view(tf.constant(content)).numpy(), normalize(picture).numpy()) <= LEVELS


def test_predict(folder):
    class Asked:
        task, num_classes = "segment", 1

        def answer(self, picture):
            self.seen = picture
            return np.zeros(picture.shape[:2], int)

        def label(self, index):
            return str(index)

    root, contents = folder
    model = Asked()
    for path, content in zip(sorted((root / "val" / "a").iterdir()), contents, strict=True):
        told = prediction.predict(model, path, 0.5, 1, None)
        assert differ(model.seen, shown(content)) <= LEVELS
        assert (told["height"], told["width"]) == shown(content).shape[:2]


def test_an_upright_jpeg_in_memory_is_not_looked_at_again(photo, tmp_path, monkeypatch):
    contents = [encoded(photo, "JPEG", exif=exif_of(1), comment=b"\xff"), FIXED["BMP"](photo, None)]
    splits = {}
    for name, content in zip(("jpeg", "bmp"), contents, strict=True):
        (tmp_path / name).write_bytes(content)
        splits[name] = open_splits({"val": [PictureFile(str(tmp_path / name), 0)]})[0]["val"]

    def look(content):
        raise AssertionError("looked")

    monkeypatch.setattr(upright, "look", look)
    picture = splits["jpeg"].images(1, 32)[0]
    assert levels(picture, views.crop(shown(contents[0]), (32, 32))) <= LEVELS
    with pytest.raises((tf.errors.OpError, AssertionError), match="looked"):
        splits["bmp"].images(1, 32)


# -- large and long --------------------------------------------------------------------------


def test_a_jpeg_of_too_many_pixels_is_read_shrunk(photo, monkeypatch, tmp_path):
    monkeypatch.setattr(upright, "MOST_PIXELS", HEIGHT * WIDTH // 2)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 9)  # Pillow's own refusal
    for orientation in (1, 6):
        content = TURNABLE["JPEG"](photo, exif_of(orientation))
        (tmp_path / "a.jpg").write_bytes(checked(content))
        whole = upright.read_picture(tmp_path / "a.jpg")
        assert sorted(whole.shape) == [3, HEIGHT // 2, WIDTH // 2]
        assert np.abs(whole.mean((0, 1)) - np.asarray(photo).mean((0, 1))).max() < 3
        decoded = decode(tf.constant(content))
        assert differ(decoded.numpy(), whole) <= LEVELS
        view = decode_window(tf.constant(content), lambda shape: tf.concat([[0, 0], shape], 0), 999)
        np.testing.assert_array_equal(view, decoded)
        header = upright.read_header(tmp_path / "a.jpg")
        assert (header.size, header.stored) == (
            (HEIGHT, WIDTH)[:: -1 if orientation == 6 else 1],
            (HEIGHT, WIDTH),
        )


def test_another_file_of_too_many_pixels_is_refused(photo, monkeypatch, tmp_path):
    (tmp_path / "a.png").write_bytes(TURNABLE["PNG"](photo, exif_of(1)))
    monkeypatch.setattr(upright, "MOST_PIXELS", HEIGHT * WIDTH - 1)
    with pytest.raises(UserError, match="megapixels, of which only a JPEG may have more than"):
        upright.read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1)])
def test_a_picture_of_one_line_takes_no_gigabytes(shape):
    line = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    view = evaluation_view(tf.constant(line), 224).numpy()
    np.testing.assert_allclose(views.crop(line, (224, 224)), view, atol=1e-5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19  # kilobytes
    # The centre holds less than one pixel of the line to each side of the middle.
    middle = cut_window(line if shape[0] == 1 else line.swapaxes(0, 1), (0, 1998, 1, 4))
    low, high = middle.min((0, 1)), middle.max((0, 1))
    assert ((view + 1) * 127.5 >= low - 0.1).all()
    assert ((view + 1) * 127.5 <= high + 0.1).all()


# -- what is no picture ----------------------------------------------------------------------


def heic(brand):
    return struct.pack(">I4s4sI", 24, b"ftyp", brand, 0) + brand + b"mif1" + b"\0" * 99


REFUSED = {
    "is empty; copy it again": b"",
    "is no picture; give a JPEG, PNG, GIF, BMP, WebP or TIFF file": b"some text, longer than that",
    "is a HEIC file, which is not read; save it as JPEG or PNG": heic(b"heic"),
    "is a AVIF file": heic(b"avif"),
    "is a camera's raw file": b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 99,
    "is a video file": heic(b"isom"),
    "has 32 bits a channel": encoded(Image.new("F", (9, 9)), "TIFF"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_is_no_picture_is_told_in_a_sentence(make_classes, sentence):
    root = make_classes(["ant", "bee"])
    path = root / "bee" / "001.jpg"
    path.write_bytes(REFUSED[sentence])
    with pytest.raises(UserError, match=f"bee/001.jpg {sentence}"):
        upright.read_picture(path)
    with pytest.raises(UserError, match=f"1 of 8 pictures .*bee/001.jpg, {sentence}.*, or remove"):
        open_dataset(f"folder:{root}", training=False)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WebP", "TIFF", "BMP, run lengths"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_what_is_cut_short_is_told(photo, tmp_path, kind, part):
    content = KINDS[kind](photo, exif_of(6))
    path = tmp_path / "a.jpg"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(UserError, match=r"a\.jpg is cut short or damaged \(.*\); copy it again"):
        upright.read_picture(path)
    with pytest.raises(upright.NoPictureError, match="is cut short or damaged"):
        checked(path.read_bytes())


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"absent\.jpg cannot be read: No such file"):
        upright.read_picture(tmp_path / "absent.jpg")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        upright.read_picture(tmp_path)
