"""The contract of batches, for every source that has boxes or masks."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mnv3_tf.data import BoxAugmentation, MaskAugmentation, open_dataset, shape_scenes
from mnv3_tf.data.decode import decode_placed_window
from mnv3_tf.data.masks import open_masks
from mnv3_tf.data.streams import ALONE, Host
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
    return open_dataset(name, task=task, resolution=SIZE)


def take(batches, count):
    return [[part.numpy() for part in tf.nest.flatten(batch)] for batch in batches.take(count)]


def assert_same(some, others):
    assert len(some) == len(others) > 0
    for one, other in zip(some, others, strict=True):
        for part, counterpart in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, counterpart)


def train(data, start=0, seed=3, host=ALONE, batch=3):
    how = AUGMENTATION[data.task]
    return data.train.train_batches(batch, SIZE, how, seed, start, host)


def test_batches_have_the_promised_shapes_types_and_ranges(data):
    for batches in (train(data, batch=2), data.val.eval_batches(2, SIZE)):
        images, target = next(iter(batches))
        assert (images.shape, images.dtype) == ((2, *SIZE, 3), tf.float32)
        assert -1 <= tf.reduce_min(images) < tf.reduce_max(images) <= 1 + 1e-6
        if data.task == "segment":
            assert (target.shape, target.dtype) == ((2, *SIZE), tf.uint8)
            assert set(np.unique(target)) <= {*range(data.num_classes), 255}
        else:
            assert {name: (value.shape, value.dtype) for name, value in target.items()} == {
                "boxes": ((2, 100, 4), tf.float32),
                "classes": ((2, 100), tf.int32),
                "crowd": ((2, 100), tf.bool),
                "size": ((2, 2), tf.int32),
            }
            assert tf.reduce_min(target["classes"]) >= -1
            assert 0 <= tf.reduce_max(target["classes"]) < data.num_classes
        spec = batches.element_spec
        tf.nest.map_structure(lambda s, t: s.shape[1:].assert_is_fully_defined(), spec[1], target)
        assert spec[0].shape[1:] == (*SIZE, 3)


def test_starting_at_a_step_continues_the_run_bit_for_bit(data):
    """Two batches an epoch: within one, and in a later one."""
    assert data.train.steps_per_epoch(3) == 2
    undisturbed = take(train(data), 6)
    for start in (1, 4):
        assert_same(undisturbed[start:], take(train(data, start), 6 - start))


def test_the_seed_decides_and_epochs_differ(data):
    batches = take(train(data), 4)
    assert not np.array_equal(batches[0][0], take(train(data, seed=4), 1)[0][0])
    assert len({image.tobytes() for batch in batches for image in batch[0]}) == 12


def test_the_parts_of_the_hosts_put_together_are_the_batches_of_one(data):
    parts = [take(train(data, 1, host=Host(n, 2), batch=4), 2) for n in range(2)]
    together = [
        [np.concatenate(values) for values in zip(*batch, strict=True)]
        for batch in zip(*parts, strict=True)
    ]
    assert_same(together, take(train(data, 1, batch=4), 2))


def test_evaluation_has_each_picture_once_in_order(data):
    batches = take(data.val.eval_batches(2, SIZE), 99)
    assert sum(len(batch[0]) for batch in batches) == len(data.val)
    assert_same(batches, take(data.val.eval_batches(2, SIZE), 99))
    with pytest.raises(ValueError, match="resize256_crop"):
        data.val.eval_batches(2, SIZE, "resize256_crop")


def test_calibration_pictures_are_those_of_evaluation(data):
    pictures = data.val.images(99, SIZE)
    evaluated = np.concatenate([batch[0] for batch in take(data.val.eval_batches(2, SIZE), 99)])
    assert pictures.shape == (len(data.val), *SIZE, 3)
    assert {one.tobytes() for one in pictures} == {one.tobytes() for one in evaluated}
    assert data.val.images(1, SIZE).shape == (1, *SIZE, 3)


def test_masks_on_disk_are_the_same_as_in_memory(make_masks):
    mask = Image.fromarray(np.zeros((40, 50), np.uint8))
    root = str(make_masks([mask] * 3))
    runs = [
        take(open_masks(root, bound).train.train_batches(3, 32, MaskAugmentation(), 0), 2)
        for bound in (2**20, 0)
    ]
    assert_same(*runs)


REFUSED = {
    "--task=detect needs boxes, which folder: does not have; give coco:, voc: or shapes.": (
        "detect",
        "folder:x",
    ),
    "--task=detect needs boxes, which masks: does not have; give coco:, voc: or shapes.": (
        "detect",
        "masks:x",
    ),
    "--task=segment needs masks, which tfds: does not have; give masks: or shapes.": (
        "segment",
        "tfds:x",
    ),
    "--task=classify needs a class for each picture, which voc: does not have; give folder:, "
    "csv:, shards:, tfds: or shapes.": ("classify", "voc:x"),
    "Unknown task 'pose'; choose one of classify, detect, segment.": ("pose", "shapes"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_source_that_does_not_serve_the_task_is_refused(sentence):
    task, name = REFUSED[sentence]
    with pytest.raises(UserError) as caught:
        open_dataset(name, task=task)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", ["voc", "coco:", "masks:", "shapes:3"])
def test_a_source_without_its_place_is_unknown(name):
    with pytest.raises(UserError, match="Unknown dataset"):
        open_dataset(name, task="detect")


@pytest.fixture(scope="module")
def huge():
    """The bytes of a JPEG of 6000 x 4000, which are 72 megabytes as pixels."""
    import io

    buffer = io.BytesIO()
    Image.new("L", (6000, 4000), 200).save(buffer, "JPEG")
    return buffer.getvalue()


def test_of_a_huge_jpeg_training_decodes_an_eighth(huge):
    choose = lambda shape: tf.concat([[0, 0], shape], 0)  # noqa: E731
    pixels, window, shape = decode_placed_window(tf.constant(huge), choose, (320, 320))
    assert pixels.shape == (500, 750, 3)
    assert window.numpy().tolist() == [0, 0, 4000, 6000]
    assert shape.numpy().tolist() == [4000, 6000]


def test_a_huge_picture_among_small_ones_with_boxes(make_coco, tmp_path, huge):
    name = make_coco([[(3, 5, 5, 20, 20)]] * 3)
    path = tmp_path / "c.json"
    path.write_text(path.read_text().replace('"height": 40, "width": 50', '"height": 0', 1))
    (tmp_path / "pictures" / "0.jpg").write_bytes(huge)
    data = open_dataset(f"{name},{name.removeprefix('coco:')}", task="detect")
    assert data.notes == ()
    for batches in (
        data.train.train_batches(3, 32, BoxAugmentation(), 0).take(1),
        data.val.eval_batches(3, 32),
    ):
        images, target = next(iter(batches))
        assert images.shape == (3, 32, 32, 3)
        assert sorted(target["size"].numpy().tolist()) == [[40, 50], [40, 50], [4000, 6000]]


def test_a_huge_picture_among_small_ones_with_masks(make_masks, huge):
    root = make_masks([Image.new("L", (50, 40))] * 2)
    for part in ("train", "val"):
        (root / part / "images" / "0.jpg").write_bytes(huge)
        Image.new("L", (6000, 4000), 1).save(root / part / "masks" / "0.png", compress_level=1)
    data = open_dataset(f"masks:{root}", task="segment")
    for batches in (
        data.train.train_batches(2, 32, MaskAugmentation(), 0).take(1),
        data.val.eval_batches(2, 32),
    ):
        images, masks = next(iter(batches))
        assert images.shape == (2, 32, 32, 3)
        assert {0, 1} <= set(np.unique(masks)) <= {0, 1, 255}
