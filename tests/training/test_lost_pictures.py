"""Files of pictures that cannot be read any more, in the midst of a work."""

from functools import partial
from pathlib import Path

import pytest
import tensorflow as tf
import tiny
from making import photos

from mnv3_tf.data import folder
from mnv3_tf.data.file_datasets import open_files
from mnv3_tf.data.sources import open_dataset
from mnv3_tf.data.streaming import records_fault
from mnv3_tf.data.tfrecords import write_shards
from mnv3_tf.errors import LostPicturesError
from mnv3_tf.training.loop import Trainer
from mnv3_tf.training.run import train
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.training.settings import TrainSettings


@pytest.fixture
def on_disk(made, tmp_path, monkeypatch) -> Path:
    """A folder of pictures that are read in every epoch, as large sets are."""
    monkeypatch.setattr(folder, "open_files", partial(open_files, memory_bound=0))
    pictures = tmp_path / "pictures"
    for source in made(photos).rglob("*.png"):
        copy = pictures / source.parent.name / source.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    return pictures


def pictures_of(split) -> list[str]:
    return sorted(split._source._fault.args[0])


@pytest.mark.slow
def test_training_names_the_file_and_goes_on_once_it_is_back(on_disk, tmp_path, monkeypatch):
    (tmp_path / "model.json").write_text(tiny.SHALLOW.to_json())
    settings = TrainSettings(
        f"folder:{on_disk}",
        str(tmp_path / "run"),
        str(tmp_path / "model.json"),
        recipe="quick",
        steps=12,
        batch_size=4,
        seed=9,
    )
    lost = Path(pictures_of(open_dataset(settings.dataset, seed=9, training=True).train)[0])
    content, finish = lost.read_bytes(), Trainer._finish_epoch

    def finish_and_lose(self):
        row = finish(self)
        lost.unlink()
        return row

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_finish_epoch", finish_and_lose)
        with pytest.raises(LostPicturesError) as raised:
            train(settings)
    assert str(raised.value) == (
        f"Cannot read {lost} any more (No such file or directory); put it back, and start the "
        "same command again."
    )
    trained = RunFolder(settings.out)
    assert len(trained.read_metrics()) == 1
    lost.write_bytes(content)
    assert train(settings)["steps"] == 12
    assert [row["step"] for row in trained.read_metrics()] == [4, 8, 12]


def test_a_picture_that_is_damaged_later_is_named(on_disk):
    data = open_dataset(f"folder:{on_disk}", seed=9, training=False)
    damaged = Path(pictures_of(data.val)[3])
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(LostPicturesError, match=r"which was a picture at first, is cut short") as e:
        data.val.images(24, 32)
    assert str(damaged) in str(e.value)


def test_shards_name_what_could_not_be_read(on_disk, tmp_path):
    data = open_dataset(f"folder:{on_disk}", seed=9, training=False)
    lost = Path(pictures_of(data.val)[5])
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(LostPicturesError, match="Cannot read"):
        write_shards(data, tmp_path / "shards")
    lost.write_bytes(content)
    assert write_shards(data, tmp_path / "shards").pictures == {"val": 24}


def test_errors_of_another_cause_stay_what_they_are(on_disk):
    split = open_dataset(f"folder:{on_disk}", seed=9, training=False).val
    with pytest.raises(tf.errors.InvalidArgumentError), split.explained():
        raise tf.errors.InvalidArgumentError(None, None, "something else")


def test_which_file_of_records_is_cut_short(tmp_path):
    paths = [tmp_path / "a.tfrecord", tmp_path / "b.tfrecord"]
    for path in paths:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for _ in range(5):
                writer.write(b"x" * 1000)
    assert records_fault(paths) is None
    whole = paths[1].read_bytes()
    for size in (len(whole) - 1, 3500, 1016, 5):
        paths[1].write_bytes(whole[:size])
        fault = records_fault(paths)
        # Where a record ends, nothing tells that there were more.
        assert fault == (None if size % 1016 == 0 else f"{paths[1]} is cut short, or damaged; "
                         "make or copy it anew")  # fmt: skip
    paths[0].unlink()
    assert (
        records_fault(paths) == f"Cannot read {paths[0]} (No such file or directory); put it back"
    )
