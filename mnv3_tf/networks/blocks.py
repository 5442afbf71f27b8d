"""The stem, inverted residuals, and what every kind of block has."""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from mnv3_tf.networks.activations import OF_BLOCKS
from mnv3_tf.networks.graph import OperatorGraph


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor`, at least `divisor`, never below 90 % of `channels`."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


class Check(Protocol):
    """Raises UserError that names the field and its value, and what it must be."""

    def require(self, holds: bool, field: str, value: object, wanted: str) -> None: ...

    def whole(self, field: str, value: object, least: int = 1) -> None: ...

    def one_of(self, field: str, value: object, choices: tuple[object, ...]) -> None: ...


@dataclass(frozen=True)
class Stem:
    """The first convolution, with BatchNorm.

    `zero` is the colour, RGB in [-1, 1], that it takes for zero and pads with; None is grey, 0.
    Only imported weights need another, those for pictures that were normalised otherwise.
    """

    filters: int = 16
    kernel: int = 3
    stride: int = 2
    activation: str = "hard_swish"
    zero: tuple[float, ...] | None = None


class Block(ABC):
    """A base of frozen dataclasses, one for each kind of block, all with these fields.

    Each has a `kind` too, by which JSON knows it. `filters` are the channels of the output.
    """

    filters: int
    activation: str
    stride: int

    @property
    @abstractmethod
    def kernels(self) -> tuple[int, ...]:
        """Sides of the spatial convolutions, in their order."""

    @property
    def widest(self) -> int:
        """Channels of the widest tensor inside the block."""
        return self.filters

    def expands(self, channels: int) -> bool:
        """Whether there is an expansion convolution, on an input of so many channels."""
        return False

    def adds_input(self, channels: int) -> bool:
        """Whether the block adds its input, of so many channels, to its output."""
        return False

    def squeeze_width(self, divisor: int) -> int:
        """Channels of the squeeze-excite bottleneck, a multiple of `divisor`; 0 means none."""
        return 0

    @abstractmethod
    def add_to(self, graph: OperatorGraph, source: str, placed: "PlacedBlock") -> str:
        """Adds the block's operators, and returns the last one's name."""

    def check(self, check: Check, where: str) -> None:
        """Checks every field, of the block `where`."""
        check.whole(f"{where}.filters", self.filters)
        check.one_of(f"{where}.activation", self.activation, OF_BLOCKS)
        check.one_of(f"{where}.stride", self.stride, (1, 2))

    # -- edits: each returns a new block ---------------------------------------------------------

    def replace(self, **changes: Any) -> Self:
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def with_width(self, width: float, before: int, channels: int) -> Self:
        """Filters times `width`; the input has `channels` now and had `before`."""
        return self.replace(filters=make_divisible(self.filters * width))

    def with_halved_channels(self, keep_expansion: bool) -> Self:
        return self.replace(filters=make_divisible(self.filters / 2))

    def without_squeeze_excite(self) -> Self:
        return self


class Expanding(Block):
    """A base of those that widen their input to `expansion` channels.

    `skip` lets them add their input to their output where both have one size.
    """

    expansion: int
    skip: bool

    @property
    def widest(self) -> int:
        return self.expansion

    def check(self, check: Check, where: str) -> None:
        check.whole(f"{where}.expansion", self.expansion)
        super().check(check, where)
        check.require(isinstance(self.skip, bool), f"{where}.skip", self.skip, "True or False")

    def adds_input(self, channels: int) -> bool:
        return self.skip and self.stride == 1 and self.filters == channels

    def with_width(self, width: float, before: int, channels: int) -> Self:
        """An expansion keeps its ratio to the block's input."""
        ratio = self.expansion / before
        kept = ratio == 1 and not self.expands(before)
        expansion = channels if kept else make_divisible(channels * ratio)
        return super().with_width(width, before, channels).replace(expansion=expansion)

    def with_halved_channels(self, keep_expansion: bool) -> Self:
        expansion = self.expansion if keep_expansion else make_divisible(self.expansion / 2)
        return super().with_halved_channels(keep_expansion).replace(expansion=expansion)


@dataclass(frozen=True)
class InvertedResidual(Expanding):
    """1x1 expansion, depthwise, squeeze-excite, linear 1x1 projection.

    `expansion` and `filters` are channel counts. The expansion convolution is left out where
    `expansion` equals the block's input, as in the first block of every network. `squeeze` is
    the width of the squeeze-excite bottleneck as a part of `expansion`; 0 means none.

    Sandler et al. 2018; Howard et al. 2019, Figure 4.
    """

    kind: ClassVar[str] = "inverted_residual"

    kernel: int
    expansion: int
    filters: int
    squeeze: float
    activation: str
    stride: int
    skip: bool = True

    @property
    def kernels(self) -> tuple[int, ...]:
        return (self.kernel,)

    def expands(self, channels: int) -> bool:
        return self.expansion != channels

    def squeeze_width(self, divisor: int) -> int:
        return make_divisible(self.squeeze * self.expansion, divisor) if self.squeeze else 0

    def without_squeeze_excite(self) -> Self:
        return self.replace(squeeze=0.0)

    def add_to(self, graph: OperatorGraph, source: str, placed: "PlacedBlock") -> str:
        name, at = placed.name, source
        if placed.has_expansion:
            at = graph.conv(
                f"{name}_expand",
                name,
                at,
                self.expansion,
                activation=self.activation,
                role="expand",
            )
        at = graph.depthwise(
            f"{name}_depthwise",
            name,
            at,
            self.kernel,
            placed.stride,
            placed.dilation,
            self.activation,
            role="depthwise",
        )
        if placed.squeeze_width:
            at = squeeze_excite(graph, name, at, placed.squeeze_width, placed.gate)
        at = graph.conv(f"{name}_project", name, at, self.filters, role="project")
        return placed.add_residual(graph, source, at)

    def check(self, check: Check, where: str) -> None:
        check.one_of(f"{where}.kernel", self.kernel, (3, 5, 7))
        check.require(0 <= self.squeeze <= 1, f"{where}.squeeze", self.squeeze, "from 0 to 1")
        super().check(check, where)


@dataclass(frozen=True)
class PlacedBlock:
    """A block, and what its place in the network makes of it."""

    block: Block
    name: str
    in_channels: int
    squeeze_width: int
    stride: int
    dilation: int
    output_stride: int
    residual: bool
    gate: str

    @property
    def has_expansion(self) -> bool:
        return self.block.expands(self.in_channels)

    def add_to(self, graph: OperatorGraph, source: str) -> str:
        """Adds the block's operators, and returns the last one's name."""
        return self.block.add_to(graph, source, self)

    def add_residual(self, graph: OperatorGraph, source: str, at: str) -> str:
        """Adds the block's input, `source`, to what it made of it, where it has a residual."""
        if not self.residual:
            return at
        return graph.add(f"{self.name}_add", self.name, source, at, role="residual")


def squeeze_excite(graph: OperatorGraph, stage: str, source: str, width: int, gate: str) -> str:
    """Channels scaled by a gate from their means (Howard et al. 2019, section 5.3)."""
    name, channels = f"{stage}_squeeze_excite", graph.channels(source)
    at = graph.mean(f"{name}_pool", stage, source)
    at = graph.conv(f"{name}_conv", stage, at, width, activation="relu", bias=True, role="squeeze")
    at = graph.conv(
        f"{name}_conv_1", stage, at, channels, activation=gate, bias=True, role="excite"
    )
    return graph.multiply(f"{name}_multiply", stage, source, at)
