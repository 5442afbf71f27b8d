"""ImageNet's pipeline from end to end."""

import math

import pytest
import tensorflow_datasets as tfds


@pytest.mark.slow
def test_imagenet_from_end_to_end_on_made_up_pictures(train, tmp_path):
    """A real network, with all that its recipe draws at random."""
    folder = tmp_path / "tfds" / "imagenet2012" / "5.1.0"
    folder.mkdir(parents=True)
    # Sizes of a set that is streamed.
    (folder / "dataset_info.json").write_text(
        '{"name": "imagenet2012", "version": "5.1.0", "fileFormat": "tfrecord", "splits": ['
        '{"name": "train", "shardLengths": ["16"], "numBytes": "99999999999"},'
        '{"name": "validation", "shardLengths": ["10"], "numBytes": "99999999999"}]}'
    )
    with tfds.testing.mock_data(num_examples=16, data_dir=str(folder.parents[1])):
        summary = train(
            dataset="tfds:imagenet2012",
            data_dir=str(folder.parents[1]),
            model="small",
            width=0.35,
            resolution=64,
            recipe="imagenet_modern",
            override=(),
            learning_rate=None,
            epochs=2,
        )
    assert summary["model"].startswith("small")
    assert (summary["num_classes"], summary["steps"]) == (1000, 4)
    assert math.isfinite(summary["val_loss"])
