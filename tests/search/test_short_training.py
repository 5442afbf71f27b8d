"""Trials on pictures of three colours: learning, stopping early, the same wherever they run."""

import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from colour_folder import make_colours
from random_network import randomise
from tiny import TINY

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.models import build
from mnv3_tf.search.pool import ProcessPool, RayPool, open_pool
from mnv3_tf.search.short_training import LARGEST_LOSS, ShortTraining, Start, Trial, brief
from mnv3_tf.training import recipe as recipes
from mnv3_tf.weights import read

CHANCE = 1 / 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> str:
    return make_colours(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def training(dataset) -> ShortTraining:
    recipe = replace(brief(recipes.load("quick"), 30, 5e-3), batch_size=8)
    return ShortTraining(dataset, None, 0, 0.25, recipe, steps=30)


@pytest.fixture
def start(tmp_path) -> Start:
    model = randomise(build(TINY))
    model.save_weights(tmp_path / "start.weights.h5")
    return Start(TINY, tmp_path / "start.weights.h5")


def test_a_network_learns(training):
    before = replace(training, steps=0).judge(Trial(TINY))
    after = training.judge(Trial(TINY))
    assert after.accuracy > 0.8 > before.accuracy
    assert after.loss < before.loss
    assert (after.at_rung, after.stopped) == (None, False)


def test_equal_trials_end_alike(training):
    assert training.judge(Trial(TINY)) == training.judge(Trial(TINY))


def test_a_network_that_falls_behind_is_stopped(training):
    whole = training.judge(Trial(TINY, rung=3, stop_below=0.0))
    stopped = training.judge(Trial(TINY, rung=3, stop_below=1.1))
    assert (whole.stopped, stopped.stopped) == (False, True)
    assert stopped.accuracy == stopped.at_rung == whole.at_rung < whole.accuracy
    # Being measured on the way changes nothing.
    assert whole.accuracy == training.judge(Trial(TINY)).accuracy


def test_inherited_weights_are_where_training_begins(training, start, tmp_path):
    still = replace(training, steps=0)
    smaller = TINY.with_expansion(1, 24)
    save = tmp_path / "after.weights.h5"
    still.judge(Trial(smaller, start, save=save))
    kernel = "expanded_conv_1_expand"
    parent = read(str(start.weights), TINY).layers[kernel]["kernel"]
    child = read(str(save), smaller).layers[kernel]["kernel"]
    assert child.shape[-1] == 24
    columns = [
        next(c for c in range(48) if np.array_equal(parent[..., c], child[..., k]))
        for k in range(24)
    ]
    assert columns == sorted(columns)


def test_training_goes_on_in_the_data_where_it_was(training, start):
    first, later = (training.judge(Trial(TINY, start, first_step=n)) for n in (0, 30))
    assert first.loss != later.loss


def test_the_validation_set_is_not_looked_at(training, dataset, tmp_path):
    """The same judgement where there is none."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(dataset.partition(":")[2], copy)
    for picture in copy.glob("val/*/*.png"):
        picture.write_bytes((copy / "train/red/0.png").read_bytes())
    assert replace(training, dataset=f"folder:{copy}").judge(Trial(TINY)) == training.judge(
        Trial(TINY)
    )


def test_held_out_pictures_are_not_trained_on(training):
    from mnv3_tf.data import open_dataset

    split = open_dataset(training.dataset, training=True).train
    rest, held = split.divided(0.25, seed=0)
    assert (len(rest), len(held)) == (54, 18)
    seen = {picture.tobytes() for picture in rest.images(100, 32)}
    judged = {picture.tobytes() for picture in held.images(100, 32)}
    assert not seen & judged
    assert seen | judged == {picture.tobytes() for picture in split.images(100, 32)}


@pytest.mark.parametrize(("part", "count"), [(0.0, 0), (0.001, 0), (0.999, 72), (1.0, 72)])
def test_nothing_left_to_train_on(training, part, count):
    from mnv3_tf.data import open_dataset

    split = open_dataset(training.dataset, training=True).train
    with pytest.raises(UserError, match=f"--held_out={part:g} of 72 training pictures is {count}"):
        split.divided(part, seed=0)


def test_a_diverged_network_has_a_loss_that_json_can_hold(training):
    wild = replace(training, recipe=replace(training.recipe, learning_rate=1e30))
    assert wild.judge(Trial(TINY)).loss == LARGEST_LOSS


# -- where trials run --------------------------------------------------------------------------


def test_processes_judge_as_this_one_does(training):
    trials = [Trial(TINY), Trial(TINY.with_expansion(1, 24))]
    with ProcessPool(2) as pool:
        found = dict(pool.run(training.judge, trials))
    for trial in trials:
        here = training.judge(trial)
        assert found[trial].accuracy == here.accuracy
        assert found[trial].loss == pytest.approx(here.loss, rel=0.05)


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


def _where(job: int) -> int:
    import os

    return os.getpid()


def test_processes_are_replaced_after_a_while(monkeypatch):
    monkeypatch.setattr("mnv3_tf.search.pool.JOBS_PER_PROCESS", 2)
    with ProcessPool(1) as pool:
        ran = [{where for _, where in pool.run(_where, [1, 2])} for _ in range(3)]
        assert len(set.union(*ran)) == 3
        together = [{where for _, where in pool.run(_where, [1])} for _ in range(2)]
        assert together[0] == together[1]


def _die(job: int) -> int:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    return job


def _refuse(job: int) -> int:
    raise UserError(f"{job} is not liked.")


def test_a_killed_process_is_told():
    told = r"ended from outside.*fewer --workers than 1"
    with pytest.raises(Failure, match=told), ProcessPool(1) as pool:
        list(pool.run(_die, [1]))


def test_processes_end_with_the_search(tmp_path):
    """Also where it is killed and cannot end them: their pipes are closed."""
    script = tmp_path / "search.py"
    script.write_text(
        "import os, signal\n"
        "from mnv3_tf.search.pool import ProcessPool\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPool(1) as pool:\n"
        "        list(pool.run(abs, [-1]))\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL


def test_errors_of_a_job_are_raised_here():
    with pytest.raises(UserError, match="7 is not liked"), ProcessPool(1) as pool:
        list(pool.run(_refuse, [7]))


@pytest.mark.parametrize("workers", ["0", "-1", "many", "1.5", ""])
def test_workers_that_are_none(workers):
    with pytest.raises(UserError, match=f"--workers={workers} is no number of processes"):
        open_pool(workers)


@pytest.mark.slow
def test_ray(training, monkeypatch):
    pytest.importorskip("ray", reason="needs Ray, an optional package")
    # Ray's processes give way to all others, such as the tests beside this one.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    trial = Trial(TINY)
    with RayPool(None) as pool:
        ((same, found),) = pool.run(training.judge, [trial])
        assert (same, found.accuracy) == (trial, training.judge(trial).accuracy)
        nowhere = replace(training, dataset="folder:nowhere")
        with pytest.raises(UserError, match="nowhere"):
            list(pool.run(nowhere.judge, [trial]))


def test_ray_that_is_not_installed(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="--workers=ray needs Ray, which is not installed"):
        open_pool("ray")
