"""Pictures of several figures: a function of seed and index, true to boxes and masks."""

import numpy as np
import pytest

from mnv3_tf.data import shape_scenes
from mnv3_tf.data.shape_scenes import MOST_HIDDEN, hidden_part, scene
from mnv3_tf.data.shapes import CLASS_NAMES
from mnv3_tf.data.sources import open_dataset


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(shape_scenes, "COUNTS", {"train": 12, "val": 8})


def test_a_scene_depends_on_seed_split_and_index_alone():
    ours = scene(0, "train", 3, 48)
    np.testing.assert_array_equal(ours.image, scene(0, "train", 3, 48).image)
    for other in (scene(1, "train", 3, 48), scene(0, "val", 3, 48), scene(0, "train", 13, 48)):
        assert not np.array_equal(ours.image, other.image)


def test_one_to_four_figures_evenly_and_the_first_takes_turns():
    scenes = [scene(0, "train", index, 16) for index in range(200)]
    counts = np.bincount([len(one.labels) for one in scenes])
    assert counts[0] == 0
    assert len(counts) == 5
    assert counts[1:].min() > 30
    assert [one.labels[0] for one in scenes] == [index % 10 for index in range(200)]


def test_no_figure_is_hidden():
    assert max(hidden_part(scene(0, "val", index, 32).boxes) for index in range(40)) <= MOST_HIDDEN
    far, near = [0.0, 0.0, 0.4, 0.4], [0.0, 0.3, 1.0, 1.0]
    assert hidden_part(np.array([far, near])) == pytest.approx(0.25)
    assert hidden_part(np.array([near, far])) == pytest.approx(0.04 / 0.7)


def test_the_batches_of_detection_are_the_scenes():
    data = open_dataset("shapes", seed=5, resolution=32, task="detect")
    assert (data.class_names, len(data.train), len(data.val)) == (CLASS_NAMES, 12, 8)
    images, target = next(iter(data.val.eval_batches(8, 32)))
    for index in range(8):
        one = scene(5, "val", index, 32)
        count = len(one.labels)
        np.testing.assert_allclose((images[index] + 1) * 127.5, one.image, atol=1e-3)
        np.testing.assert_array_equal(target["boxes"][index, :count], one.boxes)
        np.testing.assert_array_equal(target["classes"][index, : count + 1], [*one.labels, -1])


def test_the_batches_of_segmentation_are_the_scenes():
    data = open_dataset("shapes", seed=5, resolution=(32, 24), task="segment")
    assert data.class_names == ("background", *CLASS_NAMES)
    _, masks = next(iter(data.val.eval_batches(8, 32)))
    np.testing.assert_array_equal(masks, [scene(5, "val", index, 32).mask for index in range(8)])
