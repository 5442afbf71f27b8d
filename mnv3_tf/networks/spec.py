"""A network as one frozen value.

Everything else in the toolkit (Keras model, cost, lowered and quantised model, search) is a
function of a `NetworkSpec`. Channel counts in it are absolute: `with_width`, `with_expansion`
and the other edits return a new spec, and nothing rounds or rescales behind one's back later.

Sources: Howard et al. 2019 (arXiv 1905.02244), Tables 5 and 9, Figure 5, section 5. The networks
with a name are in `named.py`.
"""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mnv3_tf.errors import UserError
from mnv3_tf.networks import spec_json
from mnv3_tf.networks.activations import GATES, OF_BLOCKS
from mnv3_tf.networks.blocks import (
    InvertedResidual,
    PlacedBlock,
    Stem,
    make_divisible,
)
from mnv3_tf.networks.graph import IMAGE, OperatorGraph
from mnv3_tf.networks.universal import ConvBlock, UniversalBottleneck

PADDINGS = ("same", "symmetric")
WIDEST_HIDDEN = 1280
LAST_CONV_SCALINGS = ("scale", "grow", "keep")

TAPPED = ("stem", "start", "expand", "depthwise", "last_conv")
"""Roles of the operators that are endpoints."""

KnownBlock = InvertedResidual | ConvBlock | UniversalBottleneck
"""Every kind of block. One that JSON names no kind of is of the first."""


@dataclass(frozen=True)
class NetworkSpec:
    """A classification network for square pictures; other tasks tap its backbone.

    `last_conv` is the 1x1 convolution before pooling (960 in Large; 0 means none) and `hidden` the
    layer between pooling and logits (1280; 0 means none, as in MobileNetV2), which has a bias, or
    else BatchNorm where `hidden_batch_norm` says so; its activation is the last one, but for
    `hidden_activation`, which imported weights may need. `last_conv_scaling` says what a width
    multiplier does to `last_conv`: "scale", "grow" (above 1 only) or "keep".
    `padding` is TensorFlow's "same" or PyTorch's "symmetric"; only imported weights need the
    latter.
    """

    task: ClassVar[str] = "classify"

    name: str
    blocks: tuple[KnownBlock, ...]
    last_conv: int
    hidden: int
    stem: Stem = field(default=Stem())
    last_activation: str = "hard_swish"
    last_conv_scaling: str = "scale"
    squeeze_divisor: int = 8
    gate: str = "hard_sigmoid"
    padding: str = "same"
    batch_norm_epsilon: float = 1e-3
    resolution: int = 224
    num_classes: int = 1000
    hidden_batch_norm: bool = False
    hidden_activation: str | None = None

    def __post_init__(self) -> None:
        _validate(self)

    # -- what it has in common with the specs of other tasks ---------------------------------

    @property
    def backbone(self) -> "NetworkSpec":
        return self

    def with_backbone(self, backbone: "NetworkSpec") -> "NetworkSpec":
        return backbone

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the input, in pixels."""
        return self.resolution, self.resolution

    # -- geometry ----------------------------------------------------------------------------

    def placed_blocks(self, output_stride: int = 32) -> Iterator[PlacedBlock]:
        """The blocks with everything that depends on their place in the network.

        Where the network would stride beyond `output_stride`, that block keeps stride 1 at the
        rate so far, and the depthwise convolutions after it are dilated in its stead (atrous
        convolution as in DeepLab).
        """
        if output_stride not in (8, 16, 32):
            raise UserError(f"Output stride {output_stride} is not one of 8, 16, 32.")
        channels, reached, rate = self.stem.filters, self.stem.stride, 1
        for index, block in enumerate(self.blocks):
            stride, dilation = block.stride, rate
            if reached * stride > output_stride:
                rate, stride = rate * stride, 1
            reached *= stride
            yield PlacedBlock(
                block=block,
                name="expanded_conv" if index == 0 else f"expanded_conv_{index}",
                in_channels=channels,
                squeeze_width=block.squeeze_width(self.squeeze_divisor),
                stride=stride,
                dilation=dilation,
                output_stride=reached,
                residual=block.adds_input(channels),
                gate=self.gate,
            )
            channels = block.filters

    def graph(self, output_stride: int = 32) -> OperatorGraph:
        """Backbone, pooling, the cheap last stage, logits (section 5.1)."""
        graph = OperatorGraph(*self.image_size)
        at = self.add_backbone(graph, output_stride)["last"]
        at = graph.mean("pool", "head", at)
        if self.hidden:
            at = graph.conv(
                "conv_2",
                "head",
                at,
                self.hidden,
                activation=self.hidden_activation or self.last_activation,
                bias=not self.hidden_batch_norm,
                role="hidden",
            )
        graph.conv("logits", "head", at, self.num_classes, bias=True, role="logits")
        return graph

    def add_backbone(self, graph: OperatorGraph, output_stride: int = 32) -> dict[str, str]:
        """Everything before the pooling; returns the operators that others tap, by endpoint.

        Endpoints are "conv" (the stem), "expanded_conv_12" (a block's output),
        "expanded_conv_12_expand" (a convolution inside it, after its activation),
        "expanded_conv_12_depthwise" (likewise, before squeeze-excite), "conv_1" (the last
        convolution, where there is one) and "last" (what comes before the pooling).
        """
        stem = self.stem
        at = graph.conv(
            "conv",
            "stem",
            IMAGE,
            stem.filters,
            stem.kernel,
            stem.stride,
            stem.activation,
            role="stem",
            zero=stem.zero,
        )
        outputs = {}
        for placed in self.placed_blocks(output_stride):
            outputs[placed.name] = at = placed.add_to(graph, at)
        if self.last_conv:
            at = graph.conv(
                "conv_1",
                "last_conv",
                at,
                self.last_conv,
                activation=self.last_activation,
                role="last_conv",
            )
        inside = {op.name: op.name for op in graph.operators if op.role in TAPPED}
        return inside | outputs | {"last": at}

    # -- edits: each returns a new spec ------------------------------------------------------

    def replace(self, **changes: Any) -> "NetworkSpec":
        return dataclasses.replace(self, **changes)

    def with_width(self, width: float) -> "NetworkSpec":
        """Width multiplier as slim, Keras and timm apply it (to a spec of width 1).

        Filters become multiples of 8; an expansion is the rounded input times the original
        ratio. `hidden` is not shrunk, and grows no further than Large's 1280: that is what
        Table 9's parameter counts imply.
        """
        if not 0 < width < math.inf:
            raise UserError(
                f"Width multiplier {width} is not a positive number; the paper uses 0.35 to 1.25."
            )
        if width == 1:
            return self
        scale = lambda channels: make_divisible(channels * width)  # noqa: E731
        stem = dataclasses.replace(self.stem, filters=scale(self.stem.filters))
        channels, base_channels = stem.filters, self.stem.filters
        blocks: list[KnownBlock] = []
        for block in self.blocks:
            blocks.append(block.with_width(width, base_channels, channels))
            channels, base_channels = blocks[-1].filters, block.filters
        last_width = {"scale": width, "grow": max(width, 1), "keep": 1}[self.last_conv_scaling]
        last_conv = make_divisible(self.last_conv * last_width) if self.last_conv else 0
        hidden = max(self.hidden, min(scale(self.hidden), WIDEST_HIDDEN)) if self.hidden else 0
        return self.replace(
            name=f"{self.name}_{width:g}",
            stem=stem,
            blocks=tuple(blocks),
            last_conv=last_conv,
            hidden=hidden,
        )

    def with_block(self, index: int, **changes: Any) -> "NetworkSpec":
        """One block changed, the others as they were."""
        self._check_index(index)
        blocks = list(self.blocks)
        blocks[index] = blocks[index].replace(**changes)
        return self.replace(blocks=tuple(blocks))

    def with_expansion(self, index: int, expansion: int) -> "NetworkSpec":
        """One expansion resized: NetAdapt's first kind of proposal (section 4.2)."""
        self._check_index(index)
        if list(self.placed_blocks())[index].has_expansion:
            return self.with_block(index, expansion=expansion)
        raise UserError(
            f"Block {index} of {self.name} has no expansion convolution to resize; "
            "resize what feeds it."
        )

    def bottleneck_group(self, index: int) -> tuple[int, ...]:
        """The blocks whose outputs must have one size, for the residuals that join them."""
        self._check_index(index)
        residual = [placed.residual for placed in self.placed_blocks()]
        first = index
        while residual[first]:
            if first == 0:
                raise UserError(
                    f"The output of block {index} of {self.name} is bound to the stem by a "
                    "residual; resize it with with_stem."
                )
            first -= 1
        last = index
        while last + 1 < len(residual) and residual[last + 1]:
            last += 1
        return tuple(range(first, last + 1))

    def with_bottleneck(self, index: int, filters: int) -> "NetworkSpec":
        """A bottleneck resized with every block that shares its residual (section 4.2)."""
        group = self.bottleneck_group(index)
        blocks = [
            block.replace(filters=filters) if i in group else block
            for i, block in enumerate(self.blocks)
        ]
        return self.replace(blocks=tuple(blocks))

    def with_stem(self, filters: int, activation: str | None = None) -> "NetworkSpec":
        """Another number of stem filters (32 before section 5.1's redesign, 16 after)."""
        stem = dataclasses.replace(
            self.stem, filters=filters, activation=activation or self.stem.activation
        )
        first = self.blocks[0]
        if isinstance(first, InvertedResidual) and not first.expands(self.stem.filters):
            first = first.replace(expansion=filters)
        return self.replace(stem=stem, blocks=(first, *self.blocks[1:]))

    def with_activation(self, activation: str, from_block: int = 0) -> "NetworkSpec":
        """Table 5's ablation: `activation` from this block on, ReLU before it.

        The stem and the layers after the blocks follow: `from_block=0` includes the stem, and
        `with_activation("relu")` leaves nothing but ReLU. Large itself is
        `with_activation("hard_swish", 6)` with an h-swish stem.
        """
        chosen = lambda index: activation if index >= from_block else "relu"  # noqa: E731
        blocks = tuple(block.replace(activation=chosen(i)) for i, block in enumerate(self.blocks))
        stem = dataclasses.replace(self.stem, activation=chosen(0))
        return self.replace(
            stem=stem, blocks=blocks, last_activation=activation, hidden_activation=None
        )

    def without_squeeze_excite(self) -> "NetworkSpec":
        return self.replace(blocks=tuple(block.without_squeeze_excite() for block in self.blocks))

    def with_old_last_stage(self) -> "NetworkSpec":
        """The last stage before section 5.1's redesign (Figure 5, top).

        One more bottleneck to twice the filters, then the widest convolution at 7x7 resolution,
        before the pooling instead of after it.
        """
        if not self.hidden:
            raise UserError(f"{self.name} has the old last stage already: no layer after pooling.")
        filters, activation = 2 * self.blocks[-1].filters, self.last_activation
        extra = InvertedResidual(3, self.last_conv, filters, 0.0, activation, 1)
        return self.replace(
            blocks=(*self.blocks, extra),
            last_conv=self.hidden,
            hidden=0,
            hidden_batch_norm=False,
            hidden_activation=None,
        )

    def with_halved_tail(self, first_expansion: bool) -> "NetworkSpec":
        """Half the channels from C4 to C5, for detection and segmentation (sections 6.3, 6.4).

        Bottlenecks, expansions and the last convolution from the first block at output stride 32
        on. Detection leaves that block's own expansion, which is C4, as it is; segmentation's RF2
        halves it in V3. Both as in the released code.
        """
        placed = list(self.placed_blocks())
        first = next((i for i, p in enumerate(placed) if p.output_stride == 32), None)
        if first is None:
            raise UserError(f"{self.name} never reaches output stride 32, so it has no tail.")
        blocks = [
            *self.blocks[:first],
            self.blocks[first].with_halved_channels(keep_expansion=not first_expansion),
            *(block.with_halved_channels(False) for block in self.blocks[first + 1 :]),
        ]
        last_conv = make_divisible(self.last_conv / 2) if self.last_conv else 0
        return self.replace(name=f"{self.name}_half", blocks=tuple(blocks), last_conv=last_conv)

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self.blocks):
            raise UserError(f"{self.name} has blocks 0 to {len(self.blocks) - 1}, not {index}.")

    # -- text --------------------------------------------------------------------------------

    def to_json(self) -> str:
        return spec_json.dump(spec_json.tree_of(self))

    @classmethod
    def from_json(cls, text: str) -> "NetworkSpec":
        """The inverse of `to_json`. Raises UserError for anything that is not a valid spec."""
        return spec_json.decode(cls, spec_json.load(text), "spec")

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits, the same on every machine; the name does not count."""
        tree = spec_json.tree_of(self)
        del tree["name"]
        return spec_json.digest(tree)


# -- validation ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Check:
    network: str

    def require(self, holds: bool, field: str, value: object, wanted: str) -> None:
        if not holds:
            raise UserError(
                f"In network {self.network!r}, {field} is {value!r} but must be {wanted}."
            )

    def whole(self, field: str, value: object, least: int = 1) -> None:
        is_whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
        self.require(is_whole, field, value, f"a whole number of at least {least}")

    def one_of(self, field: str, value: object, choices: tuple[object, ...]) -> None:
        self.require(value in choices, field, value, "one of " + ", ".join(map(str, choices)))


def _validate(spec: NetworkSpec) -> None:
    check = _Check(spec.name)
    check.whole("stem.filters", spec.stem.filters)
    check.one_of("stem.kernel", spec.stem.kernel, (1, 3, 5, 7))
    check.one_of("stem.stride", spec.stem.stride, (1, 2))
    check.one_of("stem.activation", spec.stem.activation, OF_BLOCKS)
    zero = spec.stem.zero
    check.require(zero is None or len(zero) == 3, "stem.zero", zero, "three numbers")
    check.require(len(spec.blocks) > 0, "blocks", spec.blocks, "a list of at least one block")
    for i, block in enumerate(spec.blocks):
        block.check(check, f"blocks[{i}]")
    check.whole("last_conv", spec.last_conv, 0)
    check.whole("hidden", spec.hidden, 0)
    check.one_of("last_activation", spec.last_activation, OF_BLOCKS)
    check.one_of("hidden_activation", spec.hidden_activation, (None, *OF_BLOCKS))
    check.one_of("last_conv_scaling", spec.last_conv_scaling, LAST_CONV_SCALINGS)
    check.whole("squeeze_divisor", spec.squeeze_divisor)
    check.one_of("gate", spec.gate, GATES)
    check.one_of("padding", spec.padding, PADDINGS)
    epsilon = spec.batch_norm_epsilon
    check.require(0 < epsilon < 1, "batch_norm_epsilon", epsilon, "between 0 and 1")
    check.whole("resolution", spec.resolution, 32)
    check.whole("num_classes", spec.num_classes)
