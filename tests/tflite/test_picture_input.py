"""What pixels a file wants: read from its metadata, its first operators or what it stores."""

from pathlib import Path

import numpy as np
import pytest
from foreign_files import SIDE, ForeignFile, colour_classifier, written
from looking import in_process
from refusals import refused

from mnv3_tf.tflite import metadata
from mnv3_tf.tflite.description import describe
from mnv3_tf.tflite.picture_input import NoPicture, PictureInput
from mnv3_tf.tflite.predictor import open_model
from mnv3_tf.tflite.reading import Reading

PIXELS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
UNIT = PIXELS.astype(np.float32) / 127.5 - 1
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
IMAGENET = (PIXELS / 255 - MEAN) / DEVIATION


def picture_of(folder: Path, content: bytes, reading: Reading | None = None) -> PictureInput:
    return describe(written(folder, content), reading or Reading()).picture


@pytest.mark.parametrize(
    ("rescale", "wanted"),
    [
        ([("MUL", 1 / 127.5), ("ADD", -1.0)], "0..255"),
        ([("MUL", 1 / 127.5), ("SUB", 1.0)], "0..255"),
        ([("DIV", 127.5), ("SUB", [1.0, 1.0, 1.0])], "0..255"),
        ([("SUB", 127.5), ("DIV", 127.5)], "0..255"),
        ([("MUL", 1 / 255)], "0..255"),
        ([("MUL", 1 / 255), ("SUB", 0.5)], "0..255"),
        ([("MUL", 2.0), ("SUB", 1.0)], "0..1"),
        ([("SUB", MEAN), ("DIV", DEVIATION)], "0..1"),
        ([("SUB", 255 * MEAN), ("DIV", 255 * DEVIATION)], "0..255"),
        ([("SUB", [103.939, 116.779, 123.68])], "0..255"),
        ([("MUL", 0.5), ("ADD", 0.5)], "-1..1"),
        ([("MUL", 127.5), ("ADD", 127.5)], "-1..1"),
        # One network within another, which scales again.
        ([("MUL", 255.0), ("MUL", 1 / 127.5), ("SUB", 1.0)], "0..1"),
        ([("MUL", 127.5), ("ADD", 127.5), ("MUL", 1 / 127.5), ("SUB", 1.0)], "-1..1"),
        # A Normalization layer that has learnt the mean and deviation of its own pictures.
        ([("SUB", [120.0, 115.0, 104.0]), ("DIV", [62.0, 60.0, 63.0])], "0..255"),
        ([("SUB", [0.47, 0.45, 0.41]), ("DIV", [0.24, 0.235, 0.25])], "0..1"),
    ],
)
def test_the_first_operators_tell(tmp_path, rescale, wanted):
    picture = picture_of(tmp_path, colour_classifier(rescale))
    assert (picture.range, picture.certain) == (wanted, True)
    assert rescale[0][0] in picture.told
    expected = {"0..255": PIXELS, "0..1": PIXELS / 255, "-1..1": UNIT}[wanted]
    np.testing.assert_allclose(picture.stored(UNIT)[0], expected, atol=1e-4)


def test_what_no_operator_tells_is_assumed_and_said(tmp_path):
    described = describe(written(tmp_path, colour_classifier()))
    np.testing.assert_array_equal(described.picture.stored(UNIT)[0], UNIT)
    (note,) = described.notes
    assert "takes pixels as -1..1 (assumed, for the file does not say); --input_range" in note


@pytest.mark.parametrize(("size", "wanted"), [(1.0, "-1..1"), (1 / 255, "0..255")])
def test_a_scaling_that_was_folded_into_kernels_shows_in_their_size(tmp_path, size, wanted):
    file = ForeignFile()
    kernels = size * np.random.default_rng(0).normal(0, 0.2, (8, 3, 3, 3))
    inputs = [file.input((1, SIDE, SIDE, 3)), file.constant(kernels), file.constant(np.zeros(8))]
    strides = {"strideH": 1, "strideW": 1, "padding": file.schema.Padding.SAME}
    made = file.add("CONV_2D", inputs, (1, SIDE, SIDE, 8), options=strides)
    picture = picture_of(tmp_path, file.finish(file.softmax(file.means(made))))
    assert (picture.range, picture.certain) == (wanted, False)


@pytest.mark.parametrize(
    ("dtype", "quantized"),
    [
        ("uint8", None),
        ("uint8", (1 / 127.5, 128)),
        ("int8", (1 / 127.5, -1)),
        ("uint8", (1 / 128, 128)),
        ("uint8", (1 / 255, 0)),
        ("int8", (1 / 255, -128)),
        ("uint8", (1.0, 0)),
        ("uint8", (2.0, 100)),
        ("int32", None),
        ("int64", None),
    ],
)
def test_bytes_go_straight_into_inputs_that_store_bytes(tmp_path, dtype, quantized):
    picture = picture_of(tmp_path, colour_classifier(dtype=dtype, quantized=quantized))
    stored = picture.stored(UNIT)
    assert (stored.dtype, stored.shape) == (np.dtype(dtype), (1, SIDE, SIDE, 3))
    least = np.iinfo("int8").min if dtype == "int8" else 0
    np.testing.assert_array_equal(stored[0], PIXELS.astype(int) + least)
    assert picture.certain == (quantized != (2.0, 100))


def test_a_quantised_input_that_spans_imagenets_range_gets_it(tmp_path):
    scale = (2.64 + 2.1179) / 255
    picture = picture_of(
        tmp_path, colour_classifier(dtype="uint8", quantized=(scale, round(2.1179 / scale)))
    )
    assert picture.range == "imagenet"
    stored = picture.info.dequantize(picture.stored(UNIT))[0]
    np.testing.assert_allclose(stored, IMAGENET, atol=scale)


def test_an_input_of_16_bits_is_read_by_what_it_spans(tmp_path):
    for most, wanted in ((255, "0..255"), (2.64, "imagenet"), (1, "-1..1")):
        content = colour_classifier(dtype="int16", quantized=(most / 32767, 0))
        assert picture_of(tmp_path, content).range == wanted


@pytest.mark.parametrize(
    ("mean", "deviation"), [([0.0], [255.0]), (list(255 * MEAN), list(255 * DEVIATION))]
)
def test_metadata_decide(tmp_path, monkeypatch, mean, deviation):
    monkeypatch.setattr(metadata, "normalization_of", lambda content: (mean, deviation))
    expected = (PIXELS - np.array(mean)) / np.array(deviation)
    picture = picture_of(tmp_path, colour_classifier())
    assert (picture.because, picture.certain) == ("by its metadata", True)
    np.testing.assert_allclose(picture.stored(UNIT)[0], expected, atol=1e-5)
    # A quantised file's metadata may be those of the float one: a byte for which there is no room.
    picture = picture_of(tmp_path, colour_classifier(dtype="uint8", quantized=(1.0, 0)))
    np.testing.assert_array_equal(picture.stored(UNIT)[0], PIXELS)


@pytest.mark.parametrize("bounds", [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)])
def test_the_bounds_of_an_input_tell_too(tmp_path, monkeypatch, bounds):
    content = metadata.add_metadata(colour_classifier(), None)
    assert picture_of(tmp_path, content).because == "by its metadata"
    monkeypatch.setattr(metadata.metadata_tables, "normalization", lambda packed: None)
    assert picture_of(tmp_path, content).range == "-1..1"
    monkeypatch.setattr(metadata.metadata_tables, "input_bounds", lambda packed: bounds)
    stored = picture_of(tmp_path, content).stored(np.ones((SIDE, SIDE, 3), np.float32))
    assert stored.max() == pytest.approx(bounds[1])


def test_the_user_knows_better(tmp_path):
    content = colour_classifier([("MUL", 1 / 255)])
    wanted = {"0..255": PIXELS, "0..1": PIXELS / 255, "-1..1": UNIT, "imagenet": IMAGENET}
    for name, expected in wanted.items():
        picture = picture_of(tmp_path, content, Reading(input_range=name))
        assert (picture.range, picture.because) == (name, "as asked")
        np.testing.assert_allclose(picture.stored(UNIT)[0], expected, atol=1e-4)
    half = (1 / 255, 0)
    content = colour_classifier(dtype="uint8", quantized=half)
    stored = picture_of(tmp_path, content, Reading(input_range="0..255")).stored(UNIT)
    assert set(np.unique(stored)) <= {0, 255}  # which it has no room for


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, SIDE, SIDE, 1), [0.299, 0.587, 0.114]),
        ((1, SIDE, SIDE), [0.299, 0.587, 0.114]),
        ((1, 1, SIDE, SIDE), [0.299, 0.587, 0.114]),
    ],
)
def test_grey_pictures_are_made_of_coloured_ones(tmp_path, shape, expected):
    file = ForeignFile()
    image = file.input(shape)
    content = file.finish(file.softmax(file.means(image, range(1, len(shape)))))
    picture = picture_of(tmp_path, content, Reading(input_range="0..1"))
    assert picture.channels == 1
    stored = picture.stored(UNIT)
    assert stored.shape == shape
    grey = (PIXELS / 255) @ expected
    np.testing.assert_allclose(stored.reshape(SIDE, SIDE), grey, atol=1e-5)


def test_channels_may_come_first(tmp_path):
    content = colour_classifier(shape=(1, 3, SIDE, SIDE))
    picture = picture_of(tmp_path, content)
    assert picture.layout == "NCHW"
    np.testing.assert_array_equal(picture.stored(UNIT)[0], np.moveaxis(UNIT, -1, 0))


@pytest.mark.parametrize(
    ("shape", "dtype", "named"),
    [
        ((8, SIDE, SIDE, 3), "float32", "takes 8 pictures at a time (float32 8x16x16x3), not one"),
        ((8, SIDE, SIDE, 3), "float32", "--input_shape=1x16x16x3"),
        ((1, SIDE, SIDE, 4), "float32", "takes 4 channels (float32 1x16x16x4)"),
        ((1, SIDE), "int32", "takes int32 1x16, not one picture"),
        ((1, 4, SIDE, SIDE, 3), "float32", "takes float32 1x4x16x16x3, not one picture"),
        ((1, 1, SIDE, 3), "float32", "a row of pixels"),
        ((1, SIDE, SIDE, 3), "bool", "takes bool 1x16x16x3, not one picture"),
    ],
)
def test_what_is_no_picture_is_told_by_what_it_is(tmp_path, shape, dtype, named):
    file = ForeignFile()
    content = file.finish(file.input(shape, dtype))
    with refused(tmp_path / "m.tflite", named, by=NoPicture):
        picture_of(tmp_path, content)


def test_several_inputs_are_listed(tmp_path):
    file = ForeignFile()
    for name in ("ids", "mask"):
        file.input((1, SIDE), "int32", name=name)
    with refused("takes 2 inputs (ids: int32 1x16, mask: int32 1x16)", by=NoPicture):
        picture_of(tmp_path, file.finish(file.graph.inputs[0]))


def test_a_file_answers_right_whatever_it_wants(tmp_path):
    """A blue picture is of class 2, however its pixels are to be given."""
    blue = np.zeros((SIDE, SIDE, 3), np.uint8)
    blue[..., 2] = 200
    for content in (
        colour_classifier([("MUL", 1 / 127.5), ("ADD", -1.0)]),
        colour_classifier([("SUB", 255 * MEAN), ("DIV", 255 * DEVIATION)]),
        colour_classifier([("MUL", 1 / 255)], shape=(1, 3, SIDE, SIDE)),
        colour_classifier([("MUL", 1 / 255)], dtype="int32"),
        colour_classifier(dtype="uint8", quantized=(1 / 255, 0)),
    ):
        with in_process():
            model = open_model(written(tmp_path, content))
        answer = model.answer(blue)
        assert answer.argmax() == 2
        assert answer[2] > 0.9
