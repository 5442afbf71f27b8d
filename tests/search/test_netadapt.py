"""NetAdapt's steps with an analytic accuracy: what is taken, and what a kill leaves behind."""

import functools
import itertools
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
from dying_evaluator import DyingEvaluator
from refusals import refused

from mnv3_tf.journal import Journal
from mnv3_tf.networks.cost import cost
from mnv3_tf.search import netadapt
from mnv3_tf.search.candidates import Candidate, Outcome, Start
from mnv3_tf.search.latency_sources import CountedLatency
from mnv3_tf.search.netadapt import RULES, NetAdapt, require_reachable
from mnv3_tf.search.proposals import shrunk
from mnv3_tf.ui.progress import duration

SPEC = tiny.CLASSIFIER.with_width(2)
START = Start(SPEC, Path("start.weights.h5"))


def accuracy_of(spec) -> float:
    """The first blocks matter most, and each channel the less the more there are."""
    return sum(
        0.002 * (4 - i) * block.expansion**0.5 + 0.002 * block.filters**0.5
        for i, block in enumerate(spec.blocks)
    )


FIRST = Candidate(SPEC, float(cost(SPEC).madds), accuracy_of(SPEC), 0.4)


def outcome_of(trial) -> Outcome:
    trial.save.parent.mkdir(exist_ok=True)
    trial.save.write_text(trial.spec.hash)
    return Outcome(accuracy_of(trial.spec), 1.0)


def dying(limit: int | None = None) -> DyingEvaluator:
    return DyingEvaluator(outcome_of, limit)


def search(folder: Path, evaluate, target: float = 0.7, rule="accuracy_per_latency", **more):
    folder.mkdir(exist_ok=True)
    return NetAdapt(
        **{
            "target": target * FIRST.latency,
            "cut": 0.01 * FIRST.latency,
            "smallest": shrunk(SPEC, 0.25),
            "rule": RULES[rule],
            "latency": CountedLatency(),
            "evaluate": evaluate,
            "journal": Journal(folder / "journal.jsonl"),
            "weights": folder / "weights",
            "steps": 7,
            "say": lambda line: None,
            **more,
        }
    )


def test_each_step_takes_the_greatest_change_of_accuracy_per_latency():
    steps, _ = whole_search()
    before = FIRST
    for step in steps:
        assert step.chosen in step.proposals
        slopes = [
            (one.accuracy - before.accuracy) / (before.latency - one.latency)
            for one in step.proposals
        ]
        assert max(slopes) == slopes[step.proposals.index(step.chosen)]
        assert all(one.latency <= before.latency - 0.01 * FIRST.latency for one in step.proposals)
        before = step.chosen
    assert steps[-1].chosen.latency <= 0.7 * FIRST.latency < steps[-2].chosen.latency


def test_the_rule_of_netadapt_itself(tmp_path):
    steps = list(search(tmp_path, dying(), 0.95, "least_loss").run(FIRST, START))
    for step in steps:
        assert step.chosen.accuracy == max(one.accuracy for one in step.proposals)
    other, _ = whole_search()
    assert steps[0].chosen.spec != other[0].chosen.spec


def test_equal_accuracies_are_ordered_by_the_loss(tmp_path):
    def evaluate(trials):
        for number, trial in enumerate(trials):
            trial.save.parent.mkdir(exist_ok=True)
            trial.save.touch()
            yield trial, Outcome(FIRST.accuracy, 1.0 - 0.01 * (number == 3))

    step = next(search(tmp_path, evaluate).run(FIRST, START))
    assert step.chosen == step.proposals[3]


def test_trials_begin_where_the_step_before_ended(tmp_path):
    evaluate = dying()
    first, second, *_ = search(tmp_path, evaluate).run(FIRST, START)
    of_first = evaluate.trials[: len(first.proposals)]
    of_second = evaluate.trials[len(first.proposals) :][: len(second.proposals)]
    assert {(t.start, t.first_step) for t in of_first} == {(START, 0)}
    assert {(t.start, t.first_step) for t in of_second} == {(first.start, 7)}
    assert first.start.weights.read_text() == first.chosen.spec.hash


def test_weights_of_what_was_not_taken_are_removed(tmp_path):
    steps = list(search(tmp_path, dying()).run(FIRST, START))
    kept = sorted((tmp_path / "weights").iterdir())
    assert kept == sorted(step.start.weights for step in steps)


@functools.cache
def whole_search():
    """Its steps, and the number of its trials."""
    with tempfile.TemporaryDirectory() as folder:
        evaluate = dying()
        return list(search(Path(folder), evaluate).run(FIRST, START)), len(evaluate.trials)


@pytest.mark.parametrize("more", [None, 1, -1, 0, 7])
def test_a_killed_search_goes_on_and_ends_alike(tmp_path, more):
    """Killed before its first trial, or so many more or fewer than the first step has."""
    expected, trials = whole_search()
    limit = 0 if more is None else len(expected[0].proposals) + more
    killed = dying(limit)
    with pytest.raises(KeyboardInterrupt):
        list(search(tmp_path / "killed", killed).run(FIRST, START))
    again = dying()
    found = list(search(tmp_path / "killed", again).run(FIRST, START))
    assert [(s.proposals, s.chosen) for s in found] == [(s.proposals, s.chosen) for s in expected]
    assert len(killed.trials) + len(again.trials) == trials


def test_a_finished_search_evaluates_nothing(tmp_path):
    expected = list(search(tmp_path, dying()).run(FIRST, START))
    assert list(search(tmp_path, dying(limit=0)).run(FIRST, START)) == expected


def test_measured_proposals_are_those_of_before_the_kill(tmp_path):
    """The same network is never measured twice alike."""

    class Drifting(CountedLatency):
        def of(self, specs):
            times.append(len(specs))
            return [us * (1 - 0.001 * len(times)) for us in super().of(specs)]

    times: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        list(search(tmp_path, dying(3), latency=Drifting()).run(FIRST, START))
    asked = len(times)
    step = next(search(tmp_path, dying(), latency=Drifting()).run(FIRST, START))
    assert len(times) == asked
    entries = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    (recorded,) = (entry["proposals"] for entry in entries if "proposals" in entry)
    assert [one.latency for one in step.proposals] == [tree["latency"] for tree in recorded]


def test_a_target_that_cannot_be_reached():
    with refused("cannot be reached", "still takes", "M MAdds; raise --target"):
        require_reachable(0.1 * FIRST.latency, shrunk(SPEC, 0.25), CountedLatency())
    require_reachable(0.9 * FIRST.latency, shrunk(SPEC, 0.25), CountedLatency())


def test_cuts_that_no_part_can_make(tmp_path):
    with refused("Nothing can be shrunk any more", "lower --delta"):
        list(search(tmp_path, dying(), cut=0.5 * FIRST.latency).run(FIRST, START))


def test_the_time_left_follows_from_the_pace(tmp_path, monkeypatch):
    clock, lines = itertools.count(100, 60), []
    monkeypatch.setattr(netadapt, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    first, second, *_ = search(tmp_path, dying(), say=lines.append).run(FIRST, START)
    target = 0.7 * FIRST.latency
    told = [line for line in lines if line.startswith("step ")]
    for line, step, minutes in zip(told[:2], (first, second), (1, 2), strict=True):
        now = step.chosen.latency
        left = 60 * minutes * (now - target) / (FIRST.latency - now)
        assert line.endswith(f"about {duration(left)} left")
