"""Shards hold what the dataset held; they resume, and damage is counted."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from told_views import TOLD

from mnv3_tf.data import shape_scenes, shards, tfrecords
from mnv3_tf.data.augment import Augmentation
from mnv3_tf.data.sources import open_dataset
from mnv3_tf.data.streaming import ALONE, Host
from mnv3_tf.errors import Failure, UserError
from mnv3_tf.ui import cli

WHOLE = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=False)


@pytest.fixture(scope="module")
def folder(make_photo, encode_photo, tmp_path_factory):
    """2 x 20 photographs, 32 of which are to train on."""
    root = tmp_path_factory.mktemp("photographs")
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir()
        for index in range(20):
            content = encode_photo(make_photo(100 * label + index))
            (root / name / f"{index:03}.jpg").write_bytes(content)
    return f"folder:{root}"


@pytest.fixture(scope="module")
def photographs(folder):
    return open_dataset(folder, training=True)


@pytest.fixture(scope="module")
def written(photographs, tmp_path_factory):
    """Their shards of ten."""
    out = tmp_path_factory.mktemp("written") / "shards"
    tfrecords.write_shards(photographs, out, 10)
    return out


@pytest.fixture
def out(written, tmp_path):
    """A copy to change."""
    return Path(shutil.copytree(written, tmp_path / "shards"))


@pytest.fixture
def told(monkeypatch):
    """Pictures of shards are not looked at, but told apart."""
    monkeypatch.setattr(tfrecords, "Split", functools.partial(tfrecords.Split, views=TOLD))


def pictures(split):
    """Each picture's bytes with its label, in order."""
    return [(content, int(label)) for content, label in split.encoded().as_numpy_iterator()]


def test_they_hold_what_the_dataset_held(photographs, written):
    out = written
    index = json.loads((out / "index.json").read_text())
    assert [file["pictures"] for file in index["files"]["train"]] == [10, 10, 10, 2]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [f"train-{n:05}-of-00004.tfrecord" for n in range(4)]
        + ["val-00000-of-00001.tfrecord", "index.json"]
    )
    found = open_dataset(f"shards:{out}")
    assert found.class_names == ("cat", "dog")
    for split in ("train", "val"):
        ours, theirs = pictures(getattr(found, split)), pictures(getattr(photographs, split))
        assert len(getattr(found, split)) == len(theirs)
        assert sorted(ours) == sorted(theirs)
    labels = [label for _, label in pictures(found.train)]
    assert labels != sorted(labels)  # shuffled


def test_pictures_without_a_file_are_kept_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(shape_scenes, "SPLITS", {"train": 10, "val": 20})
    drawn = open_dataset("shapes", resolution=32)
    small = type(drawn)("shapes", drawn.class_names, None, drawn.val)
    tfrecords.write_shards(small, tmp_path / "s", 8)
    data = open_dataset(f"shards:{tmp_path / 's'}")
    assert (data.train, data.val.view) == (None, "whole")
    ours, theirs = (
        sorted(x.tobytes() for x, _ in split.eval_batches(1, 32).as_numpy_iterator())
        for split in (data.val, drawn.val)
    )
    assert len(ours) == 20
    assert ours == theirs


def test_a_stopped_run_goes_on(photographs, written, tmp_path, monkeypatch):
    out = tmp_path / "shards"
    write = tfrecords._write_shard
    with monkeypatch.context() as patch:

        def stop(path, *rest):
            if "00002" in path.name:
                raise KeyboardInterrupt
            write(path, *rest)

        patch.setattr(tfrecords, "_write_shard", stop)
        with pytest.raises(KeyboardInterrupt):
            tfrecords.write_shards(photographs, out, 10)
    with pytest.raises(UserError, match=r"There is no readable .*index\.json"):
        open_dataset(f"shards:{out}")
    first = (out / "train-00000-of-00004.tfrecord").stat().st_mtime_ns
    tfrecords.write_shards(photographs, out, 10)
    assert (out / "train-00000-of-00004.tfrecord").stat().st_mtime_ns == first
    assert sorted(path.name for path in out.iterdir()) == sorted(
        path.name for path in written.iterdir()
    )
    for path in written.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_another_job_is_refused_and_named(photographs, written):
    with pytest.raises(UserError, match="shards of another pictures_per_shard: 10, not 20"):
        tfrecords.write_shards(photographs, written, 20)
    with pytest.raises(UserError, match="shards of another seed: 0, not 1"):
        tfrecords.write_shards(photographs, written, 10, seed=1)
    assert tfrecords.write_shards(photographs, written, 10).files


def test_an_index_of_before_is_read(tmp_path):
    """As format 1 was written first: with a key more, `resize` for `view`, and without files."""
    tree = {
        "format": 1,
        "dataset": "folder:photos",
        "class_names": ["cat", "dog"],
        "pictures": {"train": 3},
        "resize": "resize",
        "pictures_per_shard": 2,
        "seed": 4,
        "skipped": ["a.jpg"],
        "comment": "of another version",
    }
    path = tmp_path / "job.json"
    path.write_text(json.dumps(tree))
    job = tfrecords.Index("folder:photos", ("cat", "dog"), {"train": 3}, "whole", 2, 4, ("a.jpg",))
    assert tfrecords.Index.read(path) == job
    job.write(path)
    assert tfrecords.Index.read(path) == job
    files = [{"name": "train-00000-of-00001.tfrecord", "pictures": 3, "bytes": 70}]
    path.write_text(json.dumps(tree | {"files": {"train": files}}))
    shard = tfrecords.Shard("train-00000-of-00001.tfrecord", 3, 70)
    assert tfrecords.Index.read(path).files == {"train": (shard,)}
    for damaged in ("", "[]", "{}", json.dumps(tree | {"format": 2}), json.dumps({"format": 1})):
        path.write_text(damaged)
        with pytest.raises(UserError, match="There is no readable"):
            tfrecords.Index.read(path)


def test_a_folder_of_other_things(photographs, tmp_path):
    out = tmp_path
    (out / "letter.txt").touch()
    with pytest.raises(UserError, match="is not empty and holds no shards"):
        tfrecords.write_shards(photographs, out)


def test_a_missing_or_shortened_shard(out):
    path = out / "train-00001-of-00004.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"train-00001.* has \d+ bytes, not \d+"):
        open_dataset(f"shards:{out}")
    path.unlink()
    with pytest.raises(UserError, match=r"train-00001.* is missing"):
        open_dataset(f"shards:{out}")


def test_damage_costs_the_rest_of_its_shard_and_nothing_else(out):
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


def test_a_picture_that_cannot_be_decoded_keeps_its_place(out):
    path = out / "train-00000-of-00004.tfrecord"
    records = [r.numpy() for r in tf.data.TFRecordDataset(str(path))]
    batches = open_dataset(f"shards:{out}").train.train_batches(8, 16, WHOLE, 0).take(4)
    wanted = list(batches.as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, record in enumerate(records):
            if number == 7:
                example = tf.train.Example.FromString(record)
                value = example.features.feature["image/encoded"].bytes_list.value
                value[0] = value[0][:100] + b"\0" * (len(value[0]) - 100)
                record = example.SerializeToString()
            writer.write(record)
    found = list(batches.as_numpy_iterator())
    bad = [(b, p) for b, (_, labels) in enumerate(found) for p in np.flatnonzero(labels < 0)]
    assert len(bad) == 1
    for batch, ((x, y), (wx, wy)) in enumerate(zip(found, wanted, strict=True)):
        for place in range(8):
            if (batch, place) in bad:
                assert (x[place] == -1).all()
            else:
                np.testing.assert_array_equal(x[place], wx[place])
                assert y[place] == wy[place]


def test_each_host_reads_its_own_files(photographs, told, tmp_path):
    """Of eight with four pictures each; positions are those of the whole run."""
    out = tmp_path / "shards"
    tfrecords.write_shards(photographs, out, 4)
    split = open_dataset(f"shards:{out}").train
    order = [int(told[0, 0]) for told, _ in split.eval_batches(1, 16).as_numpy_iterator()]
    file_of = {picture: place // 4 for place, picture in enumerate(order)}
    assert len(file_of) == 32
    for number in (0, 1):
        host = Host(number, 2)
        batches = list(split.train_batches(8, 16, 0, 3, host=host).take(8).as_numpy_iterator())
        assert all(labels.shape == (4,) for _, labels in batches)
        assert {file_of[int(row[2])] % 2 for told, _ in batches for row in told} == {number}
        assert len({int(row[2]) for told, _ in batches[:4] for row in told}) == 16
        positions = [int(row[1]) for told, _ in batches for row in told]
        assert positions == list(range(number, 64, 2))
        later = split.train_batches(8, 16, 0, 3, start_step=5, host=host).take(3)
        for (x, _), (y, _) in zip(batches[5:], later.as_numpy_iterator(), strict=True):
            np.testing.assert_array_equal(x, y)


def test_fewer_files_than_hosts_are_read_by_all(written, told):
    """Four files, five hosts."""
    split = open_dataset(f"shards:{written}").train

    def first(host):
        return next(split.train_batches(10, 16, 0, 0, host=host).as_numpy_iterator())[0]

    parts = [first(Host(number, 5)) for number in (0, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), first(ALONE)[[0, 1, 8, 9]])


def test_the_command(folder, tmp_path, capsys):
    out = tmp_path / "shards"
    argv = ["shards", f"--dataset={folder}", f"--out={out}", "--seed=1", "--json"]
    assert cli.call(shards.main, shards.define_flags, argv) == 0
    said = capsys.readouterr().out.splitlines()
    assert "32 for train, 8 for val; 0 could not be decoded" in said[0]
    index = json.loads(said[-1])
    assert index == json.loads((out / "index.json").read_text())
    assert (index["class_names"], index["pictures_per_shard"]) == (["cat", "dog"], 1024)
    assert (index["seed"], index["dataset"], index["skipped"]) == (1, folder, [])
    for wrong, says in (
        (["--out=x"], "--dataset is missing"),
        (["--dataset=shapes", "--out=x", "--pictures_per_shard=0"], "--pictures_per_shard=0"),
    ):
        assert cli.call(shards.main, shards.define_flags, ["shards", *wrong]) == 2
        assert says in capsys.readouterr().err


def test_a_full_disk(photographs, small_disk: Path):
    many = type(photographs)("many", photographs.class_names, photographs.train, None)
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * (shutil.disk_usage(small_disk).free - 16_384))
    with pytest.raises(Failure, match="make room, and the same command goes on"):
        tfrecords.write_shards(many, small_disk / "shards", 4)
    filler.unlink()
    index = tfrecords.write_shards(many, small_disk / "shards", 4)
    assert index.pictures == {"train": 32}
    assert len(pictures(open_dataset(f"shards:{small_disk / 'shards'}").train)) == 32
