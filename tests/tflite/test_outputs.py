"""What outputs mean: classes, masks, or something else that is told by what it is."""

import numpy as np
import pytest
from foreign_files import SIDE, ForeignFile, colour_classifier, written
from looking import in_process
from refusals import refused

from mnv3_tf.tflite import metadata
from mnv3_tf.tflite.description import describe
from mnv3_tf.tflite.predictor import open_model
from mnv3_tf.tflite.reading import Reading

BLUE = np.zeros((SIDE, SIDE, 3), np.uint8)
BLUE[..., 2] = 255
BYTES = Reading(input_range="0..1")


def opened(folder, content, reading=BYTES):
    with in_process():
        return open_model(written(folder, content), reading=reading)


def giving(*outputs, last="ADD", dtype="float32", names=(), side=SIDE, **tensor):
    """A file whose outputs have these shapes; `last` makes each of them."""
    file = ForeignFile()
    file.input((1, side, side, 3))
    made = []
    for shape in outputs:
        inputs = [file.tensor(shape), file.tensor(shape)]
        made.append(file.add(last, inputs[: 1 + (last == "ADD")], shape, dtype, **tensor))
    return file.finish(*made, names=dict(zip(made, names, strict=False)) or None)


def told(folder, content, reading=None):
    """The description, without running the file."""
    return describe(written(folder, content), reading or Reading())


# -- classes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "labels", "background", "classes"),
    [
        (1001, None, True, 1000),
        (1000, None, False, 1000),
        (1001, ["background", *map(str, range(1000))], True, 1000),
        (1001, list(map(str, range(1000))), True, 1000),
        (1001, list(map(str, range(1001))), False, 1001),
        (1000, ["background", *map(str, range(1000))], False, 1000),
        (4, ["background", "a", "b", "c"], False, 4),
        (3, ["a", "b", "c"], False, 3),
    ],
)
def test_a_background_is_no_class(tmp_path, count, labels, background, classes):
    reading = Reading()
    if labels:
        (tmp_path / "names.txt").write_text("\n".join(labels))
        reading = Reading(labels=str(tmp_path / "names.txt"))
    described = told(tmp_path, giving((1, count), last="SOFTMAX"), reading)
    assert (described.background, described.num_classes) == (background, classes)
    assert any("for the background" in note for note in described.notes) == background
    if labels:
        assert described.labels[-1] == labels[-1]
        assert len(described.labels) == classes


def test_the_background_gets_no_picture(tmp_path):
    file = ForeignFile()
    means = file.means(file.input((1, SIDE, SIDE, 3)))
    padded = file.add("PAD", [means, file.constant([[0, 0], [1, 997]], "int32")], (1, 1001))
    model = opened(tmp_path, file.finish(file.softmax(padded)))
    assert model.num_classes == 1000
    answer = model.answer(BLUE)
    assert answer.shape == (1000,)
    assert answer.argmax() == 2


def test_names_of_another_number_are_refused_where_they_were_asked_for(tmp_path):
    content = colour_classifier()
    (tmp_path / "labels.txt").write_text("a\nb\n")
    described = told(tmp_path, content)
    assert described.labels is None
    assert any("labels.txt names 2 classes" in note for note in described.notes)
    with refused("labels.txt names 2 classes, and", "has 3"):
        told(tmp_path, content, Reading(labels=str(tmp_path / "labels.txt")))
    (tmp_path / "labels.txt").write_text("\ufeff0 red\r\n1 green\r\n2 blue\r\n\r\n")
    assert told(tmp_path, content).labels == ("red", "green", "blue")
    inside = metadata.add_metadata(content, ["r", "g", "b"])
    assert told(tmp_path, inside).labels == ("r", "g", "b")


@pytest.mark.parametrize(
    ("op", "labels", "names", "sure"),
    [
        ("LOGISTIC", "cat\ndog", ("cat", "dog"), 0.880797),
        ("LOGISTIC", "dog", ("not dog", "dog"), 0.880797),
        ("FULLY_CONNECTED", "cat\ndog", ("cat", "dog"), 0.880797),
    ],
)
def test_a_single_score_is_of_the_second_of_two_classes(tmp_path, op, labels, names, sure):
    """Twice the blue of a picture, as logit or its probability."""
    file = ForeignFile()
    means = file.means(file.input((1, SIDE, SIDE, 3)))
    weights = file.constant([[0.0, 0.0, 2.0]])
    out = file.add("FULLY_CONNECTED", [means, weights], (1, 1))
    if op == "LOGISTIC":
        out = file.add(op, [out], (1, 1))
    (tmp_path / "labels.txt").write_text(labels)
    model = opened(tmp_path, file.finish(out))
    assert (model.num_classes, model.labels) == (2, names)
    np.testing.assert_allclose(model.answer(BLUE), [1 - sure, sure], atol=1e-5)


def test_logits_are_known_by_what_makes_them(tmp_path):
    file = ForeignFile()
    means = file.means(file.input((1, SIDE, SIDE, 3)))
    model = opened(
        tmp_path,
        file.finish(file.add("FULLY_CONNECTED", [means, file.constant(np.eye(3))], (1, 3))),
    )
    powers = np.exp([0, 0, 1])
    np.testing.assert_allclose(model.answer(BLUE), powers / powers.sum(), atol=1e-5)
    log = file.add("LOG_SOFTMAX", [means], (1, 3))
    model = opened(tmp_path, file.finish(log))
    np.testing.assert_allclose(model.answer(BLUE), powers / powers.sum(), atol=1e-5)


def test_several_answers_are_listed_and_chosen_by_name(tmp_path):
    file = ForeignFile()
    means = file.means(file.input((1, SIDE, SIDE, 3)))
    age = file.softmax(file.add("FULLY_CONNECTED", [means, file.constant(np.eye(3))], (1, 3)))
    weights = file.constant([[1.0, 0, 0], [0, 0, 1.0]])
    gender = file.softmax(
        file.add("FULLY_CONNECTED", [means, weights], (1, 2)), name="tensor_of_it"
    )
    content = file.finish(age, gender, names={age: "age", gender: "gender"})
    model = opened(tmp_path, content)
    assert (model.num_classes, model.signature.others) == (3, ("gender",))
    (note,) = (note for note in model.notes if "gives" in note)
    assert "gives age and also gender" in note
    assert "--output_name" in note
    for name in ("gender", "tensor_of_it"):
        model = opened(tmp_path, content, Reading(input_range="0..1", output_name=name))
        assert (model.num_classes, model.signature.others) == (2, ())
        assert model.answer(BLUE).argmax() == 1
    with refused("--output_name=height is not an output of", "it has age, gender"):
        told(tmp_path, content, Reading(output_name="height"))


# -- masks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((1, 16, 16, 5), {}, ("scores", 5)),
        ((1, 8, 8, 21), {}, ("scores", 21)),
        ((1, 3, 3, 5), {}, ("scores", 5)),  # 16 / 5, rounded
        ((1, 16, 16, 1), {"last": "LOGISTIC"}, ("scores", 2)),
        ((1, 16, 16), {"dtype": "int64"}, ("classes", None)),
        ((1, 8, 8, 1), {"dtype": "int32"}, ("classes", None)),
        ((1, 16, 16, 3), {"last": "SOFTMAX"}, ("scores", 3)),
        ((1, 5, 16, 16), {}, ("scores", 5)),
    ],
)
def test_a_mask_is_the_picture_on_a_grid(tmp_path, shape, options, expected):
    signature = told(tmp_path, giving(shape, **options)).signature
    assert (signature.form, signature.num_classes) == expected
    assert signature.channels_first == (shape == (1, 5, 16, 16))


def test_a_mask_whose_classes_come_first(tmp_path):
    file = ForeignFile()
    image = file.input((1, 3, SIDE, SIDE))
    last, first = (file.constant(order, "int32") for order in ([0, 2, 3, 1], [0, 3, 1, 2]))
    out = file.softmax(file.add("TRANSPOSE", [image, last], (1, SIDE, SIDE, 3)))
    out = file.add("TRANSPOSE", [out, first], (1, 3, SIDE, SIDE))
    model = opened(tmp_path, file.finish(out))
    half = BLUE.copy()
    half[: SIDE // 2] = (255, 0, 0)
    mask = model.answer(half)
    assert (mask[0].tolist(), mask[-1].tolist()) == ([0] * SIDE, [2] * SIDE)
    assert model.segment(np.zeros((0, SIDE, SIDE, 3))).shape == (0, SIDE, SIDE)


@pytest.mark.parametrize(
    ("outputs", "options", "named"),
    [
        ([(1, 1, 17, 3)], {}, "17 key points of 3 figures each (float32 1x1x17x3)"),
        ([(1, 17, 2)], {}, "17 key points of 2 figures each"),
        ([(1, 9, 9, 17), (1, 9, 9, 34)], {"side": 65}, "heatmaps and offsets of key points"),
        ([(1, 1404), (1, 1)], {}, "key points and how sure they are"),
        ([(1, 195)], {"name": "world_landmarks"}, "key points (float32 1x195)"),
        ([(1, 84, 8400)], {"side": 640}, "boxes of 8400 anchors, 84 figures each, as YOLO's are"),
        ([(1, 25200, 85)], {"side": 640}, "boxes of 25200 anchors, 85 figures each"),
        ([(1, 1917, 4), (1, 1917, 91)], {"side": 300}, "codes and scores of anchors"),
        ([(1, 10, 4), (1, 10), (1, 10), (1,)], {}, "boxes in an order of their own"),
        ([(1, 16, 16, 1)], {}, "one figure for each pixel, as depth is"),
        ([(1, 16, 16)], {}, "one figure for each pixel, as depth is"),
        ([(1, 16, 16, 3)], {"last": "TANH"}, "a picture (float32 1x16x16x3)"),
        ([(1, 64, 64, 3)], {}, "a picture of another size"),
        ([(1, 16, 16, 3)], {"dtype": "uint8"}, "a picture (uint8 1x16x16x3)"),
        ([(1, 4, 4, 576)], {}, "features of a network without its head"),
        ([(1, 128)], {"last": "L2_NORMALIZATION"}, "an embedding (float32 1x128)"),
        ([(1, 1)], {"last": "RELU"}, "one figure that need not be from 0 to 1"),
        ([(1,)], {"dtype": "int64"}, "the number of a class, and no scores"),
        ([(1, 7, 13)], {}, "neither classes nor a mask"),
        ([(8, 5)], {}, "answers for 8 pictures"),
    ],
)
def test_what_is_neither_is_told_by_what_it_is(tmp_path, outputs, options, named):
    with refused(tmp_path / "m.tflite", f"gives {named}", "this toolkit reads classes, masks"):
        told(tmp_path, giving(*outputs, **options))


def test_a_word_within_a_word_means_nothing(tmp_path):
    content = giving((1, 8, 8, 5), name="decoder/conv2d_transpose/BiasAdd")
    assert told(tmp_path, content).signature.form == "scores"


def test_points_beside_classes_are_left_out(tmp_path):
    content = giving((1, 17, 3), (1, 5))
    assert told(tmp_path, content).signature.order == (1,)


def test_an_answer_that_is_no_number_is_none(tmp_path):
    """Its largest would be class 0, for every picture."""
    model = opened(tmp_path, colour_classifier([("ADD", np.float32(np.nan))]))
    with refused(model.path, "no number (NaN)", "pixels as 0..1"):
        model.classify(BLUE[np.newaxis] / np.float32(127.5) - 1)
