"""Shards hold what the dataset held; they resume, and damage is counted."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf import cli
from mnv3_tf.data import Augmentation, open_dataset, shards
from mnv3_tf.data.streams import Host
from mnv3_tf.errors import Failure, UserError

WHOLE = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=False)


@pytest.fixture
def made(make_classes, tmp_path):
    """A folder of 2 x 20 photographs, 32 of them to train on, and where its shards go."""
    return open_dataset(f"folder:{make_classes(['cat', 'dog'], 20)}"), tmp_path / "shards"


def pictures(split):
    """Each picture's bytes with its label, in order."""
    return [(content, int(label)) for content, label in split.encoded().as_numpy_iterator()]


def test_they_hold_what_the_dataset_held(made):
    dataset, out = made
    index = shards.write_shards(dataset, out, 10)
    assert [file["pictures"] for file in index["files"]["train"]] == [10, 10, 10, 2]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [f"train-{n:05}-of-00004.tfrecord" for n in range(4)]
        + ["val-00000-of-00001.tfrecord", "index.json"]
    )
    found = open_dataset(f"shards:{out}")
    assert found.class_names == ("cat", "dog")
    for split in ("train", "val"):
        ours, theirs = pictures(getattr(found, split)), pictures(getattr(dataset, split))
        assert len(getattr(found, split)) == len(theirs)
        assert sorted(ours) == sorted(theirs)
    labels = [label for _, label in pictures(found.train)]
    assert labels != sorted(labels)  # shuffled


def test_pictures_without_a_file_are_kept_exactly(tmp_path):
    dataset = open_dataset("shapes", resolution=32)
    small = type(dataset)("shapes", dataset.class_names, None, dataset.val)
    shards.write_shards(small, tmp_path / "s", 400)
    found = open_dataset(f"shards:{tmp_path / 's'}").val
    assert found.resize == dataset.val.resize
    ours = np.concatenate([x for x, _ in found.eval_batches(64, 32).as_numpy_iterator()])
    theirs = np.concatenate([x for x, _ in dataset.val.eval_batches(64, 32).as_numpy_iterator()])
    in_order = [np.sort(batch.sum((1, 2, 3))) for batch in (ours, theirs)]
    np.testing.assert_array_equal(*in_order)


def test_a_stopped_run_goes_on(made, monkeypatch):
    dataset, out = made
    write = shards._write_shard
    with monkeypatch.context() as patch:

        def stop(path, *rest):
            if "00002" in path.name:
                raise KeyboardInterrupt
            write(path, *rest)

        patch.setattr(shards, "_write_shard", stop)
        with pytest.raises(KeyboardInterrupt):
            shards.write_shards(dataset, out, 10)
    with pytest.raises(UserError, match=r"There is no readable .*index\.json"):
        open_dataset(f"shards:{out}")
    first = (out / "train-00000-of-00004.tfrecord").stat().st_mtime_ns
    shards.write_shards(dataset, out, 10)
    assert (out / "train-00000-of-00004.tfrecord").stat().st_mtime_ns == first
    whole = out.parent / "whole"
    shards.write_shards(dataset, whole, 10)
    for path in whole.glob("*.tfrecord"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_another_job_is_refused_and_named(made):
    dataset, out = made
    shards.write_shards(dataset, out, 10)
    with pytest.raises(UserError, match="shards of another pictures_per_shard: 10, not 20"):
        shards.write_shards(dataset, out, 20)
    assert shards.write_shards(dataset, out, 10)["files"]


def test_a_folder_of_other_things(made):
    dataset, out = made
    out.mkdir()
    (out / "letter.txt").touch()
    with pytest.raises(UserError, match="is not empty and holds no shards"):
        shards.write_shards(dataset, out)


def test_a_missing_or_shortened_shard(made):
    dataset, out = made
    shards.write_shards(dataset, out, 10)
    path = out / "train-00001-of-00004.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"train-00001.* has \d+ bytes, not \d+"):
        open_dataset(f"shards:{out}")
    path.unlink()
    with pytest.raises(UserError, match=r"train-00001.* is missing"):
        open_dataset(f"shards:{out}")


def test_damage_costs_the_rest_of_its_shard_and_nothing_else(made):
    dataset, out = made
    shards.write_shards(dataset, out, 10)
    whole = pictures(open_dataset(f"shards:{out}").train)
    path = out / "train-00001-of-00004.tfrecord"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    split = open_dataset(f"shards:{out}").train
    found = pictures(split)
    assert len(found) == 32
    lost = [place for place, (_, label) in enumerate(found) if label < 0]
    assert lost == list(range(lost[0], 20))
    assert 10 < lost[0] < 20
    assert [p for n, p in enumerate(found) if n not in lost] == [
        p for n, p in enumerate(whole) if n not in lost
    ]
    labels = np.concatenate([y for _, y in split.eval_batches(5, 16).as_numpy_iterator()])
    assert (labels < 0).sum() == len(lost)


def test_a_picture_that_cannot_be_decoded_keeps_its_place(made):
    dataset, out = made
    shards.write_shards(dataset, out, 40)
    path = out / "train-00000-of-00001.tfrecord"
    records = [r.numpy() for r in tf.data.TFRecordDataset(str(path))]
    before = open_dataset(f"shards:{out}").train
    wanted = list(before.train_batches(8, 16, WHOLE, 0).take(4).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, record in enumerate(records):
            if number == 7:
                example = tf.train.Example.FromString(record)
                value = example.features.feature["image/encoded"].bytes_list.value
                value[0] = value[0][:100] + b"\0" * (len(value[0]) - 100)
                record = example.SerializeToString()
            writer.write(record)
    found = list(before.train_batches(8, 16, WHOLE, 0).take(4).as_numpy_iterator())
    bad = [(b, p) for b, (_, labels) in enumerate(found) for p in np.flatnonzero(labels < 0)]
    assert len(bad) == 1
    for batch, ((x, y), (wx, wy)) in enumerate(zip(found, wanted, strict=True)):
        for place in range(8):
            if (batch, place) in bad:
                assert (x[place] == -1).all()
            else:
                np.testing.assert_array_equal(x[place], wx[place])
                assert y[place] == wy[place]


def test_each_host_reads_its_own_files(made):
    dataset, out = made
    shards.write_shards(dataset, out, 4)  # eight files of four pictures
    split = open_dataset(f"shards:{out}").train
    files = {}
    for number, path in enumerate(sorted(out.glob("train-*"))):
        for record in tf.data.TFRecordDataset(str(path)):
            example = tf.train.Example.FromString(record.numpy())
            files[example.features.feature["image/encoded"].bytes_list.value[0]] = number
    for number in (0, 1):
        own = split._source.of_host(Host(number, 2))
        assert {files[key["content"].numpy()] % 2 for key in own.in_order()} == {number}
        batches = list(split.train_batches(8, 16, WHOLE, 3, host=Host(number, 2)).take(8))
        assert all(images.shape == (4, 16, 16, 3) for images, _ in batches)
        later = split.train_batches(8, 16, WHOLE, 3, start_step=5, host=Host(number, 2))
        for (x, _), (y, _) in zip(batches[5:], later.take(3), strict=True):
            np.testing.assert_array_equal(x, y)


def test_fewer_files_than_hosts_are_read_by_all(made):
    dataset, out = made
    shards.write_shards(dataset, out, 40)
    split = open_dataset(f"shards:{out}").train
    whole = next(iter(split.train_batches(8, 16, WHOLE, 0)))[0].numpy()
    parts = [next(iter(split.train_batches(8, 16, WHOLE, 0, host=Host(n, 2))))[0] for n in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_command(made, tmp_path, capsys):
    dataset, out = made
    argv = ["shards", f"--dataset={dataset.name}", f"--out={out}", "--json"]
    assert cli.call(shards.main, shards.define_flags, argv) == 0
    said = capsys.readouterr().out.splitlines()
    assert "32 for train, 8 for val; 0 could not be decoded" in said[0]
    assert json.loads(said[-1])["class_names"] == ["cat", "dog"]
    for wrong, says in (
        (["--out=x"], "--dataset is missing"),
        (["--dataset=shapes", "--out=x", "--pictures_per_shard=0"], "--pictures_per_shard=0"),
    ):
        assert cli.call(shards.main, shards.define_flags, ["shards", *wrong]) == 2
        assert says in capsys.readouterr().err


def test_a_full_disk(made, small_disk: Path):
    dataset, _ = made
    many = type(dataset)(dataset.name, dataset.class_names, dataset.train, None)
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * (shutil.disk_usage(small_disk).free - 16_384))
    with pytest.raises(Failure, match="make room, and the same command goes on"):
        shards.write_shards(many, small_disk / "shards", 4)
    filler.unlink()
    index = shards.write_shards(many, small_disk / "shards", 4)
    assert shards.totals(index) == {"train": 32}
    assert len(pictures(open_dataset(f"shards:{small_disk / 'shards'}").train)) == 32
