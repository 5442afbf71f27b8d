import json
import math
from dataclasses import asdict, fields

import pytest
from refusals import refused

from mnv3_tf.data.augment import Augmentation
from mnv3_tf.data.augment_boxes import BoxAugmentation
from mnv3_tf.data.augment_masks import MaskAugmentation
from mnv3_tf.tasks import TASKS
from mnv3_tf.training.recipe import Recipe, from_record, load, overridden
from mnv3_tf.training.recipes import names

FIELDS = [field.name for field in fields(Recipe)]


@pytest.mark.parametrize("name", names())
def test_every_recipe_survives_its_record(name):
    recipe = load(name)
    (task,) = (task.name for task in TASKS.values() if task.targets == recipe.targets)
    assert from_record(json.loads(json.dumps(asdict(recipe))), task) == recipe


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
    with refused(says):
        overridden(Recipe(9, 8, 0.1), [change])


DEFAULTS = {
    "rate_batch_size": None,
    "optimizer": "adamw",
    "momentum": 0.9,
    "rho": 0.9,
    "epsilon": None,
    "schedule": "cosine",
    "decay_rate": 0.99,
    "decay_epochs": 3.0,
    "warmup_epochs": 0.0,
    "weight_decay": 0.0,
    "l2": 0.0,
    "decay_depthwise": True,
    "ema_decay": 0.0,
    "label_smoothing": 0.0,
    "dropout": 0.0,
    "drop_path": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "distillation": 0.0,
    "temperature": 1.0,
    "detection_loss": "focal",
    "focal_alpha": 0.75,
    "focal_gamma": 2.0,
    "augmentation": Augmentation(),
    "batch_norm": "train",
    "batch_norm_momentum": 0.99,
    "freeze_epochs": 0,
    "head_learning_rate": 1e-3,
}

COLOUR = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
FINETUNE = {"batch_norm": "frozen", "ema_decay": 0.99, "weight_decay": 0.02}
DENSE_QUICK = {
    "epochs": 20,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "warmup_epochs": 1,
    "weight_decay": 0.02,
    "batch_norm_momentum": 0.97,
    "ema_decay": 0.99,
}
RECIPES = {  # what the files' headers tell, and docs/recipes.md
    "quick": {
        "epochs": 16,
        "batch_size": 32,
        "learning_rate": 2e-3,
        "warmup_epochs": 1,
        "weight_decay": 0.02,
        "label_smoothing": 0.05,
        "augmentation": Augmentation(crop_scale=(0.7, 1.0)),
        "batch_norm_momentum": 0.97,
    },
    "finetune": {
        **FINETUNE,
        "epochs": 18,
        "batch_size": 32,
        "freeze_epochs": 3,
        "head_learning_rate": 2e-3,
        "learning_rate": 1.5e-4,
        "warmup_epochs": 2,
        "label_smoothing": 0.1,
        "dropout": 0.2,
        "augmentation": Augmentation(crop_scale=(0.35, 1.0), **COLOUR),
    },
    "distill": {
        "epochs": 60,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "warmup_epochs": 2,
        "weight_decay": 0.02,
        "ema_decay": 0.999,
        "distillation": 0.9,
        "temperature": 2.0,
        "mixup": 0.2,
        "augmentation": Augmentation(crop_scale=(0.2, 1.0), **COLOUR),
    },
    "imagenet_paper": {  # Howard et al. 2019, section 6.1.1
        "epochs": 600,
        "batch_size": 4096,
        "rate_batch_size": 4096,
        "learning_rate": 0.1,
        "optimizer": "rmsprop",
        "momentum": 0.9,
        "epsilon": 2e-3,
        "schedule": "exponential",
        "decay_rate": 0.99,
        "decay_epochs": 3.0,
        "warmup_epochs": 5,
        "l2": 1e-5,
        "decay_depthwise": False,
        "ema_decay": 0.9999,
        "label_smoothing": 0.1,
        "dropout": 0.2,
        "batch_norm_momentum": 0.99,
        "augmentation": Augmentation(brightness=32 / 255, contrast=0.5, saturation=0.5),
    },
    "imagenet_modern": {
        "epochs": 700,
        "batch_size": 4096,
        "rate_batch_size": 4096,
        "learning_rate": 4e-3,
        "warmup_epochs": 5,
        "weight_decay": 0.1,
        "ema_decay": 0.9999,
        "label_smoothing": 0.1,
        "dropout": 0.2,
        "drop_path": 0.1,
        "mixup": 0.2,
        "cutmix": 1.0,
        "augmentation": Augmentation(randaugment_layers=2, randaugment_magnitude=9.0, erase=0.2),
    },
    "detect_quick": {**DENSE_QUICK, "augmentation": BoxAugmentation()},
    "detect_finetune": {
        **FINETUNE,
        "epochs": 30,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "warmup_epochs": 2,
        "batch_norm_momentum": 0.97,
        "augmentation": BoxAugmentation(**COLOUR),
    },
    "coco_ssdlite": {  # ssdlite_mobilenet_v3_large_320x320_coco.config
        "epochs": 1732,
        "batch_size": 512,
        "rate_batch_size": 512,
        "learning_rate": 0.4,
        "optimizer": "sgd",
        "warmup_epochs": 8.7,
        "l2": 4e-5,
        "batch_norm_momentum": 0.97,
        "augmentation": BoxAugmentation(),
    },
    "segment_quick": {**DENSE_QUICK, "augmentation": MaskAugmentation(scale=(0.75, 1.5))},
    "segment_finetune": {
        **FINETUNE,
        "epochs": 20,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "warmup_epochs": 1,
        "batch_norm_momentum": 0.97,
        "augmentation": MaskAugmentation(**COLOUR),
    },
    "cityscapes": {  # DeepLabV3+, and mmsegmentation's LR-ASPP
        "epochs": 1730,
        "batch_size": 16,
        "rate_batch_size": 16,
        "learning_rate": 0.01,
        "optimizer": "sgd",
        "schedule": "polynomial",
        "l2": 4e-5,
        "batch_norm_momentum": 0.99,
        "augmentation": MaskAugmentation(scale=(0.5, 2.0)),
    },
}


@pytest.mark.parametrize("name", names())
def test_the_numbers_of_every_recipe(name):
    assert {field: getattr(load(name), field) for field in FIELDS} == DEFAULTS | RECIPES[name]


def test_steps_are_as_many_as_where_the_numbers_come_from():
    for name, pictures, steps in (
        ("coco_ssdlite", 118_287, 400_000),
        ("cityscapes", 2_975, 320_000),
        ("imagenet_paper", 1_281_167, 187_200),
        ("imagenet_modern", 1_281_167, 218_400),
    ):
        recipe = load(name)
        assert recipe.epochs * (pictures // recipe.batch_size) == pytest.approx(steps, rel=0.005)
    coco = load("coco_ssdlite")
    assert coco.warmup_epochs * (118_287 // 512) == pytest.approx(2_000, rel=0.005)


def test_rates_are_those_of_a_batch_size():
    assert Recipe(1, 64, 0.1).rate_scale == 1
    assert Recipe(1, 64, 0.1, rate_batch_size=256).rate_scale == 0.25


PART = ("label_smoothing", "dropout", "drop_path", "momentum", "rho", "ema_decay")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("epochs", (0,)),
        ("batch_size", (0,)),
        ("rate_batch_size", (0,)),
        *((name, (0.0, -1.0, math.inf, math.nan)) for name in ("learning_rate", "temperature")),
        *((name, (0.0, math.inf)) for name in ("head_learning_rate", "decay_epochs", "epsilon")),
        *((name, (-0.1, 1.0)) for name in (*PART, "batch_norm_momentum")),
        *((name, (-0.1, math.inf)) for name in ("weight_decay", "l2", "mixup", "cutmix")),
        *((name, (-0.1, 1.1)) for name in ("distillation", "focal_alpha")),
        ("decay_rate", (0.0, 1.1)),
        ("focal_gamma", (-0.1, math.inf)),
        ("warmup_epochs", (-0.1,)),
        ("freeze_epochs", (-1,)),
        *((name, ("none",)) for name in ("optimizer", "schedule", "batch_norm", "detection_loss")),
    ],
)
def test_values_out_of_range(field, values):
    for value in values:
        with refused(f"{field}={value!r} in a recipe must be "):
            Recipe(**{"epochs": 1, "batch_size": 1, "learning_rate": 0.1, field: value})


def test_values_at_their_bounds():
    zero = dict.fromkeys(("weight_decay", "l2", "mixup", "cutmix", *PART, "batch_norm_momentum"), 0)
    Recipe(1, 1, 0.1, rate_batch_size=1, **zero, distillation=1, decay_rate=1, focal_alpha=1)
    Recipe(1, 1, 0.1, distillation=0, focal_alpha=0, focal_gamma=0, warmup_epochs=0)


@pytest.mark.parametrize("augmentation", [BoxAugmentation(), MaskAugmentation()])
@pytest.mark.parametrize("field", ["label_smoothing", "dropout", "drop_path", "mixup", "cutmix"])
def test_what_only_a_classifier_has(field, augmentation):
    targets = Recipe(1, 1, 0.1, augmentation=augmentation).targets
    with refused(f"{field}=0.2 in a recipe must be 0 where targets are {targets}"):
        Recipe(1, 1, 0.1, augmentation=augmentation, **{field: 0.2})
