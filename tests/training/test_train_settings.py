"""Settings of a training: those that cannot be, and what follows from the others."""

import pytest
from making import run_settings
from refusals import refused

from mnv3_tf.errors import UserError
from mnv3_tf.training.run import train as train_with_all
from mnv3_tf.training.settings import TrainSettings


class TestBadInput:
    def test_out_inside_a_file(self, made, tmp_path):
        (tmp_path / "file").touch()
        # Told before anything else is looked at, the missing dataset included.
        out = tmp_path / "file" / "run"
        with refused(f"Cannot write to --out={out}"):
            train_with_all(run_settings(made, out, dataset="folder:/nowhere"))

    def test_out_without_permission(self, made, closed_folder):
        with refused(f"Cannot write to --out={closed_folder / 'run'}"):
            train_with_all(run_settings(made, closed_folder / "run"))

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"recipe": "slow"}, "Unknown recipe 'slow'; choose one of cityscapes, coco_ssdlite"),
            ({"recipe": "cityscapes"}, "--recipe=cityscapes is for masks, not for --task=classify"),
            ({"model": "medium"}, "Unknown model 'medium'"),
            ({"model": "small", "width": 0.0}, "Width multiplier 0.0"),
            ({"model": "small", "width": -1.0}, "Width multiplier -1.0"),
            ({"resolution": 8}, "resolution is 8"),
            ({"dataset": "folder:/nowhere"}, "/nowhere"),
            ({"batch_size": 0}, "batch_size=0"),
            ({"batch_size": 49}, "48 pictures, fewer than one batch of 49"),
            ({"learning_rate": -1.0}, "learning_rate=-1.0"),
            ({"weights": "/nowhere.npz"}, "/nowhere.npz"),
            ({"teacher": "nowhere"}, "--teacher=nowhere"),
        ],
    )
    def test_nothing_is_left_behind(self, run, train, changes, named):
        with refused(named):
            train(**changes)
        assert not run.path.exists()

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            (
                {"task": "detect", "teacher": "runs/x"},
                "--teacher=runs/x is of no use to --task=detect",
            ),
            ({"task": "detect", "view": "crop"}, "--view=crop is of no use to --task=detect"),
            ({"view": "centre"}, "--view=centre is not one of crop, whole"),
            ({"task": "dance"}, "--task=dance is not one of classify, detect"),
            ({"strategy": "many"}, "--strategy=many is not one of auto, one"),
            ({"precision": "int8"}, "--precision=int8 is not one of auto, float32"),
            ({"steps": 0}, "--steps=0"),
            ({"checkpoint_every": -1}, "--checkpoint_every=-1"),
            ({"keep_checkpoints": 0}, "--keep_checkpoints=0"),
            ({"seed": -1}, "--seed=-1"),
            ({"seed": 2**31}, f"--seed={2**31}"),
            ({"held_out": 1.0}, "--held_out=1"),
            ({"held_out": -0.1}, "--held_out=-0.1"),
        ],
    )
    def test_settings_that_cannot_be(self, changes, named):
        with refused(named):
            TrainSettings("shapes", "out", **changes)

    def test_a_folder_that_is_no_run_is_not_touched(self, run, train):
        run.checkpoints.mkdir(parents=True)
        with refused("is not the folder of a run", "choose another --out"):
            train(overwrite=True)
        assert run.checkpoints.exists()

    @pytest.mark.parametrize(("text", "named"), [("{", "Cannot read"), ("[]", "no JSON object")])
    def test_a_broken_run_json(self, run, train, text, named):
        run.path.mkdir()
        run.run.write_text(text)
        with pytest.raises(UserError, match=f"{named}.*--overwrite"):
            train()


def test_settings_at_their_bounds():
    TrainSettings("shapes", "out", steps=1, keep_checkpoints=1, seed=2**31 - 1, held_out=0.0)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "quick"),
        ({"weights": "x.npz"}, "finetune"),
        ({"teacher": "runs/x"}, "distill"),
        ({"teacher": "runs/x", "weights": "x.npz"}, "distill"),
        ({"task": "detect"}, "detect_quick"),
        ({"task": "segment", "weights": "x.npz"}, "segment_finetune"),
        ({"recipe": "imagenet_paper", "weights": "x.npz"}, "imagenet_paper"),
    ],
)
def test_the_recipe_that_is_taken_where_none_is_named(given, name):
    settings = TrainSettings("shapes", "out", **given)
    assert settings.recipe_name == settings.configuration()["recipe"] == name


def test_where_and_how_fast_is_no_part_of_the_configuration():
    elsewhere = TrainSettings(
        "shapes",
        "there",
        overwrite=True,
        checkpoint_every=3,
        keep_checkpoints=9,
        strategy="one",
        precision="bfloat16",
        jit_compile=True,
    )
    assert elsewhere.configuration() == TrainSettings("shapes", "here").configuration()
    assert TrainSettings("shapes", "here", held_out=0.5) != TrainSettings("shapes", "here")
