"""Every recipe and every network trains; ImageNet's pipeline is walked from end to end."""

import math

import pytest
import tensorflow_datasets as tfds

from mnv3_tf.networks import NETWORKS
from mnv3_tf.training import recipe as recipes
from mnv3_tf.training.run import train


@pytest.mark.parametrize("recipe", recipes.names())
def test_two_steps_of_every_recipe(settings, recipe, tmp_path, dense_model, rectangles):
    more, task = {}, recipes.load(recipe).task
    if task != "classify":
        more = {
            "task": task,
            "model": dense_model,
            "dataset": rectangles[task],
            "resolution": 64 if task == "detect" else (64, 64),
        }
    if recipe == "distill":
        train(settings(out=str(tmp_path / "teacher"), epochs=1))
        more = {"teacher": str(tmp_path / "teacher")}
    summary = train(settings(recipe=recipe, epochs=None, steps=2, batch_size=4, **more))
    assert summary["steps"] == 2
    measured = {"classify": "val_loss", "detect": "val_map", "segment": "val_loss"}[task]
    assert math.isfinite(summary[measured])


@pytest.mark.slow
@pytest.mark.parametrize("model", NETWORKS)
def test_two_steps_of_every_network(settings, model):
    summary = train(settings(model=model, resolution=64, epochs=None, steps=2, batch_size=4))
    assert summary["model"].startswith(model)
    assert math.isfinite(summary["val_loss"])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["imagenet_paper", "imagenet_modern"])
def test_imagenet_from_end_to_end_on_made_up_pictures(settings, tmp_path, recipe):
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
            settings(
                dataset="tfds:imagenet2012",
                data_dir=str(folder.parents[1]),
                recipe=recipe,
                epochs=2,
                batch_size=8,
            )
        )
    assert (summary["num_classes"], summary["steps"]) == (1000, 4)
    assert math.isfinite(summary["val_loss"])
