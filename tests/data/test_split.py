"""Batches: position-addressed for training, in order for evaluation."""

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.data import Augmentation, Split
from mnv3_tf.data.dataset import in_memory
from mnv3_tf.data.streams import ALONE, Host, StreamedSource
from mnv3_tf.errors import UserError

WHOLE = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=False)
STRONG = Augmentation(brightness=0.4, contrast=0.4, saturation=0.4)
COUNT = 23


def pixels():
    """Each picture tells its index: a constant gray."""
    return np.broadcast_to(
        np.arange(COUNT, dtype=np.uint8)[:, None, None, None] * 10, (COUNT, 16, 16, 3)
    ).copy()


def streamed(contents, labels):
    keys = {"content": contents, "label": tf.constant(labels, tf.int32)}
    pictures = tf.data.Dataset.from_tensor_slices(keys)
    return StreamedSource(lambda host: pictures, len(labels))


@pytest.fixture(params=["indexed", "streamed"])
def split(request) -> Split:
    make = in_memory if request.param == "indexed" else streamed
    return Split(make(pixels(), np.arange(COUNT)))


@pytest.fixture
def photos(make_photo, encode_photo) -> Split:
    return Split(in_memory([encode_photo(make_photo(i)) for i in range(10)], np.arange(10)))


def take(batches, count):
    return [(images.numpy(), labels.numpy()) for images, labels in batches.take(count)]


def same(some, others):
    return all(
        np.array_equal(a, c) and np.array_equal(b, d)
        for (a, b), (c, d) in zip(some, others, strict=True)
    )


def test_batches_have_the_promised_shape_type_and_range(photos):
    for batches in (photos.train_batches(4, 32, STRONG, 0), photos.eval_batches(4, 32)):
        images, labels = next(iter(batches))
        assert (images.shape, images.dtype) == ((4, 32, 32, 3), tf.float32)
        assert (labels.shape, labels.dtype) == ((4,), tf.int32)
        assert -1 <= tf.reduce_min(images) < tf.reduce_max(images) <= 1


@pytest.mark.parametrize("start", [1, 5, 7, 12])
def test_starting_at_a_step_continues_the_run_bit_for_bit(split, start):
    """Five batches an epoch: within an epoch, at its edge, and in a later one."""
    undisturbed = take(split.train_batches(4, 16, STRONG, 3), 16)
    resumed = take(split.train_batches(4, 16, STRONG, 3, start_step=start), 16 - start)
    assert same(undisturbed[start:], resumed)


def test_resuming_photographs_is_exact_too(photos):
    undisturbed = take(photos.train_batches(3, 32, STRONG, 0), 9)
    assert same(undisturbed[4:], take(photos.train_batches(3, 32, STRONG, 0, start_step=4), 5))


def test_an_epoch_has_every_picture_once_but_for_the_remainder(split):
    assert split.steps_per_epoch(4) == 5
    batches = take(split.train_batches(4, 16, WHOLE, 0), 15)
    orders = np.concatenate([labels for _, labels in batches]).reshape(3, 20)
    assert all(len(set(order)) == 20 for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert len({tuple(sorted(order)) for order in orders}) > 1  # the remainder differs
    for images, labels in batches:
        np.testing.assert_allclose((images[:, 0, 0, 0] + 1) * 12.75, labels, atol=1e-4)


def test_the_seed_decides(split):
    def run(seed):
        return take(split.train_batches(4, 16, STRONG, seed), 6)

    assert same(run(1), run(1))
    assert not same(run(1), run(2))


@pytest.mark.parametrize("global_seed", [0, 1])
def test_the_global_seed_has_no_say(split, global_seed):
    def run():
        return take(split.train_batches(4, 16, STRONG, 3), 6), split.images(9, 16)

    tf.random.set_seed(7)
    batches, images = run()
    tf.random.set_seed(global_seed)
    again, images_again = run()
    assert same(batches, again)
    np.testing.assert_array_equal(images, images_again)


def test_a_picture_looks_different_in_each_epoch(photos):
    looks = {}
    for images, labels in take(photos.train_batches(5, 32, Augmentation(), 0), 6):
        for image, label in zip(images, labels, strict=True):
            looks.setdefault(label, set()).add(image.tobytes())
    assert {len(views) for views in looks.values()} == {3}


def test_evaluation_has_each_picture_once_in_order(split):
    batches = take(split.eval_batches(10, 16), 9)
    assert [len(labels) for _, labels in batches] == [10, 10, 3]
    np.testing.assert_array_equal(np.concatenate([b for _, b in batches]), np.arange(COUNT))
    assert same(batches, take(split.eval_batches(10, 16), 9))


def test_calibration_pictures_are_drawn_without_replacement(split):
    images = split.images(12, 16, seed=1)
    assert images.shape == (12, 16, 16, 3)
    assert len({image.tobytes() for image in images}) == 12
    np.testing.assert_array_equal(images, split.images(12, 16, seed=1))
    assert len(split.images(100, 16)) == COUNT


def test_a_part_is_held_out_for_good(split):
    """Each picture is in one part, and is there every time."""
    whole = {picture.tobytes() for picture in split.images(1000, 8)}
    parts = [split.divided(5 / COUNT, seed=3) for _ in range(2)]
    assert [len(part) for part in parts[0]] == [len(split) - 5, 5]
    rest, held = ({p.tobytes() for p in part.images(1000, 8)} for part in parts[0])
    assert (rest & held, rest | held) == (set(), whole)
    for one, other in zip(*parts, strict=True):
        np.testing.assert_array_equal(one.images(1000, 8), other.images(1000, 8))
    batches = take(parts[0][0].train_batches(4, 8, Augmentation(), seed=0), 2)
    assert all(pictures.shape == (4, 8, 8, 3) for pictures, _ in batches)


def test_a_set_smaller_than_a_batch_is_refused(split):
    with pytest.raises(UserError, match=r"23 pictures.*batch of 32"):
        split.train_batches(32, 16, WHOLE, 0)


def test_the_resize_of_a_split_is_only_its_default():
    contents = np.zeros((1, 16, 16, 3), np.uint8)
    contents[:, 0] = 255
    split = Split(in_memory(contents, [0]), resize="resize")

    def top(resize):
        return next(iter(split.eval_batches(1, 16, resize)))[0].numpy()[0, 0].max()

    assert top(None) == 1
    assert top("resize256_crop") < 0


def test_the_parts_of_the_hosts_put_together_are_the_batches_of_one(split):
    def batches(host):
        return take(split.train_batches(6, 16, STRONG, 3, start_step=2, host=host), 5)

    parts = [batches(Host(number, 3)) for number in range(3)]
    together = [
        tuple(np.concatenate(arrays) for arrays in zip(*of_hosts, strict=True))
        for of_hosts in zip(*parts, strict=True)
    ]
    assert same(together, batches(ALONE))


def test_a_batch_that_hosts_cannot_share_evenly_is_refused(split):
    with pytest.raises(UserError, match="batch of 8 pictures cannot be divided among 3 hosts"):
        split.train_batches(8, 16, WHOLE, 0, host=Host(0, 3))


def test_hosts_take_turns_in_evaluation(split):
    def labels(host):
        return [int(v) for _, part in split.eval_batches(4, 16, host=host) for v in part]

    assert labels(Host(1, 3)) == list(range(1, COUNT, 3))
    assert sorted(labels(Host(0, 2)) + labels(Host(1, 2))) == list(range(COUNT))


@pytest.mark.parametrize(("cores", "tuned"), [(2, False), (16, False), (96, True)])
def test_pipelines_are_tuned_where_there_is_something_to_tune(split, cores, tuned, monkeypatch):
    """The tuner's thread holds up whoever drops an iterator."""
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    for batches in (split.train_batches(4, 16, WHOLE, 0), split.eval_batches(4, 16)):
        assert batches.options().autotune.enabled == tuned
