"""Files of every kind, ours and others', asked through one object."""

import colour_tasks
import numpy as np
import pytest
import tiny
from colour_tasks import SIDE, colour_file
from refusals import refused

from mnv3_tf.detection.postprocess import agreement
from mnv3_tf.errors import UserError
from mnv3_tf.tasks.classify import as_probabilities
from mnv3_tf.tasks.specs import resolve_spec
from mnv3_tf.tflite import metadata, post_process, skeleton
from mnv3_tf.tflite.packing import pack_model
from mnv3_tf.tflite.predictor import open_model

CORNER = ("red", (0, 0, 24, 16))
MIDDLE = ("blue", (96, 64, 120, 80))


@pytest.fixture(autouse=True)
def at_once(looked_at_here):
    """Nothing here crashes."""


@pytest.fixture
def contents(made):
    """Content by kind."""

    class Contents(dict):
        def __missing__(self, kind):
            return (made(colour_file, kind) / "m.tflite").read_bytes()

    return Contents()


def opened(folder, content):
    path = folder / "m.tflite"
    path.write_bytes(content)
    return open_model(path)


def edited(content, change):
    """The file after `change(tree, main subgraph)`."""
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    change(tree, tree.subgraphs[0])
    return pack_model(tree)


def unit(picture):
    return picture[np.newaxis].astype(np.float32) / 127.5 - 1


@pytest.mark.parametrize("kind", ["classify", "detect", "scores", "classes"])
def test_what_a_file_is(contents, tmp_path, kind):
    model = opened(tmp_path, contents[kind])
    task = kind if kind in ("classify", "detect") else "segment"
    assert (model.task, model.image_size, model.labels) == (task, (SIDE, SIDE), None)
    assert model.num_classes == (4 if task == "segment" else 3)
    assert model.label(1) == "class 1"
    named = opened(
        tmp_path, metadata.add_metadata(contents[kind], ["x", "y", "z", "w"][: model.num_classes])
    )
    assert named.label(1) == "y"
    assert named.label(7) == "class 7"


def test_a_classifier_answers(contents, tmp_path):
    model = opened(tmp_path, contents["classify"])
    pictures = [colour_tasks.picture((90, 120), (c, (0, 0, 120, 90))) for c in colour_tasks.COLOURS]
    answers = np.stack([model.answer(picture) for picture in pictures])
    assert answers.argmax(1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)
    blank = np.zeros((0, SIDE, SIDE, 3), np.float32)
    assert model.classify(blank).shape == (0, 3)


def test_a_detector_answers_in_parts_of_the_picture(contents, tmp_path):
    model = opened(tmp_path, contents["detect"])
    found = model.answer(colour_tasks.picture((128, 192), CORNER, MIDDLE))
    sure = found.scores > 0.5
    order = np.argsort(found.classes[sure])
    assert found.classes[sure][order].tolist() == [0, 2]
    expected = [[0, 0, 1 / 8, 1 / 8], [1 / 2, 1 / 2, 5 / 8, 5 / 8]]
    np.testing.assert_allclose(found.boxes[sure][order], expected, atol=1e-6)
    assert (np.diff(found.scores) <= 0).all()
    assert model.detect(np.zeros((0, SIDE, SIDE, 3))) == []


def test_places_that_a_detector_leaves_free_hold_anything(contents, tmp_path, monkeypatch):
    """TFLite_Detection_PostProcess does not write them."""
    model = opened(tmp_path, contents["detect"])
    for count in (1, 2):
        row = [0.25, 0.25, 0.5, 0.75]
        outputs = [[row, [np.nan] * 4], [2, np.nan], [0.5, np.nan], [count]]
        given = [np.array([each], np.float32) for each in outputs]
        answers = [given[model.signature.order.index(number)] for number in range(4)]
        monkeypatch.setattr(model._model, "given", lambda _, answers=answers: answers)
        if count == 1:
            (found,) = model.detect(np.zeros((1, SIDE, SIDE, 3)))
            np.testing.assert_array_equal(found.boxes, [row])
            assert (found.classes, found.scores) == ([2], [0.5])
        else:
            with refused(model.path, "no number (NaN)"):
                model.detect(np.zeros((1, SIDE, SIDE, 3)))


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_no_number_of_threads_loses_a_class(contents, tmp_path, threads):
    path = tmp_path / "m.tflite"
    path.write_bytes(contents["detect"])
    found = open_model(path, threads).answer(colour_tasks.picture((128, 192), CORNER, MIDDLE))
    assert sorted(found.classes[found.scores > 0.5]) == [0, 2]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_outputs_may_be_in_any_order(contents, tmp_path, order):
    def shuffle(tree, graph):
        graph.outputs = [graph.outputs[i] for i in order]
        for number in graph.outputs:
            graph.tensors[number].name = b"StatefulPartitionedCall"

    picture = colour_tasks.picture((128, 192), CORNER, MIDDLE)
    expected = opened(tmp_path, contents["detect"]).answer(picture)
    labelled = metadata.add_metadata(edited(contents["detect"], shuffle), ["a", "b", "c"])
    model = opened(tmp_path, labelled)
    found = model.answer(picture)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.classes, expected.classes)
    assert model.label(0) == "a"


@pytest.mark.parametrize("form", ["scores", "classes"])
def test_masks_have_the_size_of_the_picture(contents, tmp_path, form):
    model = opened(tmp_path, contents[form])
    mask = model.answer(colour_tasks.picture((128, 192), CORNER, MIDDLE))
    expected = np.zeros((128, 192), int)
    expected[:16, :24], expected[64:80, 96:120] = 1, 3
    assert mask.shape == (128, 192)
    # Edges are as coarse as the network sees them.
    assert (mask == expected).mean() > 0.98
    assert sorted(np.unique(mask)) == [0, 1, 3]
    own = colour_tasks.picture((SIDE, SIDE), ("green", (8, 0, 16, 40)))
    np.testing.assert_array_equal(model.segment(unit(own))[0], 2 * (own[..., 1] > 0))
    assert model.segment(unit(own)).dtype == np.int32
    assert model.segment(np.zeros((0, SIDE, SIDE, 3))).shape == (0, SIDE, SIDE)


def test_one_score_is_how_sure_the_figure_is(contents, tmp_path):
    model = opened(tmp_path, contents["red"])
    assert (model.task, model.num_classes) == ("segment", 2)
    own = colour_tasks.picture((SIDE, SIDE), ("red", (8, 0, 16, 40)), ("blue", (30, 0, 40, 40)))
    np.testing.assert_array_equal(model.answer(own), own[..., 0] > 0)


def test_our_raw_files_find_what_the_operator_finds(tmp_path):
    spec = resolve_spec("detect", "small", 0.35, 96, 3)
    # In float: among equal scores, of which int8 has many, each takes another box first.
    raw = post_process.in_order(skeleton.network(spec))
    text = spec.to_json()
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    whole = metadata.add_metadata(post_process.append(raw, spec.anchors()), None, spec=text)
    expected = opened(tmp_path, whole).answer(picture)
    model = opened(tmp_path, metadata.add_metadata(raw, None, spec=text))
    assert (model.signature.form, model.num_classes, model.spec) == ("raw", 3, spec)
    found = model.answer(picture)
    same, count = agreement(expected, found)
    assert count > 20
    assert same > 0.95 * count


def test_raw_files_without_their_spec_are_refused(tmp_path):
    spec = tiny.DETECTOR
    raw = post_process.in_order(skeleton.network(spec))
    with pytest.raises(UserError, match="does not tell the anchors"):
        opened(tmp_path, raw)
    for other in (spec.replace(resolution=128), spec.replace(extra_filters=(16, 16))):
        with pytest.raises(UserError, match="does not tell the anchors"):
            opened(tmp_path, metadata.add_metadata(raw, None, spec=other.to_json()))


def test_a_spec_of_another_file_is_not_believed(contents, tmp_path):
    spec = tiny.CLASSIFIER
    model = opened(tmp_path, metadata.add_metadata(contents["detect"], None, spec=spec.to_json()))
    assert (model.task, model.spec) == ("detect", None)


def test_pictures_of_another_size_are_refused(contents, tmp_path):
    model = opened(tmp_path, contents["detect"])
    with pytest.raises(UserError, match="takes pictures of 64x64 pixels and got 32x64x3"):
        model.detect(np.zeros((1, 32, 64, 3), np.float32))


def test_probabilities():
    np.testing.assert_array_equal(as_probabilities(np.array([0.2, 0.9])), [0.2, 0.9])
    np.testing.assert_allclose(as_probabilities(np.array([1.0, -1.0])), [0.880797, 0.119203], 1e-5)
    assert as_probabilities(np.array([1e4, 0.0])).tolist() == [1, 0]
    logits = np.array([0.0, 1.0])  # which look like probabilities
    np.testing.assert_allclose(as_probabilities(logits, "logits"), [0.268941, 0.731059], 1e-5)
    np.testing.assert_allclose(as_probabilities(np.log([0.2, 0.8]), "logarithms"), [0.2, 0.8], 1e-5)
