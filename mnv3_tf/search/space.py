"""Spaces of networks around a starting point: MnasNet's factorised hierarchical space, as data.

A stage is a run of blocks with the same filters, of which only the first may stride. Its blocks
share what is chosen (Tan et al. 2019, section 4.1): kernel, squeeze-excite, operator, skip,
filters and the number of them. The first stage is bound to the stem and keeps its size.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.networks.blocks import Block, InvertedResidual, PlacedBlock, make_divisible
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.proposals import shrunk

Architecture = tuple[int, ...]
"""For each decision of a space, the index of what is chosen."""

SEPARABLE = 0.0
"""The operator without an expansion: a depthwise separable convolution."""


@dataclass(frozen=True)
class Decision:
    """What to choose, as "stage 2 kernel", and between what."""

    name: str
    choices: tuple[float, ...]


@dataclass(frozen=True)
class Stage:
    """What the blocks of a stage share.

    `squeeze` is a part of the expansion, or of the block's input where the space says so.
    `operator` is the expansion ratio and `filters` the output, both times the starting point's.
    `skip` is the residual of all blocks but the first. `layers` more than the starting point has,
    at least one, repeat its last block.
    """

    kernel: int
    squeeze: float
    operator: float
    skip: bool
    filters: float
    layers: int


@dataclass(frozen=True)
class Space:
    """Choices for each stage, in the units of `Stage`; what has one choice is fixed.

    Around MobileNetV2 the operators are MnasNet's MB6, MB3 and SepConv. `squeeze_of_input` is for
    MnasNet-A1, whose squeeze-excite is measured by the input.
    """

    start: NetworkSpec
    kernels: tuple[int, ...] = (3, 5)
    squeezes: tuple[float, ...] = (0.0, 0.25)
    operators: tuple[float, ...] = (1.0, 0.5, SEPARABLE)
    skips: tuple[bool, ...] = (True, False)
    filters: tuple[float, ...] = (1.0, 0.75, 1.25)
    layers: tuple[int, ...] = (0, -1, 1)
    squeeze_of_input: bool = False

    def __post_init__(self) -> None:
        for number, block in enumerate(self.start.blocks):
            if not isinstance(block, InvertedResidual):
                raise UserError(
                    f"Block {number} of {self.start.name} is of the kind {block.kind!r}, of which "
                    "there is no space; search around a network of inverted residuals."
                )
        for name, choices in self._choices.items():
            if not choices or len(set(choices)) < len(choices):
                raise UserError(f"The choices of {name} are {choices}; give different ones.")
            if name in ("operator", "filters") and not all(0 <= c < math.inf for c in choices):
                raise UserError(
                    f"The choices of {name} are {choices}; give parts of the start's, from 0 on."
                )

    @functools.cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """Where there is more than one choice, stage by stage."""
        return tuple(
            Decision(f"stage {number + 1} {name}", choices)
            for number, open_choices in enumerate(self._open_choices)
            for name, choices in open_choices.items()
        )

    @property
    def size(self) -> int:
        """The number of architectures, of which some are the same network."""
        return math.prod(len(decision.choices) for decision in self.decisions)

    # -- architectures and networks ----------------------------------------------------------

    def decode(self, architecture: Architecture) -> NetworkSpec:
        """The network, named for its hash. Raises UserError for what is no architecture of this."""
        if len(architecture) != len(self.decisions):
            raise UserError(
                f"The architecture {architecture} makes {len(architecture)} choices, but there are "
                f"{len(self.decisions)} decisions around {self.start.name}; give one for each."
            )
        for decision, index in zip(self.decisions, architecture, strict=True):
            if not 0 <= index < len(decision.choices):
                raise UserError(
                    f"Choice {index} of {decision.name} does not exist; the last is "
                    f"{len(decision.choices) - 1}."
                )
        indices = iter(architecture)
        return self._member(
            [
                dataclasses.replace(self._first, **{k: v[next(indices)] for k, v in open_.items()})
                for open_ in self._open_choices
            ]
        )

    def encode(self, spec: NetworkSpec) -> Architecture:
        """The first architecture that decodes to this network, whatever its name.

        Raises UserError for a network outside the space, naming what is outside.
        """
        bare = spec.replace(name=self.start.name, blocks=self.start.blocks)
        for field in dataclasses.fields(bare):
            theirs, own = getattr(bare, field.name), getattr(self.start, field.name)
            if theirs != own:
                raise UserError(
                    f"{spec.name} is not in the space around {self.start.name}, whose {field.name} "
                    f"is {own} and not {theirs}."
                )
        furthest = 0

        @functools.cache
        def rest(number: int, start: int) -> Architecture | None:
            """Choices with which the stages from `number` on make the blocks from `start` on."""
            nonlocal furthest
            if number == len(self._stages):
                return () if start == len(spec.blocks) else None
            channels = spec.blocks[start - 1].filters if start else spec.stem.filters
            for indices, stage in self._every_stage(number):
                made = self._blocks(number, stage, channels)
                end = start + _agreeing(made, spec.blocks[start:])
                furthest = max(furthest, end)
                if end == start + len(made):
                    after = rest(number + 1, end)
                    if after is not None:
                        return indices + after
            return None

        found = rest(0, 0)
        if found is None:
            wrong = (
                f"Block {furthest} of {spec.name}, {spec.blocks[furthest]},"
                if furthest < len(spec.blocks)
                else f"{spec.name}, with its {len(spec.blocks)} blocks,"
            )
            raise UserError(
                f"{wrong} is not in the space around {self.start.name}; give the space its values "
                "as choices."
            )
        return found

    # -- members -----------------------------------------------------------------------------

    def random(self, rng: np.random.Generator) -> Architecture:
        """Every choice is as likely as the others of its decision."""
        return tuple(int(rng.integers(len(d.choices))) for d in self.decisions)

    def sample_freely(self, rng: np.random.Generator) -> NetworkSpec:
        """A network drawn at random, whose expansions are anywhere between those of the space."""
        wide = [operator for operator in self.operators if operator != SEPARABLE]

        def vary(operator: float) -> float:
            return operator and float(rng.uniform(min(wide), max(wide)))

        stages = [
            Stage(*(choices[rng.integers(len(choices))] for choices in self._choices.values()))
            for _ in self._stages
        ]
        return self._member(stages, vary)

    def corners(self, smallest: float | None = None) -> Iterator[NetworkSpec]:
        """Networks that have between them every kind of operator of the space, and for each the
        fewest and the most channels: those whose stages are all alike.

        `smallest` adds the starting point, with each kernel and squeeze-excite, shrunk to that
        part of its channels. Raises UserError where it is no part.
        """
        for values in itertools.product(*self._choices.values()):
            yield self._alike(Stage(*values))
        if smallest is not None:
            for kernel, squeeze in itertools.product(self.kernels, self.squeezes):
                whole = self._alike(Stage(kernel, squeeze, 1.0, True, 1.0, 0))
                yield shrunk(whole, smallest)

    # -- stages ------------------------------------------------------------------------------

    @functools.cached_property
    def _choices(self) -> dict[str, tuple[Any, ...]]:
        return {
            "kernel": self.kernels,
            "squeeze": self.squeezes,
            "operator": self.operators,
            "skip": self.skips,
            "filters": self.filters,
            "layers": self.layers,
        }

    @functools.cached_property
    def _stages(self) -> tuple[tuple[PlacedBlock, ...], ...]:
        """The starting point's."""
        stages: list[list[PlacedBlock]] = []
        for placed in self.start.placed_blocks():
            # Narrow networks have equal filters on both sides of a stride.
            block, before = placed.block, stages[-1][-1].block if stages else None
            if before and block.stride == 1 and block.filters == before.filters:
                stages[-1].append(placed)
            else:
                stages.append([placed])
        return tuple(map(tuple, stages))

    @functools.cached_property
    def _first(self) -> Stage:
        """The first choice of everything, which is that of what is fixed."""
        return Stage(*(choices[0] for choices in self._choices.values()))

    @functools.cached_property
    def _open_choices(self) -> tuple[dict[str, tuple[Any, ...]], ...]:
        """What is to be decided of each stage."""
        found = []
        for number, blocks in enumerate(self._stages):
            fixed = set() if number else {"operator", "filters", "layers"}
            if len(blocks) + (max(self.layers) if number else 0) < 2:
                fixed.add("skip")  # which is of blocks after the first
            found.append(
                {
                    name: choices
                    for name, choices in self._choices.items()
                    if len(choices) > 1 and name not in fixed
                }
            )
        return tuple(found)

    def _every_stage(self, number: int) -> Iterator[tuple[Architecture, Stage]]:
        """All that can be chosen for a stage, as the part of an architecture and as values."""
        open_choices = self._open_choices[number]
        for indices in itertools.product(*(range(len(c)) for c in open_choices.values())):
            values = zip(open_choices.items(), indices, strict=True)
            picked = {name: choices[index] for (name, choices), index in values}
            yield indices, dataclasses.replace(self._first, **picked)

    def _alike(self, stage: Stage) -> NetworkSpec:
        return self._member([stage] * len(self._stages))

    def _member(
        self, stages: Sequence[Stage], vary: Callable[[float], float] | None = None
    ) -> NetworkSpec:
        """`vary` gives the operator of each block from that of its stage."""
        blocks: list[InvertedResidual] = []
        for number, stage in enumerate(stages):
            channels = blocks[-1].filters if blocks else self.start.stem.filters
            blocks += self._blocks(number, stage, channels, vary)
        spec = self.start.replace(blocks=tuple(blocks))
        return spec.replace(name=f"{self.start.name}_{spec.hash[:8]}")

    def _blocks(
        self,
        number: int,
        stage: Stage,
        channels: int,
        vary: Callable[[float], float] | None = None,
    ) -> list[InvertedResidual]:
        """The blocks of a stage whose input has `channels`."""
        if number == 0:
            stage, vary = dataclasses.replace(stage, operator=1.0, filters=1.0, layers=0), None
        whole, blocks = self._stages[number], []
        for place in range(max(1, len(whole) + stage.layers)):
            placed = whole[min(place, len(whole) - 1)]
            block = placed.block
            assert isinstance(block, InvertedResidual)  # the others were refused
            operator = vary(stage.operator) if vary else stage.operator
            expansion = channels
            if operator != SEPARABLE and placed.has_expansion:
                expansion = _scaled(block.expansion, operator * channels / placed.in_channels)
            measured_by = expansion / channels if self.squeeze_of_input else 1.0
            blocks.append(
                block.replace(
                    kernel=stage.kernel,
                    expansion=expansion,
                    filters=_scaled(block.filters, stage.filters),
                    squeeze=stage.squeeze / measured_by,
                    stride=block.stride if place == 0 else 1,
                    skip=stage.skip if place else block.skip,
                )
            )
            channels = blocks[-1].filters
        return blocks


def _scaled(channels: int, scale: float) -> int:
    return channels if scale == 1 else make_divisible(channels * scale)


def _agreeing(made: Sequence[Block], wanted: Sequence[Block]) -> int:
    """How many blocks are the same, from the first on."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(made, wanted, strict=False))
    return sum(1 for _ in pairs)
