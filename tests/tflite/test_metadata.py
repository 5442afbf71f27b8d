from pathlib import Path

import numpy as np
import pytest
from colour_network import colour_pictures

from mnv3_tf.errors import UserError
from mnv3_tf.tflite import metadata
from mnv3_tf.tflite.inspection import inspect
from mnv3_tf.tflite.predictor import open_model
from mnv3_tf.tflite.reading import Reading
from mnv3_tf.tflite.runtime import TFLiteModel

NAMES = ["red", "green", "blue, or bläulich"]
ROOT = Path(__file__).parents[2]


def with_names(path, folder, names=NAMES):
    labelled = folder / f"labelled_{path.name}"
    labelled.write_bytes(metadata.add_metadata(path.read_bytes(), names))
    return labelled


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_names_come_back_and_predictions_stay(file, tmp_path, kind):
    labelled = with_names(file(kind), tmp_path)
    assert metadata.read_labels(labelled) == NAMES
    assert inspect(labelled)["labels"] == NAMES
    pictures = colour_pictures()[0].astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(
        TFLiteModel(labelled).predict(pictures), TFLiteModel(file(kind)).predict(pictures)
    )


def test_a_file_without_names_has_none(file, tmp_path):
    assert metadata.read_labels(file("float")) is None
    unnamed = tmp_path / "unnamed.tflite"
    unnamed.write_bytes(metadata.add_metadata(file("float").read_bytes(), None))
    assert metadata.read_labels(unnamed) is None


def test_adding_again_replaces(file):
    once = metadata.add_metadata(file("float").read_bytes(), NAMES)
    assert metadata.add_metadata(once, NAMES) == once
    other = metadata.add_metadata(once, ["a", "b", "c"])
    assert metadata.labels_of(other) == ["a", "b", "c"]
    assert metadata.labels_of(metadata.add_metadata(once, None)) is None


def test_what_is_seen_of_a_picture_travels(file):
    content = file("float").read_bytes()
    assert metadata.view_of(content) is None
    seen = metadata.add_metadata(content, NAMES, view="whole")
    assert metadata.view_of(seen) == "whole"
    assert metadata.labels_of(seen) == NAMES
    assert metadata.view_of(metadata.add_metadata(seen, NAMES, view="crop")) == "crop"
    assert metadata.view_of(metadata.add_metadata(seen, NAMES)) is None
    assert metadata.view_of(seen.replace(b"whole", b"w\xffole")) is None


def test_weights_are_on_16_byte_boundaries(file):
    from ai_edge_litert import schema_py_generated as schema

    content = metadata.add_metadata(file("float").read_bytes(), NAMES)
    model = schema.Model.GetRootAs(content, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
    assert len(starts) > 3
    assert [start % 16 for start in starts] == [0] * len(starts)


@pytest.mark.parametrize("cut", [1, 30, 100, 140])
def test_a_cut_in_the_names_is_noticed(file, tmp_path, cut):
    path = with_names(file("float"), tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UserError, match="cut short"):
        inspect(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], "2 class names for 3 classes"),
        (["a", "", "c"], "'' is not one line"),
        (["a", "b\nc", "d"], "is not one line"),
    ],
)
def test_bad_names_are_refused(file, names, message):
    with pytest.raises(UserError, match=message):
        metadata.add_metadata(file("float").read_bytes(), names)


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_mediapipe_names_the_right_class(file, tmp_path, mediapipe_answers, kind):
    from PIL import Image

    labelled = with_names(file(kind), tmp_path)
    pictures, labels = colour_pictures(6)
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        Image.fromarray(picture).save(path)
    found = mediapipe_answers(labelled, paths)
    assert [table[0]["name"] for table in found] == [NAMES[label] for label in labels]
    scores = [[c["score"] for c in sorted(t, key=lambda c: c["index"])] for t in found]
    ours = TFLiteModel(labelled).predict(pictures.astype(np.float32) / 127.5 - 1)
    np.testing.assert_allclose(scores, ours, rtol=1e-4, atol=1e-5)


def test_mediapipe_sees_the_whole_picture(file, tmp_path, mediapipe_answers):
    """Sampled as we do: of noise, every other way to squeeze it gives another mean colour."""
    from PIL import Image

    labelled = with_names(file("float"), tmp_path)
    picture = np.random.default_rng(5).integers(0, 256, (97, 211, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "p.png")
    (found,) = mediapipe_answers(labelled, [tmp_path / "p.png"])
    scores = [category["score"] for category in sorted(found, key=lambda c: c["index"])]
    model = open_model(labelled, reading=Reading(view="whole"))
    (ours,) = model.classify(model.viewed(picture)[np.newaxis])
    np.testing.assert_allclose(scores, ours, atol=1e-3)
