"""Sets of tensorflow_datasets, on a small one that is prepared here."""

import functools

import numpy as np
import pytest
import tensorflow_datasets as tfds
from told_views import TOLD

from mnv3_tf.data import tfds as tfds_source
from mnv3_tf.data.dataset import Split
from mnv3_tf.data.picture_files import checked
from mnv3_tf.data.sources import Opening, open_dataset
from mnv3_tf.data.tfds import open_tfds
from mnv3_tf.errors import UserError


class MnvTinyPictures(tfds.core.GeneratorBasedBuilder):
    """Twelve photographs for training, six for validation."""

    VERSION = tfds.core.Version("1.0.0")
    pictures: tuple = ()

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self, features=features, supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(0, 12),
            "validation": self._generate_examples(50, 6),
        }

    def _generate_examples(self, first, count):
        for index in range(count):
            pixels = self.pictures[(first + index) % len(self.pictures)]
            yield f"{first + index}", {"image": pixels, "label": index % 2}


@pytest.fixture(scope="module")
def prepared(make_photo, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tfds")
    MnvTinyPictures.pictures = tuple(make_photo(seed) for seed in range(62))
    MnvTinyPictures(data_dir=str(data_dir)).download_and_prepare()
    return str(data_dir)


def test_a_prepared_set(prepared):
    data = open_dataset("tfds:mnv_tiny_pictures", data_dir=prepared)
    assert data.name == "tfds:mnv_tiny_pictures"
    assert data.class_names == ("cat", "dog")
    assert (len(data.train), len(data.val)) == (12, 6)
    images, labels = next(iter(data.val.eval_batches(6, 32)))
    assert images.shape == (6, 32, 32, 3)
    assert sorted(labels.numpy()) == [0, 0, 0, 1, 1, 1]


def test_a_streamed_set_has_the_same_pictures_and_resumes_exactly(prepared, monkeypatch):
    asked = Opening("mnv_tiny_pictures", data_dir=prepared)
    streamed = open_tfds(asked, memory_bound=0)
    kept = open_tfds(asked)
    ours, theirs = (list(data.val.encoded().as_numpy_iterator()) for data in (streamed, kept))
    assert len(ours) == 6
    assert ours == theirs

    monkeypatch.setattr(tfds_source, "Split", functools.partial(Split, views=TOLD))
    told = open_tfds(asked, memory_bound=0).train

    def run(start, count):
        batches = told.train_batches(5, 32, 0, 0, start_step=start).take(count)
        return np.stack([pictures for pictures, _ in batches.as_numpy_iterator()])

    np.testing.assert_array_equal(run(0, 7)[3:], run(3, 4))


def test_a_set_that_is_not_prepared_names_the_command(tmp_path):
    with pytest.raises(UserError, match=r"`tfds build imagenet2012 --data_dir=.*`"):
        open_dataset("tfds:imagenet2012", data_dir=str(tmp_path))


def test_an_unknown_set(tmp_path):
    with pytest.raises(UserError, match="no set 'no_such_set'"):
        open_dataset("tfds:no_such_set", data_dir=str(tmp_path))


def test_imagenet_has_its_class_names(tmp_path):
    """On made-up pictures: the real ones cannot be had here."""
    folder = tmp_path / "imagenet2012" / "5.1.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(
        '{"name": "imagenet2012", "version": "5.1.0", "fileFormat": "tfrecord", "splits": ['
        '{"name": "train", "shardLengths": ["8"], "numBytes": "10"},'
        '{"name": "validation", "shardLengths": ["8"], "numBytes": "10"}]}'
    )
    with tfds.testing.mock_data(num_examples=8, data_dir=str(tmp_path)):
        data = open_dataset("tfds:imagenet2012", data_dir=str(tmp_path))
        assert data.num_classes == 1000
        pictures = list(data.train.encoded().take(8).as_numpy_iterator())
    assert len(pictures) == 8
    assert all(checked(content) and 0 <= label < 1000 for content, label in pictures)
