"""The platform-aware search with an analytic accuracy: rewards, stopping early, going on."""

from pathlib import Path

import pytest
from dying_judge import DyingJudge

from mnv3_tf.journal import Journal
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.named import resolve
from mnv3_tf.search.candidates import Judged
from mnv3_tf.search.latency import CountedLatency
from mnv3_tf.search.nas import LEAST_KNOWN, Candidate, Nas, hopeless_below
from mnv3_tf.search.rewards import Reward
from mnv3_tf.search.short_training import Outcome
from mnv3_tf.search.space import Space
from mnv3_tf.search.strategies import make

SMALL = resolve("small", resolution=96)
SPACE = Space(SMALL, kernels=(3, 5), squeezes=(0.25,), skips=(True,), layers=(0,))


def accuracy_of(spec) -> float:
    return 1 - 1e3 / (1e3 + cost(spec).params ** 0.5)


def outcome_of(trial) -> Outcome:
    accuracy = accuracy_of(trial.spec)
    if trial.rung and accuracy / 2 < trial.stop_below:
        return Outcome(accuracy / 2, 1.0, accuracy / 2, stopped=True)
    return Outcome(accuracy, 1.0, accuracy / 2 if trial.rung else None)


def dying(limit: int | None = None) -> DyingJudge:
    return DyingJudge(outcome_of, limit)


def search(folder: Path, judge, strategy="evolution", samples=60, space=SPACE, **more):
    folder.mkdir(exist_ok=True)
    journal = Journal(folder / "journal.jsonl")
    if not journal.entries():
        journal.add({"settings": {}})
    return Nas(
        **{
            "space": space,
            "strategy": make(strategy, space, seed=3),
            "reward": Reward("mnasnet", 0.8 * cost(SMALL).madds, -0.15),
            "latency": CountedLatency(),
            "judge": judge,
            "journal": journal,
            "samples": samples,
            "batch": 4,
            "say": lambda line: None,
            **more,
        }
    )


def test_samples_carry_their_rewards(tmp_path):
    judge = dying()
    samples = list(search(tmp_path, judge).run())
    assert len(samples) == 60
    for sample in samples:
        spec = sample.judged.spec
        assert sample.judged.accuracy == accuracy_of(spec)
        expected = accuracy_of(spec) * (cost(spec).madds / (0.8 * cost(SMALL).madds)) ** -0.15
        assert sample.reward == pytest.approx(expected)


def test_a_network_asked_for_again_is_not_trained_again(tmp_path):
    small = Space(SMALL, (3, 5), (0.25,), (1.0,), (True,), (1.0,), (0,))
    judge = dying()
    samples = list(search(tmp_path, judge, "random", space=small, samples=80).run())
    names = [sample.judged.spec.hash for sample in samples]
    assert len(names) == 80 > len(set(names)) == len(judge.trials)


@pytest.mark.parametrize("strategy", ["random", "evolution"])
def test_a_killed_search_goes_on_and_ends_alike(tmp_path, strategy):
    whole = dying()
    expected = list(search(tmp_path / "whole", whole, strategy, rung=2).run())
    killed = dying(limit=27)
    with pytest.raises(KeyboardInterrupt):
        list(search(tmp_path / "killed", killed, strategy, rung=2).run())
    again = dying()
    assert list(search(tmp_path / "killed", again, strategy, rung=2).run()) == expected
    assert len(killed.trials) + len(again.trials) == len(whole.trials)


def test_networks_that_fell_behind_are_stopped(tmp_path):
    judge = dying()
    samples = list(search(tmp_path, judge, "random", rung=2).run())
    assert all(trial.rung == 2 for trial in judge.trials)
    assert {trial.stop_below for trial in judge.trials[:LEAST_KNOWN]} == {0.0}
    stopped = {s.judged.spec.hash for s in samples if s.judged.stopped}
    assert 0.1 < len(stopped) / len(judge.trials) < 0.5
    worst = min(samples, key=lambda s: accuracy_of(s.judged.spec))
    assert worst.judged.spec.hash in stopped or worst in samples[:LEAST_KNOWN]


def test_without_a_rung_none_is_stopped(tmp_path):
    judge = dying()
    assert not any(s.judged.stopped for s in search(tmp_path, judge, "random").run())
    assert {trial.rung for trial in judge.trials} == {0}


def test_the_threshold():
    def candidates(*at_rung):
        return [Candidate(Judged(SMALL, 1.0, 0.5, 1.0), value) for value in at_rung]

    assert hopeless_below(candidates(*[0.5] * (LEAST_KNOWN - 1))) == 0
    assert hopeless_below(candidates(*[0.5] * LEAST_KNOWN, None)) == 0.5
    assert hopeless_below(candidates(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)) == 0.3
    one = candidates(0.4)[0]
    assert Candidate.from_json(one.to_json()) == one


def test_a_longer_search_goes_on_from_a_shorter_one(tmp_path):
    short = list(search(tmp_path, dying(), samples=20).run())
    judge = dying()
    longer = list(search(tmp_path, judge, samples=60).run())
    assert longer[:20] == short
    assert 0 < len(judge.trials) <= 40
