"""train.py as a user meets it."""

import json

import pytest
from refusals import check_command

import train
from mnv3_tf.tasks.specs import Head
from mnv3_tf.training import run as training
from mnv3_tf.training.settings import TrainSettings
from mnv3_tf.ui import cli

SUMMARY = {"val_top1": 0.75, "best_epoch": 3, "images_per_s": 12.6, "wall_s": 34.4}


@pytest.fixture
def asked(monkeypatch) -> list[TrainSettings]:
    """Instead of training: the settings of each run."""
    found = []

    def keep(settings: TrainSettings) -> dict:
        found.append(settings)
        return SUMMARY

    monkeypatch.setattr(training, "train", keep)
    return found


def call(*arguments: str) -> int:
    return cli.call(train.main, train.define_flags, ["train.py", *arguments])


def test_what_is_asked_without_more_words(asked, capsys):
    assert call("--dataset=shapes", "--out=x") == 0
    assert asked == [TrainSettings("shapes", "x", override=())]
    said = "x: val top-1 0.7500 in epoch 3, 13 images/s, 34 s.\n"
    assert capsys.readouterr().out == said


def test_every_flag(asked, capsys):
    words = {
        "dataset": "masks:d",
        "out": "x",
        "model": "small",
        "width": 0.5,
        "resolution": "96x128",
        "task": "segment",
        "data_dir": "/d",
        "recipe": "segment_quick",
        "weights": "w.h5",
        "epochs": 3,
        "steps": 4,
        "test": "masks:t",
        "patience": 2,
        "class_weights": "none",
        "time_limit": 1.5,
        "batch_size": 5,
        "learning_rate": 0.25,
        "seed": 6,
        "held_out": 0.125,
        "checkpoint_every": 7,
        "keep_checkpoints": 8,
        "strategy": "one",
        "precision": "bfloat16",
        "view": "whole",
    }
    flags = [f"--{name}={value}" for name, value in words.items()]
    head = ["--tail=half", "--head=raspp", "--head_filters=64", "--output_stride=32"]
    more = ["--override=ema_decay=0.9", "--override=seed=1", "--overwrite"]
    devices = ["--sync_batch_norm", "--jit_compile", "--pooling=global"]
    assert call(*flags, *head, *more, *devices, "--json") == 0
    given = words | {
        "resolution": (96, 128),
        "head": Head(
            tail="half", head="raspp", head_filters=64, output_stride=32, pooling="global"
        ),
        "override": ("ema_decay=0.9", "seed=1"),
        "overwrite": True,
        "sync_batch_norm": True,
        "jit_compile": True,
    }
    assert asked == [TrainSettings(**given)]
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == SUMMARY


def test_teachers_teach(asked):
    assert call("--dataset=shapes", "--out=x", "--teacher=runs/large", "--deterministic") == 0
    wanted = {"teacher": "runs/large", "deterministic": True, "override": ()}
    assert asked == [TrainSettings("shapes", "x", **wanted)]


def test_without_a_validation_set(monkeypatch, capsys):
    monkeypatch.setattr(training, "train", lambda settings: SUMMARY | {"val_top1": None})
    assert call("--dataset=shapes", "--out=x") == 0
    assert capsys.readouterr().out == "x: trained, without a validation set.\n"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"val_top1": None, "val_images": 4}, "x: no epoch has a val top-1, since the validation"),
        ({"ended_by": "patience", "epochs": 7}, "x: stopped after epoch 7, the last 2 of which"),
        ({"ended_by": "time_limit", "epochs": 7, "steps": 9}, "x: time was up after step 9"),
        ({"test_top1": 0.5, "test_images": 8}, "x: test top-1 0.5000 on 8 pictures, which chose"),
    ],
)
def test_what_is_said_at_the_end(more, said, monkeypatch, capsys):
    monkeypatch.setattr(training, "train", lambda settings: SUMMARY | more)
    assert call("--dataset=shapes", "--out=x", "--patience=2") == 0
    assert any(line.startswith(said) for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--dataset is missing"),
        (["--dataset=shapes"], "--out is missing"),
        (
            ["--dataset=shapes", "--out=x", "--task=dance"],
            "--task=dance is not one of",
        ),
        (["--dataset=folder:x", "--out=x", "--task=segment"], "--task=segment needs masks"),
        (
            ["--dataset=shapes", "--out=x", "--strategy=many"],
            "--strategy=many is not one of",
        ),
        (
            ["--dataset=shapes", "--out=x", "--precision=int8"],
            "--precision=int8 is not one of",
        ),
        (["--dataset=shapes", "--out=x", "--resolution=wide"], "wide"),
        (["--dataset=shapes", "--out=x", "--patience=0"], "--patience=0"),
        (["--dataset=shapes", "--out=x", "--class_weights=odd"], "--class_weights=odd"),
        (
            ["--dataset=shapes", "--out=x", "--task=detect", "--class_weights=balanced"],
            ("--class_weights=balanced", "--task=detect"),
        ),
        (["--dataset=shapes", "--out=x", "--time_limit=0"], "--time_limit=0"),
        (
            ["--dataset=shapes", "--out=x", "--time_limit=2.5", "--deterministic"],
            ("--time_limit=2.5", "--deterministic", "--steps"),
        ),
    ],
)
def test_bad_arguments(arguments, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    check_command(train, arguments, named, capsys, tmp_path)


# -- a kill ----------------------------------------------------------------------------------
