"""Runs that end before their plan does: without patience, and when time is up."""

from types import SimpleNamespace

import pytest
from making import colours
from refusals import refused

from mnv3_tf.training import loop
from mnv3_tf.training.learner import Score
from mnv3_tf.training.loop import Trainer
from mnv3_tf.training.time_limit import TimeLimit

SHORT = {"steps": None, "epochs": 6, "batch_size": 24, "override": ("optimizer=sgd",)}
"""Epochs of two steps."""


@pytest.fixture(autouse=True)
def nothing_at_the_end(monkeypatch):
    monkeypatch.setattr("mnv3_tf.training.run.final_figures", lambda *_: {})


@pytest.fixture
def scored(monkeypatch):
    """(top-1 after each epoch) -> what validation will say from epoch 1 on; None: no score."""

    def give(*scores):
        finish = Trainer._finish_epoch

        def finish_scored(self):
            top1 = scores[int(self.state.epochs)]
            given = Score({"val_loss": 1.0, "val_top1": top1, "val_top5": None}, 15)
            monkeypatch.setattr(self.learner, "score", lambda tallies: list(tallies) and given)
            return finish(self)

        monkeypatch.setattr(Trainer, "_finish_epoch", finish_scored)

    return give


def test_patience_ends_a_run(scored, train, run):
    scored(0.1, 0.5, 0.5, 0.4, 0.9, 0.9)
    summary = train(**SHORT, patience=2)
    assert (summary["epochs"], summary["steps"], summary["best_epoch"]) == (4, 8, 2)
    assert summary["ended_by"] == "patience"
    assert len(run.read_metrics()) == 4


def test_a_run_that_was_killed_ends_where_it_would_have(scored, train, run, monkeypatch):
    scored(0.5, 0.4, 0.4, 0.9, 0.9, 0.9)
    with monkeypatch.context() as patch:
        patch.setattr("mnv3_tf.training.run.final_figures", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(**SHORT, patience=2)
    assert not run.summary.exists()
    summary = train(**SHORT, patience=2)
    assert (summary["epochs"], summary["best_epoch"], summary["ended_by"]) == (3, 1, "patience")
    with refused("--patience=2, not 3"):
        train(**SHORT, patience=3)


def test_without_any_score_the_last_weights_are_kept(scored, train, run):
    scored(*[None] * 6)
    summary = train(**SHORT, patience=2)
    assert (summary["epochs"], summary["best_epoch"], summary["val_top1"]) == (6, 6, None)
    assert run.best_weights.exists()


def test_patience_needs_pictures_to_judge_by(train, made, run, tmp_path):
    rows = [
        f"{made(colours)}/train/{name}/{n}.png,{label},train\n"
        for label, name in enumerate(("red", "green"))
        for n in range(4)
    ]
    (tmp_path / "t.csv").write_text("filename,class_index,split\n" + "".join(rows))
    with refused("--patience=2", "has no validation set"):
        train(dataset=f"csv:{tmp_path}/t.csv", patience=2)
    assert not run.path.exists()


# -- time ------------------------------------------------------------------------------------


def ended(limit, planned, steps_per_epoch, evaluation, pace=1.0, first=0.0):
    """Steps until time is up, each one's place in the plan, and the seconds that it all took."""
    wall, places = first, []
    for step in range(planned):
        places.append(limit.advance(step, wall))
        wall += pace
        limit.trained(pace)
        boundary = (step + 1) % steps_per_epoch == 0
        if limit.is_up(step + 1, wall, boundary):
            break
        if boundary:
            wall += evaluation
            limit.evaluated(evaluation)
    return len(places), places, wall + evaluation


@pytest.mark.parametrize(
    ("seconds", "steps_per_epoch", "evaluation", "first"),
    [(100, 10, 2.0, 0.0), (100, 1000, 5.0, 20.0), (60, 7, 7.0, 0.0), (30, 10, 0.0, 29.5)],
)
def test_a_plan_is_shortened_to_the_time(seconds, steps_per_epoch, evaluation, first):
    limit = TimeLimit(seconds, 1000, steps_per_epoch, 3 * evaluation)
    steps, places, wall = ended(limit, 1000, steps_per_epoch, evaluation, first=first)
    assert wall <= seconds + 1
    # Not shorter than it need be: no step more, with an evaluation if one comes before it.
    assert steps == 1 or wall + 1 + evaluation * (steps % steps_per_epoch == 0) > seconds - 1
    assert places == sorted(places)
    assert places[0] == 0
    if steps > 5:  # the end of the plan, where its rate is lowest
        assert 980 < places[-1] < 1000
        # Evenly, but for what was not known at first.
        assert places[steps // 2] == pytest.approx(500, abs=90)


def test_a_plan_that_fits_is_left_as_it_is():
    limit = TimeLimit(1000, 50, 10, 6.0)
    assert ended(limit, 50, 10, 2.0)[:2] == (50, list(range(50)))


def test_a_pace_that_changes():
    """Twice as slow from the middle on."""
    limit, wall, places = TimeLimit(100, 1000, 1000, 0.0), 0.0, []
    while not places or not limit.is_up(len(places), wall):
        places.append(limit.advance(len(places), wall))
        pace = 1.0 if wall < 50 else 2.0
        wall += pace
        limit.trained(pace)
    assert 97 <= wall <= 100
    assert places[-1] > 950


def test_a_run_ends_in_time_with_the_schedule_at_its_end(train, run, monkeypatch, capsys):
    """A second for each look at the clock; killed in the middle."""
    now = iter(range(10**6))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(now))))
    settings = {**SHORT, "epochs": 100, "time_limit": 0.5, "learning_rate": 1.0}
    noted = Trainer._note_step

    def killed(self, step, seconds, progress):
        noted(self, step, seconds, progress)
        if step == 11:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_note_step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(**settings)
    summary = train(**settings)
    assert "Going on after step 11" in capsys.readouterr().out
    rows = run.read_metrics()
    assert summary["ended_by"] == "time_limit"
    assert (summary["steps"], summary["epochs"]) == (rows[-1]["step"], rows[-1]["epoch"])
    assert 12 < summary["steps"] < 30
    assert summary["wall_s"] <= 31
    rates = [row["lr"] for row in rows]
    assert max(rates) > 0.8
    assert rates[-1] < 0.05
