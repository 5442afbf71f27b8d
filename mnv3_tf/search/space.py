"""Spaces of networks around a seed.

A stage is a run of blocks with the same filters, of which only the first may stride. As in
MnasNet's factorised hierarchical space (Tan et al. 2019, section 4.1), the blocks of a stage
share kernel, squeeze-excite and filters; their expansions are free, as NetAdapt makes them.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mnv3_tf.spec import Block, NetworkSpec, make_divisible


@dataclass(frozen=True)
class Stage:
    """What the blocks of a stage share; `filters` is times the seed's, `layers` more than it."""

    kernel: int
    squeeze: float
    filters: float
    layers: int


@dataclass(frozen=True)
class Space:
    """`filters` and `expansions` are times the seed's, the latter as a range; `layers` are more
    or fewer blocks in a stage, of which at least one stays.
    """

    seed: NetworkSpec
    kernels: tuple[int, ...] = (3, 5)
    squeezes: tuple[float, ...] = (0.0, 0.25)
    filters: tuple[float, ...] = (0.75, 1.0, 1.25)
    expansions: tuple[float, float] = (0.5, 1.25)
    layers: tuple[int, ...] = (-1, 0, 1)

    def sample(self, rng: np.random.Generator) -> NetworkSpec:
        """A member drawn at random, at the seed's resolution."""
        choices = list(self._choices())
        drawn = [choices[rng.integers(len(choices))] for _ in self._seed_stages()]
        return self._member(drawn, lambda: float(rng.uniform(*self.expansions)))

    def corners(self) -> Iterator[NetworkSpec]:
        """Members that have between them every kind of operator of the space, and for each the
        fewest and the most channels.
        """
        for choice in self._choices():
            for scale in self.expansions:
                yield self._member([choice] * len(self._seed_stages()), lambda s=scale: s)  # type: ignore[misc]

    def _choices(self) -> Iterator[Stage]:
        fields = (self.kernels, self.squeezes, self.filters, self.layers)
        return (Stage(*values) for values in itertools.product(*fields))

    def _seed_stages(self) -> list[list[Block]]:
        stages: list[list[Block]] = []
        for block in self.seed.blocks:
            # Narrow seeds have equal filters on both sides of a stride.
            if stages and block.stride == 1 and block.filters == stages[-1][-1].filters:
                stages[-1].append(block)
            else:
                stages.append([block])
        return stages

    def _member(self, stages: Sequence[Stage], scale: Callable[[], float]) -> NetworkSpec:
        blocks: list[Block] = []
        for number, (seed, stage) in enumerate(zip(self._seed_stages(), stages, strict=True)):
            # The first stage keeps its size: it is bound to the stem, often by a residual.
            bound = number == 0
            count = len(seed) if bound else max(1, len(seed) + stage.layers)
            for place in range(count):
                block = seed[min(place, len(seed) - 1)]
                blocks.append(
                    dataclasses.replace(
                        block,
                        kernel=stage.kernel,
                        squeeze=stage.squeeze,
                        filters=_scaled(block.filters, 1.0 if bound else stage.filters),
                        expansion=_scaled(block.expansion, 1.0 if bound else scale()),
                        stride=block.stride if place == 0 else 1,
                    )
                )
        return self.seed.replace(name=f"{self.seed.name}_random", blocks=tuple(blocks))


def _scaled(channels: int, scale: float) -> int:
    return channels if scale == 1 else make_divisible(channels * scale)
