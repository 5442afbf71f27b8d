"""A network from top to bottom, in the manner of MnasNet's Figure 7 (Tan et al. 2019).

Every layer and block is a shape that is as wide as it has channels: an inverted residual starts
at its input, widens to its expansion and ends at its filters. A bracket beside it is its
residual.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mnv3_tf.networks.activations import ACTIVATIONS
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.ui import figures

KERNEL_COLOURS = {1: "#b0b0b0", 3: "#4c72b0", 5: "#dd8452", 7: "#55a868"}
COLUMNS = ("kernel", "expansion", "SE", "filters", "activation")
PLACES = (0.60, 0.82, 1.01, 1.16, 1.39)
"""Of the columns' middles; 1 is the width of the widest shape, whose middle is at 0."""
SIZES, NAMES, LEFT, RIGHT = -0.84, -0.53, -1.01, 1.53
RESIDUAL: dict[str, Any] = {"color": "#444444", "linewidth": 1.2}
SHOULDER = 0.28
"""The part of a block's height in which it widens, and in which it narrows."""


@dataclass(frozen=True)
class BlockRow:
    """`channels` are the input's, the widest and the output's; `size` is the output's side in
    pixels. `cells` has a text for each of COLUMNS. A `kernel` of 0 has no shape.
    """

    name: str
    channels: tuple[int, int, int]
    size: int
    kernel: int
    cells: tuple[str, ...]
    residual: bool = False


def rows(spec: NetworkSpec) -> Iterator[BlockRow]:
    stem, size = spec.stem, -(-spec.resolution // spec.stem.stride)
    yield _convolution("stem", 3, stem.filters, size, stem.kernel, stem.activation)
    channels = stem.filters
    for index, placed in enumerate(spec.placed_blocks()):
        block, size = placed.block, -(-spec.resolution // placed.output_stride)
        squeeze = str(placed.squeeze_width or "")
        kernels = block.kernels or (1,)
        cells = _cells(kernels, block.widest, squeeze, block.filters, block.activation)
        widths = (placed.in_channels, block.widest, block.filters)
        yield BlockRow(f"block {index}", widths, size, max(kernels), cells, placed.residual)
        channels = block.filters
    hidden = spec.hidden_activation or spec.last_activation
    for name, filters, side, activation in (
        ("conv", spec.last_conv, size, spec.last_activation),
        ("hidden", spec.hidden, 1, hidden),
    ):
        if filters:
            yield _convolution(name, channels, filters, side, 1, activation)
            channels = filters
    yield BlockRow("classes", (0, 0, 0), 1, 0, ("", "", "", str(spec.num_classes), ""))


def _convolution(
    name: str, channels: int, filters: int, size: int, kernel: int, activation: str
) -> BlockRow:
    cells = _cells((kernel,), "", "", filters, activation)
    return BlockRow(name, (channels, filters, filters), size, kernel, cells)


def _cells(
    kernels: Sequence[int], expansion: object, squeeze: str, filters: int, activation: str
) -> tuple[str, ...]:
    sizes = ", ".join(f"{kernel}x{kernel}" for kernel in kernels)
    return (sizes, str(expansion), squeeze, str(filters), ACTIVATIONS[activation].title)


def figure(spec: NetworkSpec, width: float) -> Any:
    """The figure, `width` inches wide."""
    listed = list(rows(spec))
    drawn = figures.new(width, 0.9 + 0.27 * len(listed))
    axes = drawn.subplots()
    widest = max(max(row.channels) for row in listed)
    size = spec.resolution
    for y, row in enumerate(listed):
        if row.size != size or y == 0:
            _mark_size(axes, y, row.size)
            size = row.size
        if row.kernel:
            axes.add_patch(_shape(row, y, widest))
        if row.residual:
            x = row.channels[1] / widest / 2 + 0.015
            bracket = (x, x + 0.02, x + 0.02, x), (y + 0.1, y + 0.1, y + 0.9, y + 0.9)
            axes.plot(*bracket, **RESIDUAL)
        axes.text(NAMES, y + 0.5, row.name, ha="right", va="center", fontsize=9)
        for x, cell in zip(PLACES, row.cells, strict=True):
            axes.text(x, y + 0.5, cell, ha="center", va="center", fontsize=9)
    for x, column in zip(PLACES, COLUMNS, strict=True):
        axes.text(x, -0.4, column, ha="center", va="center", fontsize=8, color="#666666")
    axes.set(xlim=(LEFT, RIGHT), ylim=(len(listed), -0.8))
    axes.set_axis_off()
    title = f"{spec.name}: {spec.resolution}x{spec.resolution} pixels; widths are channels"
    axes.set_title(title, loc="left", fontsize=10)
    _explain(drawn, listed)
    return drawn


def _shape(row: BlockRow, y: float, widest: int) -> Any:
    from matplotlib.patches import Polygon

    before, inside, after = (channels / widest / 2 for channels in row.channels)
    right = (
        (before, y),
        (inside, y + SHOULDER),
        (inside, y + 1 - SHOULDER),
        (after, y + 1),
    )
    left = [(-x, height) for x, height in reversed(right)]
    colour = KERNEL_COLOURS[row.kernel]
    return Polygon([*right, *left], facecolor=colour, edgecolor="white", linewidth=0.8)


def _mark_size(axes: Any, y: float, size: int) -> None:
    axes.plot((LEFT, RIGHT), (y, y), color="#cccccc", linewidth=0.7, zorder=0)
    axes.text(SIZES, y + 0.5, f"{size}x{size}", ha="center", va="center", fontsize=9, weight="bold")


def _explain(drawn: Any, listed: Sequence[BlockRow]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    kernels = sorted({row.kernel for row in listed} - {0})
    handles: list[Any] = [Patch(color=KERNEL_COLOURS[k], label=f"{k}x{k}") for k in kernels]
    if any(row.residual for row in listed):
        handles.append(Line2D([], [], marker="$]$", linestyle="none", label="residual", **RESIDUAL))
    drawn.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
