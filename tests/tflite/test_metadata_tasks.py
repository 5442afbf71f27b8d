"""Metadata of detectors and segmentation networks, and the spec that travels along."""

import colour_tasks
import numpy as np
import pytest
import tiny
from making import LABELS, exported

from mnv3_tf.errors import UserError
from mnv3_tf.tflite import metadata, post_process, skeleton
from mnv3_tf.tflite.predictor import open_model

NAMES = ["red", "green", "blue, or bläulich"]


@pytest.fixture(autouse=True)
def at_once(looked_at_here):
    """Nothing here crashes."""


def network(task, quantize="none", output=None, **changes):
    """(spec, content): the smallest networks of ours, with random weights."""
    spec = tiny.NETWORKS[task].replace(**changes)
    content = skeleton.network(spec, quantize)
    if task == "detect":
        content = post_process.in_order(content)
        if output != "raw":
            content = post_process.append(content, spec.anchors())
    return spec, content


def stored(folder, content):
    path = folder / "m.tflite"
    path.write_bytes(content)
    return path


def colours(made, kind):
    return (made(colour_tasks.colour_file, kind) / "m.tflite").read_bytes()


@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize(
    ("task", "output"), [("classify", None), ("detect", None), ("detect", "raw"), ("segment", None)]
)
def test_names_and_spec_come_back(task, output, quantize):
    spec, content = network(task, quantize, output)
    full = metadata.add_metadata(content, NAMES, spec.name, "Tiny.", spec.to_json())
    assert metadata.labels_of(full) == NAMES
    assert metadata.spec_of(full) == spec
    assert metadata.normalization_of(full) == ([127.5], [127.5])
    assert metadata.labels_of(content) is metadata.spec_of(content) is None
    assert metadata.normalization_of(content) is None


@pytest.mark.parametrize("task", ["classify", "detect", "segment"])
def test_answers_stay(task, tmp_path):
    spec, content = network(task)
    picture = np.random.default_rng(0).integers(0, 256, (80, 90, 3)).astype(np.uint8)
    before = open_model(stored(tmp_path, content)).answer(picture)
    full = metadata.add_metadata(content, NAMES, spec=spec.to_json())
    after = open_model(stored(tmp_path, full)).answer(picture)
    if task == "detect":
        assert len(before.scores)
        before, after = before.boxes, after.boxes
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_adding_again_replaces_both(task):
    spec, content = network(task)
    once = metadata.add_metadata(content, NAMES, spec=spec.to_json())
    assert metadata.add_metadata(once, NAMES, spec=spec.to_json()) == once
    other, _ = network(task, **{"detect": {"resolution": 128}, "segment": {"height": 32}}[task])
    again = metadata.add_metadata(once, ["a", "b", "c"], spec=other.to_json())
    assert metadata.labels_of(again) == ["a", "b", "c"]
    assert metadata.spec_of(again) == other
    without = metadata.add_metadata(again, None)
    assert metadata.labels_of(without) is metadata.spec_of(without) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"task": "detect"}', "\udcff", '{"task": "__import__"}']
)
def test_a_damaged_spec_is_none(text, tmp_path):
    _, content = network("detect")
    spoiled = metadata.add_metadata(content, NAMES, spec="mnv3 was here")
    replacement = text.encode(errors="surrogateescape")
    at = spoiled.index(b"mnv3 was here")
    if len(replacement) <= 13:
        spoiled = spoiled[:at] + replacement.ljust(13) + spoiled[at + 13 :]
    else:
        spoiled = metadata.add_metadata(content, NAMES, spec=text)
    assert metadata.read_spec(stored(tmp_path, spoiled)) is None
    assert metadata.labels_of(spoiled) == NAMES


def test_counts_are_those_of_each_kind(made):
    kinds = [network("detect"), network("detect", output="raw"), network("segment")]
    for _, content in kinds:
        with pytest.raises(UserError, match="4 class names for 3 classes"):
            metadata.add_metadata(content, ["background", *NAMES])
    with pytest.raises(UserError, match="3 class names for 4 classes"):
        metadata.add_metadata(colours(made, "classes"), NAMES)
    assert metadata.labels_of(metadata.add_metadata(colours(made, "classes"), ["black", *NAMES]))


def test_outputs_of_no_kind_are_refused():
    from ai_edge_litert import schema_py_generated as schema

    from mnv3_tf.tflite.packing import pack_model

    tree = schema.ModelT.InitFromPackedBuf(network("detect", output="raw")[1], 0)
    graph = tree.subgraphs[0]
    for number in graph.outputs:
        graph.tensors[number].name = b"foreign"
    with pytest.raises(UserError, match="codes and scores of anchors"):
        metadata.add_metadata(pack_model(tree), None)


def scene():
    return colour_tasks.picture(
        (colour_tasks.SIDE, colour_tasks.SIDE),
        ("red", (8, 16, 16, 24)),
        ("blue", (40, 40, 48, 48)),
    )


def test_mediapipe_finds_the_objects(made, tmp_path, mediapipe_answers):
    path = stored(tmp_path, metadata.add_metadata(colours(made, "detect"), NAMES))
    picture = colour_tasks.save(scene(), tmp_path / "scene.png")
    found = mediapipe_answers(path, [picture], "detect")[0]
    sure = sorted((one["name"], one["box"]) for one in found if one["score"] > 0.5)
    assert sure == [(NAMES[2], [40, 40, 48, 48]), (NAMES[0], [8, 16, 16, 24])]


def test_mediapipe_finds_the_masks(made, tmp_path, mediapipe_answers):
    content = metadata.add_metadata(colours(made, "scores"), ["black", *NAMES])
    path = stored(tmp_path, content)
    picture = colour_tasks.save(scene(), tmp_path / "scene.png")
    found = mediapipe_answers(path, [picture], "segment")[0]
    expected = np.zeros((colour_tasks.SIDE, colour_tasks.SIDE), int)
    expected[16:24, 8:16], expected[40:48, 40:48] = 1, 3
    assert found["names"] == ["black", *NAMES]
    np.testing.assert_array_equal(found["mask"], expected)
    np.testing.assert_allclose(found["total"], 1, atol=1e-5)  # it made probabilities of logits


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("task", ["detect", "segment"])
def test_mediapipe_answers_as_we_do(task, quantize, made, tmp_path, mediapipe_answers):
    path = made(exported, task, **({"quantize": quantize} if quantize == "int8" else {}))
    path = path / "m.tflite"
    # Of the input's size, so that two ways of resizing do not count.
    height, width = tiny.NETWORKS[task].image_size
    pixels = np.random.default_rng(2).integers(0, 256, (height, width, 3)).astype(np.uint8)
    theirs = mediapipe_answers(path, [colour_tasks.save(pixels, tmp_path / "p.png")], task)[0]
    ours = open_model(path).answer(pixels)
    if task == "segment":
        assert len(np.unique(ours)) > 1
        # Its floats are added in another order.
        assert (np.array(theirs["mask"]) == ours).mean() > 0.999
        return
    # Of a box that reaches over the left or upper edge it moves the corner and keeps the size.
    theirs = [one for one in theirs if min(one["box"]) > 0]
    assert len(theirs) > 5
    corners = ours.boxes[:, [1, 0, 3, 2]] * width
    for one in theirs:
        # Corner and size are whole pixels, cut off.
        near = np.abs(corners - np.clip(one["box"], 0, width)).max(1) <= 2
        equal = np.abs(ours.scores - one["score"]) < 1e-3
        assert LABELS.index(one["name"]) in ours.classes[near & equal]
