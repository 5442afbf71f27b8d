"""The blocks of MobileNetV4 (Qin et al. 2024, arXiv 2404.10518).

Sources: Figure 4 and Table 11 of the paper; timm's `mobilenetv3.py` and `_efficientnet_blocks.py`.
"""

from dataclasses import dataclass, field

from mnv3_tf.networks.blocks import Block, Check, Expanding, PlacedBlock
from mnv3_tf.networks.graph import OperatorGraph

KERNELS = (0, 3, 5, 7)


@dataclass(frozen=True)
class ConvBlock(Block):
    """One convolution with BatchNorm and its activation."""

    kernel: int
    filters: int
    activation: str
    stride: int
    kind: str = field(default="conv", init=False)

    @property
    def kernels(self) -> tuple[int, ...]:
        return (self.kernel,)

    def add_to(self, graph: OperatorGraph, source: str, placed: PlacedBlock) -> str:
        return graph.conv(
            f"{placed.name}_conv",
            placed.name,
            source,
            self.filters,
            self.kernel,
            placed.stride,
            self.activation,
            dilation=placed.dilation if self.kernel > 1 else 1,
            role="conv",
        )

    def check(self, check: Check, where: str) -> None:
        check.one_of(f"{where}.kernel", self.kernel, (1, 3, 5, 7))
        super().check(check, where)


@dataclass(frozen=True)
class UniversalBottleneck(Expanding):
    """Linear depthwise, 1x1 expansion, depthwise, linear 1x1 projection.

    `start` and `kernel` are the kernels of the first and of the second depthwise convolution, 0
    where there is none: with the second alone it is an inverted residual, with the first a
    ConvNext block, with none a feed-forward network. The stride is the last one's. The expansion
    is always there.
    """

    start: int
    kernel: int
    expansion: int
    filters: int
    activation: str
    stride: int
    skip: bool = True
    kind: str = field(default="universal", init=False)

    @property
    def kernels(self) -> tuple[int, ...]:
        return tuple(kernel for kernel in (self.start, self.kernel) if kernel)

    def expands(self, channels: int) -> bool:
        return True

    def add_to(self, graph: OperatorGraph, source: str, placed: PlacedBlock) -> str:
        name, at, stride = placed.name, source, placed.stride
        if self.start:
            at = graph.depthwise(
                f"{name}_start",
                name,
                at,
                self.start,
                1 if self.kernel else stride,
                placed.dilation,
                role="start",
            )
        at = graph.conv(
            f"{name}_expand", name, at, self.expansion, activation=self.activation, role="expand"
        )
        if self.kernel:
            at = graph.depthwise(
                f"{name}_depthwise",
                name,
                at,
                self.kernel,
                stride,
                placed.dilation,
                self.activation,
                role="depthwise",
            )
        at = graph.conv(f"{name}_project", name, at, self.filters, role="project")
        return placed.add_residual(graph, source, at)

    def check(self, check: Check, where: str) -> None:
        check.one_of(f"{where}.start", self.start, KERNELS)
        check.one_of(f"{where}.kernel", self.kernel, KERNELS)
        strides = self.stride == 1 or bool(self.kernels)
        check.require(strides, f"{where}.stride", self.stride, "1 without a depthwise convolution")
        super().check(check, where)


def _conv(kernel: int, filters: int, stride: int) -> ConvBlock:
    return ConvBlock(kernel, filters, "relu", stride)


def _universal(
    start: int, kernel: int, stride: int, channels: int, ratio: int, filters: int
) -> UniversalBottleneck:
    return UniversalBottleneck(start, kernel, channels * ratio, filters, "relu", stride)


CONV_SMALL: tuple[ConvBlock | UniversalBottleneck, ...] = (
    _conv(3, 32, 2),
    _conv(1, 32, 1),
    _conv(3, 96, 2),
    _conv(1, 64, 1),
    _universal(5, 5, 2, 64, 3, 96),
    *[_universal(0, 3, 1, 96, 2, 96)] * 4,
    _universal(3, 0, 1, 96, 4, 96),
    _universal(3, 3, 2, 96, 6, 128),
    _universal(5, 5, 1, 128, 4, 128),
    _universal(0, 5, 1, 128, 4, 128),
    _universal(0, 5, 1, 128, 3, 128),
    *[_universal(0, 3, 1, 128, 4, 128)] * 2,
)
"""The blocks of MobileNetV4-Conv-Small, after a stem of 32 filters (Table 11)."""
