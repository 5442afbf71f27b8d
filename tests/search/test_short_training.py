"""Trials on pictures of three colours: learning, stopping early, the same wherever they run."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from making import colours
from random_network import randomise
from refusals import refused

from mnv3_tf.data.sources import open_dataset
from mnv3_tf.models import build
from mnv3_tf.search.candidates import Start, Trial
from mnv3_tf.search.pool import ProcessPool, RayPool
from mnv3_tf.search.short_training import LARGEST_LOSS, ShortTraining, brief
from mnv3_tf.training import recipe as recipes
from mnv3_tf.weights import read

SPEC = tiny.SHALLOW
STEPS, RUNG = 40, 3


@pytest.fixture(scope="module")
def training(made) -> ShortTraining:
    recipe = replace(brief(recipes.load("quick"), STEPS, 0.05), batch_size=8, optimizer="sgd")
    return ShortTraining(f"folder:{made(colours)}", None, 0, 0.25, recipe, STEPS)


@pytest.fixture(scope="module")
def whole(training):
    """A trial to the end, that was measured on the way."""
    return training.evaluate(Trial(SPEC, rung=RUNG, stop_below=0.0))


@pytest.fixture(scope="module")
def stopped(training):
    """One that was stopped there."""
    return training.evaluate(Trial(SPEC, rung=RUNG, stop_below=1.1))


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Start:
    path = tmp_path_factory.mktemp("start") / "start.weights.h5"
    randomise(build(SPEC)).save_weights(path)
    return Start(SPEC, path)


@pytest.fixture(scope="module")
def before(training):
    """A network as it is."""
    return replace(training, steps=0).evaluate(Trial(SPEC))


def test_a_network_learns(before, whole):
    assert whole.accuracy > 0.8 > before.accuracy
    assert whole.loss < before.loss
    assert not whole.stopped
    assert (before.at_rung, before.stopped) == (None, False)


def test_a_network_that_falls_behind_is_stopped(whole, stopped):
    assert stopped.stopped
    assert stopped.accuracy == stopped.at_rung == whole.at_rung < whole.accuracy
    assert stopped.loss > whole.loss


def test_neither_measuring_on_the_way_nor_the_validation_set_changes_anything(
    training, whole, tmp_path
):
    """The same outcome without the one, and where the other is of one picture."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(training.dataset.partition(":")[2], copy)
    for picture in copy.glob("val/*/*.png"):
        picture.write_bytes((copy / "train/red/0.png").read_bytes())
    found = replace(training, dataset=f"folder:{copy}").evaluate(Trial(SPEC))
    assert (found.accuracy, found.at_rung) == (whole.accuracy, None)
    assert found.loss == pytest.approx(whole.loss, rel=1e-3)


def test_inherited_weights_are_where_training_begins(training, start, tmp_path):
    still = replace(training, steps=0)
    smaller = SPEC.with_expansion(1, 24)
    save = tmp_path / "after.weights.h5"
    still.evaluate(Trial(smaller, start, save=save))
    kernel = "expanded_conv_1_expand"
    parent = read(str(start.weights), SPEC).layers[kernel]["kernel"]
    child = read(str(save), smaller).layers[kernel]["kernel"]
    assert child.shape[-1] == 24
    columns = [
        next(c for c in range(72) if np.array_equal(parent[..., c], child[..., k]))
        for k in range(24)
    ]
    assert columns == sorted(columns)


def test_training_goes_on_in_the_data_where_it_was(training, stopped):
    later = training.evaluate(Trial(SPEC, first_step=STEPS, rung=RUNG, stop_below=1.1))
    assert later.loss != stopped.loss


def test_held_out_pictures_are_not_trained_on(training):
    split = open_dataset(training.dataset, training=True).train
    rest, held = split.divided(0.25, seed=0)
    assert (len(rest), len(held)) == (36, 12)
    seen = {picture.tobytes() for picture in rest.images(100, 32)}
    evaluated = {picture.tobytes() for picture in held.images(100, 32)}
    assert not seen & evaluated
    assert seen | evaluated == {picture.tobytes() for picture in split.images(100, 32)}


@pytest.mark.parametrize(("part", "count"), [(0.0, 0), (0.001, 0), (0.999, 48), (1.0, 48)])
def test_nothing_left_to_train_on(training, part, count):
    split = open_dataset(training.dataset, training=True).train
    with refused(f"--held_out={part:g} of 48 training pictures is {count}"):
        split.divided(part, seed=0)


def test_a_set_without_a_training_part_cannot_serve(training, tmp_path, monkeypatch):
    from mnv3_tf.search import short_training

    found = open_dataset(training.dataset, training=True)
    monkeypatch.setattr(short_training, "open_dataset", lambda *a, **k: replace(found, train=None))
    with refused("has no training set to search with; add one"):
        replace(training, dataset="folder:other").classes(32)


def test_the_classes_are_those_of_the_dataset(training):
    assert training.classes(32) == ("blue", "green", "red")


def test_a_diverged_network_has_a_loss_that_json_can_hold(training):
    wild = replace(training, recipe=replace(training.recipe, learning_rate=1e30), steps=2)
    assert wild.evaluate(Trial(SPEC)).loss == LARGEST_LOSS


@pytest.mark.parametrize(
    ("recipe", "steps", "momentum"),
    [
        ("quick", 60, 0.9),
        ("quick", 4, 0.0),
        ("quick", 10_000, recipes.load("quick").batch_norm_momentum),
        ("finetune", 60, recipes.load("finetune").batch_norm_momentum),  # which are frozen
    ],
)
def test_batch_norm_follows_a_short_training(recipe, steps, momentum):
    assert brief(recipes.load(recipe), steps).batch_norm_momentum == pytest.approx(momentum)


def test_a_short_training_is_of_the_whole_network_at_one_rate():
    recipe = recipes.load("finetune")
    found = brief(recipe, 60)
    assert (found.schedule, found.warmup_epochs, found.freeze_epochs) == ("constant", 0, 0)
    assert (found.ema_decay, found.learning_rate) == (0, recipe.learning_rate)
    assert found.dropout == recipe.dropout
    assert brief(recipe, 60, 0.5).learning_rate == 0.5


# -- where trials run --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_process_evaluates_as_this_one_does(training, before):
    with ProcessPool(1) as pool:
        ((same, found),) = pool.run(replace(training, steps=0).evaluate, [Trial(SPEC)])
    assert (same, found.accuracy) == (Trial(SPEC), before.accuracy)
    assert found.loss == pytest.approx(before.loss, rel=0.05)


@pytest.mark.slow
def test_ray(training, stopped, monkeypatch):
    pytest.importorskip("ray", reason="needs Ray, an optional package")
    # Ray's processes give way to all others, such as the tests beside this one.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    trial = Trial(SPEC, rung=RUNG, stop_below=1.1)
    with RayPool(None) as pool:
        ((same, found),) = pool.run(training.evaluate, [trial])
        assert (same, found.accuracy) == (trial, stopped.accuracy)
        nowhere = replace(training, dataset="folder:nowhere")
        with refused("nowhere"):
            list(pool.run(nowhere.evaluate, [trial]))
