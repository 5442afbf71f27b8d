"""How a search chooses what to try next: at random, by evolution, or by a learned controller.

What a strategy proposes depends on nothing but the space, its seed and the rewards so far. A search
that was stopped goes on when a new strategy is told the same, and asking twice proposes the same
twice. No TensorFlow here.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.search.space import Architecture, Space

Rewarded = tuple[Architecture, float]
"""An architecture and its reward; more is better."""


class Strategy(Protocol):
    """Asked and told in turns."""

    def ask(self, count: int) -> list[Architecture]:
        """What to try next; the first of many are those of a few. Some may have been tried."""
        ...

    def tell(self, rewarded: Sequence[Rewarded]) -> None:
        """Rewards of what was tried, in its order; all at once or in parts is the same."""
        ...


class RandomSearch:
    """Every architecture is as likely as any other: what the other strategies must beat."""

    def __init__(self, space: Space, seed: int = 0) -> None:
        self._space, self._seed, self._known = space, seed, 0

    def ask(self, count: int) -> list[Architecture]:
        return [
            self._space.random(rng_of(self._seed, self._known + number)) for number in range(count)
        ]

    def tell(self, rewarded: Sequence[Rewarded]) -> None:
        self._known += len(rewarded)


class RegularisedEvolution:
    """Real et al. 2019 (AmoebaNet): the best of a few is changed in one place; the oldest die.

    The first `population` architectures are random. Later each is a child of the best of `sample`
    drawn from the youngest `population`, with one decision changed.
    """

    def __init__(self, space: Space, seed: int = 0, population: int = 32, sample: int = 8) -> None:
        if not 1 <= sample <= population:
            raise UserError(
                f"A sample of {sample} cannot be drawn from a population of {population}; give "
                "from 1 to the population."
            )
        self._space, self._seed, self._known = space, seed, 0
        self._sample, self._living = sample, deque[Rewarded](maxlen=population)

    def ask(self, count: int) -> list[Architecture]:
        return [self._propose(self._known + number) for number in range(count)]

    def tell(self, rewarded: Sequence[Rewarded]) -> None:
        self._known += len(rewarded)
        self._living.extend(rewarded)

    def _propose(self, number: int) -> Architecture:
        rng = rng_of(self._seed, number)
        if len(self._living) < (self._living.maxlen or 0):
            return self._space.random(rng)
        drawn = rng.choice(len(self._living), self._sample, replace=False)
        parent, _ = max((self._living[i] for i in drawn), key=lambda rewarded: rewarded[1])
        return mutate(self._space, parent, rng)


def mutate(space: Space, parent: Architecture, rng: np.random.Generator) -> Architecture:
    """One decision changed to another of its choices."""
    place = int(rng.integers(len(parent)))
    step = int(rng.integers(1, len(space.decisions[place].choices)))
    changed = (parent[place] + step) % len(space.decisions[place].choices)
    return (*parent[:place], changed, *parent[place + 1 :])


def rng_of(seed: int, number: int) -> np.random.Generator:
    """For the proposal of this number."""
    return np.random.default_rng((seed, number))


def _reinforce(space: Space, seed: int) -> Strategy:
    from mnv3_tf.search.controller import Controller

    return Controller(space, seed)


def _ppo(space: Space, seed: int) -> Strategy:
    from mnv3_tf.search.controller import PPO, Controller

    return Controller(space, seed, PPO)


STRATEGIES: Mapping[str, Callable[[Space, int], Strategy]] = {
    "random": RandomSearch,
    "evolution": RegularisedEvolution,
    "reinforce": _reinforce,
    "ppo": _ppo,
}


def make(name: str, space: Space, seed: int = 0) -> Strategy:
    """A strategy with its defaults. Raises UserError for an unknown name, and without choices."""
    if name not in STRATEGIES:
        raise UserError(f"Unknown strategy {name!r}; choose one of {', '.join(STRATEGIES)}.")
    if not space.decisions:
        raise UserError(
            f"The space around {space.start.name} leaves nothing to decide; give it more choices."
        )
    return STRATEGIES[name](space, seed)
