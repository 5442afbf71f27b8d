"""The contract of batches, for every source that has boxes or masks."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mnv3_tf.data import shape_scenes
from mnv3_tf.data.augment_boxes import BoxAugmentation
from mnv3_tf.data.augment_masks import MaskAugmentation
from mnv3_tf.data.decode import decode_placed_window
from mnv3_tf.data.masks import open_masks
from mnv3_tf.data.sources import Opening, open_dataset
from mnv3_tf.errors import UserError

COUNT = 7
SIZE = (24, 32)
AUGMENTATION = {
    "detect": BoxAugmentation(zoom_out=0.3, brightness=0.2),
    "segment": MaskAugmentation(brightness=0.2),
}
CASES = [
    *(("detect", source) for source in ("voc", "coco", "shapes")),
    *(("segment", source) for source in ("masks", "shapes")),
]


@pytest.fixture(params=CASES, ids="-".join)
def data(request, monkeypatch):
    """Seven pictures for training, and at least two for validation."""
    task, source = request.param
    monkeypatch.setattr(shape_scenes, "COUNTS", {"train": COUNT, "val": 5})
    if source == "voc":
        objects = [[("cell", 1 + n, 1, 40, 20 + n), ("dust", 9, 9, 20, 20)] for n in range(8)]
        make = request.getfixturevalue("make_voc")
        name = f"voc:{make(objects, train='abcdefg', val='bh')}"
    elif source == "coco":
        make = request.getfixturevalue("make_coco")
        one = make([[(3, n, 0, 9, 30), (7, 5, 5, 40, 20)] for n in range(COUNT)])
        name = f"{one},{one.removeprefix('coco:')}"
    elif source == "masks":
        make = request.getfixturevalue("make_masks")
        rng = np.random.default_rng(0)
        masks = [rng.integers(0, 3, (40, 50)).astype(np.uint8) for _ in range(COUNT)]
        name = f"masks:{make([Image.fromarray(mask) for mask in masks])}"
    else:
        name = source
    return open_dataset(name, task=task, resolution=SIZE, training=False)


def flat(batches):
    return [[part.numpy() for part in tf.nest.flatten(batch)] for batch in batches]


def assert_same(some, others):
    assert len(some) == len(others) > 0
    for one, other in zip(some, others, strict=True):
        for part, counterpart in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, counterpart)


def train(data, start=0):
    return data.train.train_batches(3, SIZE, AUGMENTATION[data.task], 3, start)


def check_batch(data, batches, batch, count):
    """It has the promised shapes, types and ranges."""
    images, target = batch
    assert (images.shape, images.dtype) == ((count, *SIZE, 3), tf.float32)
    assert -1 <= tf.reduce_min(images) < tf.reduce_max(images) <= 1 + 1e-6
    if data.task == "segment":
        assert (target.shape, target.dtype) == ((count, *SIZE), tf.uint8)
        assert set(np.unique(target)) <= {*range(data.num_classes), 255}
    else:
        assert {name: (value.shape, value.dtype) for name, value in target.items()} == {
            "boxes": ((count, 100, 4), tf.float32),
            "classes": ((count, 100), tf.int32),
            "crowd": ((count, 100), tf.bool),
            "size": ((count, 2), tf.int32),
        }
        assert tf.reduce_min(target["classes"]) >= -1
        assert 0 <= tf.reduce_max(target["classes"]) < data.num_classes
    spec = batches.element_spec
    tf.nest.map_structure(lambda s, t: s.shape[1:].assert_is_fully_defined(), spec[1], target)
    assert spec[0].shape[1:] == (*SIZE, 3)


def test_training_batches(data):
    """Two an epoch; epochs differ. (That runs go on bit for bit is no matter of the task.)"""
    assert data.train.steps_per_epoch(3) == 2
    training = train(data)
    batches = list(training.take(4))
    check_batch(data, training, batches[0], 3)
    looks = {image.tobytes() for images, _ in batches for image in images.numpy()}
    assert len(looks) == 12
    if data.name.startswith("masks:"):
        assert_same(flat(batches[3:]), flat(train(data, start=3).take(1)))


def test_evaluation_has_each_picture_once_in_order(data):
    evaluation = data.val.eval_batches(2, SIZE)
    batches = list(evaluation)
    check_batch(data, evaluation, batches[0], 2)
    assert [len(images) for images, _ in batches[:-1]] == [2] * (len(batches) - 1)
    assert sum(len(images) for images, _ in batches) == len(data.val)
    assert_same(flat(batches), flat(evaluation))
    with pytest.raises(ValueError, match="view is 'crop'"):
        data.val.seen_as("crop").eval_batches(2, SIZE)
    # Calibration looks at the same.
    pictures = data.val.images(99, SIZE)
    evaluated = np.concatenate([images for images, _ in batches])
    assert pictures.shape == (len(data.val), *SIZE, 3)
    assert {one.tobytes() for one in pictures} == {one.tobytes() for one in evaluated}


def test_masks_on_disk_are_the_same_as_in_memory(make_masks):
    masks = np.random.default_rng(0).integers(0, 3, (3, 40, 50)).astype(np.uint8)
    root = str(make_masks([Image.fromarray(mask) for mask in masks]))
    runs = [flat(open_masks(Opening(root), bound).val.eval_batches(3, 32)) for bound in (2**20, 0)]
    assert_same(*runs)


REFUSED = {
    "--task=detect needs boxes, which folder: does not have; give shapes, "
    "coco:ANNOTATIONS.json,IMAGES[,VAL.json,VAL_IMAGES] or voc:DIR.": (
        "detect",
        "folder:x",
    ),
    "--task=detect needs boxes, which masks: does not have; give shapes, "
    "coco:ANNOTATIONS.json,IMAGES[,VAL.json,VAL_IMAGES] or voc:DIR.": (
        "detect",
        "masks:x",
    ),
    "--task=segment needs masks, which tfds: does not have; give shapes or masks:DIR.": (
        "segment",
        "tfds:x",
    ),
    "--task=classify needs a class for each picture, which voc: does not have; give shapes, "
    "folder:DIR, csv:FILE, shards:DIR or tfds:NAME.": ("classify", "voc:x"),
    "--task=pose is not one of classify, detect, segment.": ("pose", "shapes"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_source_that_does_not_serve_the_task_is_refused(sentence):
    task, name = REFUSED[sentence]
    with pytest.raises(UserError) as caught:
        open_dataset(name, task=task, training=False)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", ["voc", "coco:", "masks:", "shapes:3"])
def test_a_source_without_its_place_is_unknown(name):
    with pytest.raises(UserError, match="Unknown dataset"):
        open_dataset(name, task="detect", training=False)


@pytest.fixture(scope="module")
def huge():
    """The bytes of a JPEG of 1200 x 800, thirty times the sides of the others."""
    buffer = io.BytesIO()
    Image.new("L", (1200, 800), 200).save(buffer, "JPEG")
    return buffer.getvalue()


def test_of_a_huge_jpeg_training_decodes_what_it_needs(huge):
    choose = lambda shape: tf.concat([[0, 0], shape], 0)  # noqa: E731
    for least, shrunk in (
        *(((100, 150), 8), ((101, 150), 4), ((100, 151), 4)),
        *(((201, 9), 2), ((401, 9), 1)),
    ):
        pixels, window, shape = decode_placed_window(tf.constant(huge), choose, least)
        assert pixels.shape == (800 // shrunk, 1200 // shrunk, 3)
        assert window.numpy().tolist() == [0, 0, 800, 1200]
        assert shape.numpy().tolist() == [800, 1200]


def test_a_huge_picture_among_small_ones_with_boxes(make_coco, tmp_path, huge):
    name = make_coco([[(3, 5, 5, 20, 20)]] * 3)
    path = tmp_path / "c.json"
    path.write_text(path.read_text().replace('"height": 40, "width": 50', '"height": 0', 1))
    (tmp_path / "pictures" / "0.jpg").write_bytes(huge)
    data = open_dataset(f"{name},{name.removeprefix('coco:')}", task="detect", training=False)
    assert not any("left" in note for note in data.notes)
    for batches in (
        data.train.train_batches(3, 32, BoxAugmentation(), 0).take(1),
        data.val.eval_batches(3, 32),
    ):
        images, target = next(iter(batches))
        assert images.shape == (3, 32, 32, 3)
        assert sorted(target["size"].numpy().tolist()) == [[40, 50], [40, 50], [800, 1200]]


def test_a_huge_picture_among_small_ones_with_masks(make_masks, huge):
    root = make_masks([Image.new("L", (50, 40))] * 2)
    for part in ("train", "val"):
        (root / part / "images" / "0.jpg").write_bytes(huge)
        Image.new("L", (1200, 800), 1).save(root / part / "masks" / "0.png", compress_level=1)
    data = open_dataset(f"masks:{root}", task="segment", training=False)
    for batches in (
        data.train.train_batches(2, 32, MaskAugmentation(), 0).take(1),
        data.val.eval_batches(2, 32),
    ):
        images, masks = next(iter(batches))
        assert images.shape == (2, 32, 32, 3)
        assert {0, 1} <= set(np.unique(masks)) <= {0, 1, 255}
