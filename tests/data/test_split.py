"""Batches: position-addressed for training, in order for evaluation."""

import numpy as np
import pytest
import tensorflow as tf
from told_views import TOLD

from mnv3_tf.data.augment import Augmentation
from mnv3_tf.data.dataset import Dataset, Split, in_memory
from mnv3_tf.data.streaming import ALONE, Host, StreamedSource
from mnv3_tf.errors import UserError

COUNT = 23
HOW, SEED = 77, 3


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
    return Split(make(pixels(), np.arange(COUNT)), views=TOLD)


@pytest.fixture
def photos(make_photo, encode_photo) -> Split:
    return Split(in_memory([encode_photo(make_photo(i)) for i in range(10)], np.arange(10)))


def train(split, size=4, seed=SEED, start=0, host=ALONE):
    return split.train_batches(size, 16, HOW, seed, start, host)


def take(batches, count):
    return list(batches.take(count).as_numpy_iterator())


def same(some, others):
    assert len(some) == len(others) > 0
    return all(
        np.array_equal(a, c) and np.array_equal(b, d)
        for (a, b), (c, d) in zip(some, others, strict=True)
    )


# -- real views ------------------------------------------------------------------------------


def test_views_of_photographs(photos):
    """Shapes, types and ranges; each look of a picture is new; a run goes on bit for bit."""
    strong = Augmentation(brightness=0.4, contrast=0.4, saturation=0.4)
    tf.random.set_seed(7)
    training = photos.train_batches(5, 32, strong, 0)
    batches = take(training, 6)
    for batch in (batches[0], take(photos.eval_batches(5, 32), 1)[0]):
        images, labels = batch
        assert (images.shape, images.dtype) == ((5, 32, 32, 3), np.float32)
        assert (labels.shape, labels.dtype) == ((5,), np.int32)
        assert -1 <= images.min() < images.max() <= 1 + 1e-6
    assert training.element_spec[0].shape == (5, 32, 32, 3)
    looks = {}
    for images, labels in batches:
        for image, label in zip(images, labels, strict=True):
            looks.setdefault(label, set()).add(image.tobytes())
    assert sorted(looks) == list(range(10))
    assert {len(views) for views in looks.values()} == {3}
    tf.random.set_seed(1)
    assert same(batches[3:], take(photos.train_batches(5, 32, strong, 0, start_step=3), 3))


def test_evaluation_sees_a_split_as_it_is_asked_to():
    contents = np.zeros((1, 16, 16, 3), np.uint8)
    contents[:, 0] = 255
    split = Split(in_memory(contents, [0]), "whole")

    def tops(split):
        return take(split.eval_batches(1, 16), 1)[0][0][0, 0].max(), split.images(1, 16)[0, 0].max()

    assert Split(in_memory(contents, [0])).view == "crop"
    assert tops(split) == (1, 1)
    assert max(tops(split.seen_as("crop"))) < 0
    data = Dataset("d", ("a",), None, split)
    assert data.seen_as(None) is data
    assert (data.view, data.seen_as("crop").view) == ("whole", "crop")
    assert data.seen_as("crop").val.paths is split.paths


# -- training --------------------------------------------------------------------------------


def test_starting_at_a_step_continues_the_run_bit_for_bit(split):
    """Five batches an epoch: at the edge of one, and within a later one."""
    undisturbed = take(train(split), 13)
    for start in (5, 12):
        assert same(undisturbed[start:], take(train(split, start=start), 13 - start))


def test_an_epoch_has_every_picture_once_but_for_the_remainder(split):
    assert split.steps_per_epoch(4) == 5
    batches = take(train(split), 15)
    orders = np.concatenate([labels for _, labels in batches]).reshape(3, 20)
    assert all(len(set(order)) == 20 for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert len({tuple(sorted(order)) for order in orders}) > 1  # the remainder differs
    seeds, positions, pictures, resolutions, how = np.concatenate([told for told, _ in batches]).T
    np.testing.assert_array_equal(pictures, 10 * orders.ravel())
    # Each view has a seed of its own: that of the run, and how many came before.
    np.testing.assert_array_equal(positions, np.arange(60))
    assert (set(seeds), set(resolutions), set(how)) == ({SEED}, {16}, {HOW})


def test_the_seed_decides_and_the_global_seed_has_no_say(split):
    tf.random.set_seed(7)
    batches, images = take(train(split), 6), split.images(9, 16)
    tf.random.set_seed(0)
    assert same(batches, take(train(split), 6))
    np.testing.assert_array_equal(images, split.images(9, 16))
    orders = [
        np.concatenate([labels for _, labels in found]).tolist()
        for found in (batches, take(train(split, seed=4), 6))
    ]
    assert orders[0] != orders[1]


def test_orders_and_views_never_share_a_seed():
    """An epoch's order has a negative one, of which keys that tell it bear witness."""

    class Told:
        checked = True

        def __len__(self):
            return 4

        def epoch(self, order_seed):
            return tf.data.Dataset.from_tensors(order_seed).repeat(4)

        def load(self, key):
            return tf.fill((1, 1, 1), key[1]), tf.cast(key[0], tf.int32)

    told = take(Split(Told(), views=TOLD).train_batches(4, 16, HOW, SEED), 3)
    assert [set(labels) for _, labels in told] == [{SEED}] * 3
    assert [set(told[:, 2]) for told, _ in told] == [{-1}, {-2}, {-3}]


def test_a_set_smaller_than_a_batch_is_refused(split):
    with pytest.raises(UserError, match=r"23 pictures.*batch of 24.*at most 23"):
        train(split, 24)
    assert split.steps_per_epoch(23) == 1


# -- evaluation and calibration --------------------------------------------------------------


def test_evaluation_has_each_picture_once_in_order(split):
    evaluation = split.eval_batches(10, 16)
    batches = take(evaluation, 9)
    assert [len(labels) for _, labels in batches] == [10, 10, 3]
    np.testing.assert_array_equal(np.concatenate([b for _, b in batches]), np.arange(COUNT))
    pictures, resolutions = np.concatenate([told for told, _ in batches]).T
    np.testing.assert_array_equal(pictures, 10 * np.arange(COUNT))
    assert set(resolutions) == {16}
    assert same(batches, take(evaluation, 9))


def test_calibration_pictures_are_drawn_without_replacement(split):
    images = split.images(12, 16, seed=1)
    assert images.shape == (12, 2)
    assert len(set(images[:, 0])) == 12
    np.testing.assert_array_equal(images, split.images(12, 16, seed=1))
    assert set(split.images(12, 16, seed=2)[:, 0]) != set(images[:, 0])
    assert len(split.images(100, 16)) == COUNT


def test_a_part_is_held_out_for_good(split):
    """Each picture is in one part, and is there every time."""
    parts = [split.divided(5 / COUNT, seed=3) for _ in range(2)]
    assert [len(part) for part in parts[0]] == [len(split) - 5, 5]
    rest, held = (set(part.images(1000, 8)[:, 0]) for part in parts[0])
    assert (rest & held, rest | held) == (set(), set(range(0, 10 * COUNT, 10)))
    assert set(parts[1][1].images(1000, 8)[:, 0]) == held
    labels = np.concatenate([labels for _, labels in take(train(parts[0][0]), 4)])
    assert len(set(labels)) == 16
    assert set(10 * labels) <= rest
    for part, count in ((0.01, 0), (1.0, 23)):
        with pytest.raises(UserError, match=f"--held_out={part:g} of 23 training .* is {count};"):
            split.divided(part, seed=3)


# -- hosts -----------------------------------------------------------------------------------


def test_the_parts_of_the_hosts_put_together_are_the_batches_of_one(split):
    def batches(host):
        return take(train(split, 6, start=2, host=host), 5)

    parts = [batches(Host(number, 3)) for number in range(3)]
    together = [
        tuple(np.concatenate(arrays) for arrays in zip(*of_hosts, strict=True))
        for of_hosts in zip(*parts, strict=True)
    ]
    assert same(together, batches(ALONE))


def test_a_batch_that_hosts_cannot_share_evenly_is_refused(split):
    with pytest.raises(UserError, match="batch of 8 pictures cannot be divided among 3 hosts"):
        train(split, 8, host=Host(0, 3))


def test_hosts_take_turns_in_evaluation(split):
    def labels(host):
        return [int(v) for _, part in split.eval_batches(4, 16, host=host) for v in part]

    assert labels(Host(1, 3)) == list(range(1, COUNT, 3))
    assert labels(Host(0, 2)) == list(range(0, COUNT, 2))


@pytest.mark.parametrize(("cores", "tuned"), [(16, False), (17, True)])
def test_pipelines_are_tuned_where_there_is_something_to_tune(split, cores, tuned, monkeypatch):
    """The tuner's thread holds up whoever drops an iterator."""
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    for batches in (train(split), split.eval_batches(4, 16)):
        assert batches.options().autotune.enabled == tuned
        assert batches.options().deterministic


def test_pictures_are_counted_by_class_and_none_is_decoded():
    split = Split(in_memory([b"no picture"] * 6, [2, 0, 2, 2, -1, 0]))
    assert split.class_counts(4) == [2, 0, 3, 0]
