"""The platform-aware search with an analytic accuracy: rewards, stopping early, going on."""

from pathlib import Path

import pytest
from dying_evaluator import DyingEvaluator

from mnv3_tf.journal import Journal
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.named import resolve
from mnv3_tf.search.candidates import Candidate, Outcome
from mnv3_tf.search.latency_sources import CountedLatency
from mnv3_tf.search.nas import LEAST_KNOWN, Nas, hopeless_below
from mnv3_tf.search.rewards import Reward
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


def dying(limit: int | None = None) -> DyingEvaluator:
    return DyingEvaluator(outcome_of, limit)


def search(folder: Path, evaluate, strategy="evolution", samples=60, space=SPACE, **more):
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
            "evaluate": evaluate,
            "journal": journal,
            "samples": samples,
            "batch": 4,
            "say": lambda line: None,
            **more,
        }
    )


def test_samples_carry_their_rewards(tmp_path):
    evaluate = dying()
    samples = list(search(tmp_path, evaluate).run())
    assert len(samples) == 60
    for sample in samples:
        spec = sample.candidate.spec
        assert sample.candidate.accuracy == accuracy_of(spec)
        expected = accuracy_of(spec) * (cost(spec).madds / (0.8 * cost(SMALL).madds)) ** -0.15
        assert sample.reward == pytest.approx(expected)


def test_a_network_asked_for_again_is_not_trained_again(tmp_path):
    small = Space(SMALL, (3, 5), (0.25,), (1.0,), (True,), (1.0,), (0,))
    evaluate = dying()
    samples = list(search(tmp_path, evaluate, "random", space=small, samples=80).run())
    names = [sample.candidate.spec.hash for sample in samples]
    assert len(names) == 80 > len(set(names)) == len(evaluate.trials)


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
    evaluate = dying()
    samples = list(search(tmp_path, evaluate, "random", rung=2).run())
    assert all(trial.rung == 2 for trial in evaluate.trials)
    assert {trial.stop_below for trial in evaluate.trials[:LEAST_KNOWN]} == {0.0}
    stopped = {s.candidate.spec.hash for s in samples if s.candidate.stopped}
    assert 0.1 < len(stopped) / len(evaluate.trials) < 0.5
    worst = min(samples, key=lambda s: accuracy_of(s.candidate.spec))
    assert worst.candidate.spec.hash in stopped or worst in samples[:LEAST_KNOWN]


def test_without_a_rung_none_is_stopped(tmp_path):
    evaluate = dying()
    assert not any(s.candidate.stopped for s in search(tmp_path, evaluate, "random").run())
    assert {trial.rung for trial in evaluate.trials} == {0}


def test_the_threshold():
    def candidates(*at_rung):
        return [Candidate(SMALL, 1.0, 0.5, 1.0, at_rung=value) for value in at_rung]

    assert hopeless_below(candidates(*[0.5] * (LEAST_KNOWN - 1))) == 0
    assert hopeless_below(candidates(*[0.5] * LEAST_KNOWN, None)) == 0.5
    assert hopeless_below(candidates(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)) == 0.3
    one = candidates(0.4)[0]
    assert Candidate.from_json(one.to_json()) == one


def test_a_longer_search_goes_on_from_a_shorter_one(tmp_path):
    short = list(search(tmp_path, dying(), samples=20).run())
    evaluate = dying()
    longer = list(search(tmp_path, evaluate, samples=60).run())
    assert longer[:20] == short
    assert 0 < len(evaluate.trials) <= 40
