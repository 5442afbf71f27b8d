import json
import re
from dataclasses import asdict

import pytest

from mnv3_tf.data import Augmentation
from mnv3_tf.errors import UserError
from mnv3_tf.training.recipe import Recipe, from_record, load, names, overridden


@pytest.mark.parametrize("name", names())
def test_every_recipe_survives_its_record(name):
    recipe = load(name)
    assert from_record(json.loads(json.dumps(asdict(recipe))), recipe.task) == recipe


def test_any_field_can_be_replaced():
    changes = [
        "optimizer=rmsprop",
        "epochs=3",
        "learning_rate=1",
        "epsilon=0.5",
        "rate_batch_size=None",
        "decay_depthwise=False",
        "augmentation.crop_scale=(0.5, 1)",
        "augmentation.flip=False",
    ]
    found = overridden(Recipe(9, 8, 0.1, rate_batch_size=5), changes)
    assert found == Recipe(
        3,
        8,
        1.0,
        optimizer="rmsprop",
        epsilon=0.5,
        decay_depthwise=False,
        augmentation=Augmentation(crop_scale=(0.5, 1.0), flip=False),
    )
    assert type(found.learning_rate) is float


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("epochs", "must be FIELD=VALUE"),
        ("epoch=3", "no field 'epoch'; it has epochs"),
        ("augmentation.zoom=3", "no field 'augmentation.zoom'; it has crop_scale"),
        ("augmentation=None", "no field 'augmentation'"),
        ("epochs=2.5", "epochs=2.5 must be int"),
        ("epochs=True", "epochs=True must be int"),
        ("optimizer=adam", "optimizer='adam' must be 'adamw' or 'rmsprop' or 'sgd'"),
        ("dropout=1.5", "dropout=1.5 in a recipe must be from 0 to below 1"),
        ("augmentation.crop_scale=(0.5, 2)", "crop_scale"),
        ("augmentation.crop_scale=0.5", "augmentation.crop_scale=0.5 must be"),
        ("learning_rate=__import__('os')", "learning_rate=\"__import__('os')\" must be float"),
    ],
)
def test_what_cannot_be_is_named(change, says):
    with pytest.raises(UserError, match=re.escape(says)):
        overridden(Recipe(9, 8, 0.1), [change])


def test_the_papers_recipe_is_the_papers():
    recipe = load("imagenet_paper")
    assert (recipe.optimizer, recipe.momentum, recipe.l2) == ("rmsprop", 0.9, 1e-5)
    assert (recipe.batch_size, recipe.learning_rate, recipe.rate_scale) == (4096, 0.1, 1.0)
    assert (recipe.dropout, recipe.ema_decay, recipe.batch_norm_momentum) == (0.2, 0.9999, 0.99)
    assert (recipe.decay_rate, recipe.decay_epochs) == (0.99, 3)
