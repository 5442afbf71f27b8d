"""A network as the list of its operators: what is built, counted, lowered and timed.

The blocks and heads of every network are written here and in the modules of the specs as calls of
an `OperatorGraph`, and nowhere else. `mnv3_tf.models` makes Keras layers of the list,
`mnv3_tf.quantization.lowering` folds weights along it, `mnv3_tf.tflite.skeleton` writes a file for
timing from it, and `mnv3_tf.cost` adds it up. No TensorFlow here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mnv3_tf.networks.spec import NetworkSpec, PlacedBlock

Shape = tuple[int, ...]

MOST_JOINED = 5
"""Inputs of a CONCATENATION that XNNPACK takes."""

IMAGE = "image"
"""What the first operator reads: the picture, RGB in [-1, 1]."""


@dataclass(frozen=True)
class Operator:
    """One operator at batch 1; shapes are (height, width, channels) and exclude the batch.

    `kind` is "conv", "depthwise", "mean" (over the whole map), "average_pool", "cut", "multiply",
    "add", "resize" (bilinear, corners aligned), "reshape" or "concatenate"; `activation` is what is
    fused onto it or follows it ("linear" where nothing does); `stage` is the part of the network.
    `reads` are the names of the operators whose outputs it takes, the largest first; `input` is the
    shape of the first. A convolution has a bias, or else BatchNorm. `window` is the height and
    width that an "average_pool" averages, every `hop` pixels down and across, or that a "cut"
    keeps, from `corner` (top, left) on.
    """

    name: str
    stage: str
    kind: str
    input: Shape
    output: Shape
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    activation: str = "linear"
    params: int = 0
    madds: int = 0
    reads: tuple[str, ...] = ()
    bias: bool = False
    window: tuple[int, int] | None = None
    hop: tuple[int, int] | None = None
    corner: tuple[int, int] | None = None


class OperatorGraph:
    """Operators in the order in which they run; each method adds one and returns its name."""

    def __init__(self, height: int, width: int) -> None:
        self.operators: list[Operator] = []
        self.shapes: dict[str, Shape] = {IMAGE: (height, width, 3)}

    def conv(
        self,
        name: str,
        stage: str,
        source: str,
        filters: int,
        kernel: int = 1,
        stride: int = 1,
        activation: str = "linear",
        bias: bool = False,
    ) -> str:
        """A convolution with a bias, or else with BatchNorm (two trainable parameters a filter)."""
        height, width, channels = self.shapes[source]
        output = (math.ceil(height / stride), math.ceil(width / stride), filters)
        weights = kernel * kernel * channels * filters
        return self._add(
            Operator(
                name,
                stage,
                "conv",
                self.shapes[source],
                output,
                kernel,
                stride,
                1,
                activation,
                params=weights + (filters if bias else 2 * filters),
                madds=weights * output[0] * output[1],
                reads=(source,),
                bias=bias,
            )
        )

    def depthwise(
        self,
        name: str,
        stage: str,
        source: str,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        activation: str = "linear",
    ) -> str:
        """A depthwise convolution with BatchNorm."""
        height, width, channels = self.shapes[source]
        output = (math.ceil(height / stride), math.ceil(width / stride), channels)
        weights = kernel * kernel * channels
        return self._add(
            Operator(
                name,
                stage,
                "depthwise",
                self.shapes[source],
                output,
                kernel,
                stride,
                dilation,
                activation,
                params=weights + 2 * channels,
                madds=weights * output[0] * output[1],
                reads=(source,),
            )
        )

    def mean(self, name: str, stage: str, source: str) -> str:
        return self._add(self._plain(name, stage, "mean", source, (1, 1, self.channels(source))))

    def average_pool(
        self, name: str, stage: str, source: str, window: tuple[int, int], hop: tuple[int, int]
    ) -> str:
        """Averages over windows that lie wholly in the map (TensorFlow's "valid")."""
        height, width, channels = self.shapes[source]
        rows, columns = (height - window[0]) // hop[0] + 1, (width - window[1]) // hop[1] + 1
        shape = (rows, columns, channels)
        op = self._plain(name, stage, "average_pool", source, shape)
        return self._add(replace(op, window=window, hop=hop))

    def cut(
        self, name: str, stage: str, source: str, corner: tuple[int, int], window: tuple[int, int]
    ) -> str:
        """A window of the map."""
        op = self._plain(name, stage, "cut", source, (*window, self.channels(source)))
        return self._add(replace(op, window=window, corner=corner))

    def multiply(self, name: str, stage: str, source: str, gate: str) -> str:
        return self._add(
            self._plain(name, stage, "multiply", source, self.shapes[source], (source, gate))
        )

    def add(self, name: str, stage: str, source: str, other: str) -> str:
        return self._add(
            self._plain(name, stage, "add", source, self.shapes[source], (source, other))
        )

    def resize(self, name: str, stage: str, source: str, height: int, width: int) -> str:
        shape = (height, width, self.channels(source))
        return self._add(self._plain(name, stage, "resize", source, shape))

    def reshape(self, name: str, stage: str, source: str, shape: Shape) -> str:
        return self._add(self._plain(name, stage, "reshape", source, shape))

    def concatenate(self, name: str, stage: str, sources: Sequence[str], axis: int) -> str:
        """Along `axis`, counted without the batch."""
        shape = list(self.shapes[sources[0]])
        shape[axis] = sum(self.shapes[source][axis] for source in sources)
        return self._add(
            self._plain(name, stage, "concatenate", sources[0], tuple(shape), tuple(sources))
        )

    def join(self, name: str, stage: str, sources: Sequence[str], axis: int) -> str:
        """Any number of sources along `axis`, by concatenations of what XNNPACK takes at once.

        The last of them has the name; of one source it is the source's own.
        """
        sources, level = list(sources), 0
        while len(sources) > MOST_JOINED:
            groups = [sources[i : i + MOST_JOINED] for i in range(0, len(sources), MOST_JOINED)]
            sources = [
                self.concatenate(f"{name}_{level}_{number}", stage, group, axis)
                if len(group) > 1
                else group[0]
                for number, group in enumerate(groups)
            ]
            level += 1
        return self.concatenate(name, stage, sources, axis) if len(sources) > 1 else sources[0]

    def channels(self, name: str) -> int:
        return self.shapes[name][-1]

    def _plain(
        self,
        name: str,
        stage: str,
        kind: str,
        source: str,
        output: Shape,
        reads: tuple[str, ...] | None = None,
    ) -> Operator:
        return Operator(name, stage, kind, self.shapes[source], output, reads=reads or (source,))

    def _add(self, op: Operator) -> str:
        assert op.name not in self.shapes, op.name
        self.operators.append(op)
        self.shapes[op.name] = op.output
        return op.name


def concatenation_axis(op: Operator) -> int:
    """The axis along which a "concatenate" joins, counted without the batch."""
    return next(i for i, (a, b) in enumerate(zip(op.input, op.output, strict=True)) if a != b)


# -- the parts of a network --------------------------------------------------------------------


def backbone(graph: OperatorGraph, spec: NetworkSpec, output_stride: int = 32) -> dict[str, str]:
    """Everything before the pooling; returns the operators that other networks tap, by endpoint.

    Endpoints are "conv" (the stem), "expanded_conv_12" (a block's output),
    "expanded_conv_12_expand" (inside it, after the expansion's activation),
    "expanded_conv_12_depthwise" (after its activation, before squeeze-excite), "conv_1" (the last
    convolution, where there is one) and "last" (what comes before the pooling).
    """
    stem = spec.stem
    at = graph.conv("conv", "stem", IMAGE, stem.filters, stem.kernel, stem.stride, stem.activation)
    endpoints = {"conv": at}
    for placed in spec.placed_blocks(output_stride):
        at, inside = inverted_residual(graph, at, placed, spec.gate)
        endpoints |= inside | {placed.name: at}
    if spec.last_conv:
        at = graph.conv("conv_1", "last_conv", at, spec.last_conv, activation=spec.last_activation)
        endpoints["conv_1"] = at
    return endpoints | {"last": at}


def inverted_residual(
    graph: OperatorGraph, source: str, placed: PlacedBlock, gate: str
) -> tuple[str, dict[str, str]]:
    """Expansion, depthwise, squeeze-excite, linear projection (Sandler et al. 2018; Figure 4)."""
    block, name, at, inside = placed.block, placed.name, source, {}
    if placed.has_expansion:
        at = graph.conv(f"{name}_expand", name, at, block.expansion, activation=block.activation)
        inside[f"{name}_expand"] = at
    at = graph.depthwise(
        f"{name}_depthwise",
        name,
        at,
        block.kernel,
        placed.stride,
        placed.dilation,
        block.activation,
    )
    inside[f"{name}_depthwise"] = at
    if placed.squeeze_width:
        at = squeeze_excite(graph, name, at, placed.squeeze_width, gate)
    at = graph.conv(f"{name}_project", name, at, block.filters)
    if placed.residual:
        at = graph.add(f"{name}_add", name, source, at)
    return at, inside


def squeeze_excite(graph: OperatorGraph, stage: str, source: str, width: int, gate: str) -> str:
    """Channels scaled by a gate from their means (section 5.3)."""
    name = f"{stage}_squeeze_excite"
    at = graph.mean(f"{name}_pool", stage, source)
    at = graph.conv(f"{name}_conv", stage, at, width, activation="relu", bias=True)
    at = graph.conv(f"{name}_conv_1", stage, at, graph.channels(source), activation=gate, bias=True)
    return graph.multiply(f"{name}_multiply", stage, source, at)


def classifier(spec: NetworkSpec, output_stride: int = 32) -> OperatorGraph:
    """Backbone, pooling, the cheap last stage, logits (section 5.1)."""
    graph = OperatorGraph(*spec.image_size)
    at = backbone(graph, spec, output_stride)["last"]
    at = graph.mean("pool", "head", at)
    if spec.hidden:
        at = graph.conv(
            "conv_2", "head", at, spec.hidden, activation=spec.last_activation, bias=True
        )
    graph.conv("logits", "head", at, spec.num_classes, bias=True)
    return graph
