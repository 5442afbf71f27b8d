"""Strategies on a made-up reward: the same again, after a stop too, and better than chance."""

import functools
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnv3_tf.errors import UserError
from mnv3_tf.networks.named import resolve
from mnv3_tf.search.controller import Controller, Learning
from mnv3_tf.search.space import Architecture, Space
from mnv3_tf.search.strategies import STRATEGIES, RegularisedEvolution, make, mutate

SPACE = Space(resolve("small"), squeezes=(0.0,), skips=(True,), layers=(0,))
SIZES = [len(decision.choices) for decision in SPACE.decisions]
EVERY = pytest.mark.parametrize("name", STRATEGIES)
LEARNING = pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "random"])


def reward(architecture: Architecture) -> float:
    """1 where every choice is the last; neighbours that agree with it count more."""
    right = [index == size - 1 for index, size in zip(architecture, SIZES, strict=True)]
    pairs = [a and b for a, b in itertools.pairwise(right)]
    return 0.5 * sum(right) / len(right) + 0.5 * sum(pairs) / len(pairs)


def search(strategy, rounds: int, batch: int = 8) -> list[tuple[Architecture, float]]:
    found = []
    for _ in range(rounds):
        rewarded = [(architecture, reward(architecture)) for architecture in strategy.ask(batch)]
        strategy.tell(rewarded)
        found += rewarded
    return found


@functools.cache
def searched(name: str) -> list[tuple[Architecture, float]]:
    return search(make(name, SPACE), 28)


@EVERY
def test_equal_seeds_find_the_same_also_after_a_stop_and_others_differ(name):
    resumed, told = make(name, SPACE, 0), searched(name)[:48]
    first = resumed.ask(8)
    assert first == [architecture for architecture, _ in told[:8]]
    assert make(name, SPACE, 1).ask(8) != first
    for end in (5, 6, 20, 48):  # a journal's entries, however they are cut
        resumed.tell(told[:end])
        told = told[end:]
    assert told == []
    # Asking changes nothing.
    asked = resumed.ask(8)
    assert resumed.ask(8) == asked
    assert resumed.ask(3) == asked[:3]
    assert search(resumed, 2) == searched(name)[48:64]


@EVERY
def test_what_is_proposed_is_of_the_space(name):
    for architecture, _ in searched(name):
        assert all(type(index) is int for index in architecture)
        SPACE.decode(architecture)


def test_random_search_draws_every_choice_and_repeats_nothing_in_a_large_space():
    space = Space(resolve("small"))
    asked = make("random", space).ask(300)
    assert len(set(asked)) == 300
    for place, decision in enumerate(space.decisions):
        size = len(decision.choices)
        counts = np.bincount([architecture[place] for architecture in asked], minlength=size)
        assert counts.min() > 300 / size / 2


@LEARNING
def test_it_finds_better_than_chance(name):
    best, chance = (max(r for _, r in searched(kind)) for kind in (name, "random"))
    assert best > chance + 0.15


@LEARNING
def test_what_it_proposes_gets_better(name):
    rewards = [r for _, r in searched(name)]
    assert np.mean(rewards[-64:]) > np.mean(rewards[:64]) + 0.3


def test_equal_rewards_teach_nothing():
    """No division by their spread, and every choice stays about as likely."""
    strategy = make("ppo", SPACE)
    for _ in range(10):
        strategy.tell([(architecture, 0.5) for architecture in strategy.ask(8)])
    asked = strategy.ask(200)
    for place, size in enumerate(SIZES):
        counts = np.bincount([architecture[place] for architecture in asked], minlength=size)
        assert counts.min() > 200 / size / 2


# -- evolution -------------------------------------------------------------------------------


def test_a_mutation_changes_one_decision():
    rng, parent = np.random.default_rng(0), SPACE.random(np.random.default_rng(1))
    children = [mutate(SPACE, parent, rng) for _ in range(500)]
    changes = {
        (place, child[place])
        for child in children
        for place in range(len(parent))
        if child[place] != parent[place]
    }
    assert all(sum(a != b for a, b in zip(c, parent, strict=True)) == 1 for c in children)
    assert len(changes) == sum(size - 1 for size in SIZES)


def test_the_oldest_die_however_good_they_were():
    strategy = RegularisedEvolution(SPACE, population=4, sample=4)
    best, other = (0,) * len(SIZES), tuple(size - 1 for size in SIZES)
    strategy.tell([(best, 1.0), *[(other, 0.1)] * 3])
    assert all(sum(map(bool, child)) <= 1 for child in strategy.ask(5))
    strategy.tell([(other, 0.1)])
    assert all(sum(map(bool, child)) >= len(SIZES) - 1 for child in strategy.ask(5))


@pytest.mark.parametrize(("population", "sample"), [(4, 5), (4, 0), (0, 1)])
def test_a_sample_must_fit_its_population(population, sample):
    said = f"A sample of {sample} cannot be drawn from a population of {population}; give"
    with pytest.raises(UserError, match=said):
        RegularisedEvolution(SPACE, population=population, sample=sample)


# -- names -----------------------------------------------------------------------------------


def test_an_unknown_strategy_is_told_the_known_ones():
    with pytest.raises(UserError) as caught:
        make("annealing", SPACE)
    for name in ("'annealing'", *STRATEGIES):
        assert name in str(caught.value)


def test_without_choices_there_is_nothing_to_search():
    alone = Space(resolve("v2"), (3,), (0.0,), (1.0,), (True,), (1.0,), (0,))
    with pytest.raises(UserError, match="The space around v2 leaves nothing to decide"):
        make("evolution", alone)


def test_only_the_controller_needs_tensorflow():
    code = (
        "import sys; from mnv3_tf.networks.named import resolve;"
        "from mnv3_tf.search.space import Space;"
        "from mnv3_tf.search import rewards; from mnv3_tf.search.strategies import make;"
        "space = Space(resolve('small'));"
        "[make(name, space, 0).ask(2) for name in ('random', 'evolution')];"
        "sys.exit(any(m.startswith(('tensorflow', 'tf_keras')) for m in sys.modules))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


def test_the_bonus_for_entropy_halves_towards_the_least(monkeypatch):
    learning = Learning(batch=2, entropy=0.5, least_entropy=0.1, half_life=2.0)
    controller, bonuses = Controller(SPACE, learning=learning), []
    monkeypatch.setattr(
        controller._policy, "update", lambda chosen, advantages, bonus: bonuses.append(bonus)
    )
    search(controller, 3, batch=2)
    assert bonuses == pytest.approx([0.3, 0.2, 0.15])
