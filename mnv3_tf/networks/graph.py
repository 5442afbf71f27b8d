"""A network as the list of its operators: what is built, counted, lowered and timed.

The blocks and heads of every network are calls of an `OperatorGraph`, in the modules of blocks and
of specs, and nowhere else. `mnv3_tf.models` makes Keras layers of the list,
`mnv3_tf.quantization.lowering` folds weights along it, `mnv3_tf.tflite.skeleton` writes a file for
timing from it, and `mnv3_tf.cost` adds it up. No TensorFlow here.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from mnv3_tf.networks.activations import LINEAR, activation

Shape = tuple[int, ...]

Role = Literal[
    "stem",
    "conv",
    "start",
    "expand",
    "depthwise",
    "squeeze",
    "excite",
    "project",
    "residual",
    "last_conv",
    "pool",
    "hidden",
    "logits",
    "",
]
"""What an operator is for. "conv" is a block of one convolution, "start" the depthwise convolution
before an expansion; "squeeze" and "excite" are the two layers of squeeze-excite, "residual" adds a
block's input, "pool" averages over the map, "hidden" stands between pooling and logits, and the
shapes of "logits" depend on the number of classes. "" is anything else."""

MOST_JOINED = 5
"""Inputs of a CONCATENATION that XNNPACK takes."""

IMAGE = "image"
"""What the first operator reads: the picture, RGB in [-1, 1]."""


@dataclass(frozen=True)
class Operator:
    """One operator at batch 1; shapes are (height, width, channels) and exclude the batch.

    `stage` is the part of the network, `role` what it is for there. `reads` are the names of the
    operators whose outputs it takes, the largest first; `input` is the shape of the first.
    """

    kind: ClassVar[str]

    name: str
    stage: str
    reads: tuple[str, ...]
    input: Shape
    output: Shape
    _: KW_ONLY
    role: Role = ""

    @property
    def activation(self) -> str:
        """What is fused onto it or follows it; "linear" where nothing does."""
        return LINEAR

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return 0

    @property
    def madds(self) -> int:
        """Multiply-adds."""
        return 0


@dataclass(frozen=True)
class Convolution(Operator, ABC):
    """A convolution with a `bias`, or else with BatchNorm (two trainable parameters a filter).

    `zero` is subtracted from what it reads, channel by channel, so that padding is made of it.

    Raises UserError for an unknown activation.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    activation: str = LINEAR
    bias: bool = False
    zero: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        activation(self.activation)

    @property
    @abstractmethod
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """In Keras' layout: (k, k, in, out), for depthwise (k, k, in, 1)."""

    @property
    def params(self) -> int:
        return math.prod(self.kernel_shape) + (1 if self.bias else 2) * self.output[-1]

    @property
    def madds(self) -> int:
        return math.prod(self.kernel_shape) * self.output[0] * self.output[1]


@dataclass(frozen=True)
class Conv(Convolution):
    kind = "conv"

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        return (self.kernel, self.kernel, self.input[2], self.output[2])


@dataclass(frozen=True)
class Depthwise(Convolution):
    kind = "depthwise"

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        return (self.kernel, self.kernel, self.input[2], 1)


@dataclass(frozen=True)
class Mean(Operator):
    """Over the whole map."""

    kind = "mean"


@dataclass(frozen=True)
class AveragePool(Operator):
    """Of windows (height, width), every `hop` pixels down and across, that lie wholly in the map
    (TensorFlow's "valid")."""

    kind = "average_pool"
    window: tuple[int, int]
    hop: tuple[int, int]


@dataclass(frozen=True)
class Cut(Operator):
    """A part of the map, from `corner` (top, left) on."""

    kind = "cut"
    corner: tuple[int, int]


@dataclass(frozen=True)
class Multiply(Operator):
    kind = "multiply"


@dataclass(frozen=True)
class Add(Operator):
    kind = "add"


@dataclass(frozen=True)
class Resize(Operator):
    """Bilinear, corners aligned."""

    kind = "resize"


@dataclass(frozen=True)
class Reshape(Operator):
    kind = "reshape"


@dataclass(frozen=True)
class Concatenate(Operator):
    """Along `axis`, counted without the batch."""

    kind = "concatenate"
    axis: int


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
        activation: str = LINEAR,
        bias: bool = False,
        dilation: int = 1,
        role: Role = "",
        zero: tuple[float, ...] | None = None,
    ) -> str:
        read = self.shapes[source]
        output = (*_strided(read, stride), filters)
        options = (kernel, stride, dilation, activation, bias, zero)
        return self._add(Conv(name, stage, (source,), read, output, *options, role=role))

    def depthwise(
        self,
        name: str,
        stage: str,
        source: str,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        activation: str = LINEAR,
        role: Role = "",
    ) -> str:
        """A depthwise convolution with BatchNorm."""
        read = self.shapes[source]
        output = (*_strided(read, stride), read[2])
        options = (kernel, stride, dilation, activation)
        return self._add(Depthwise(name, stage, (source,), read, output, *options, role=role))

    def mean(self, name: str, stage: str, source: str, role: Role = "pool") -> str:
        read = self.shapes[source]
        return self._add(Mean(name, stage, (source,), read, (1, 1, read[2]), role=role))

    def average_pool(
        self, name: str, stage: str, source: str, window: tuple[int, int], hop: tuple[int, int]
    ) -> str:
        read = self.shapes[source]
        rows, columns = (read[0] - window[0]) // hop[0] + 1, (read[1] - window[1]) // hop[1] + 1
        output = (rows, columns, read[2])
        return self._add(
            AveragePool(name, stage, (source,), read, output, window, hop, role="pool")
        )

    def cut(
        self, name: str, stage: str, source: str, corner: tuple[int, int], window: tuple[int, int]
    ) -> str:
        """`window` is the height and width that are kept."""
        output = (*window, self.channels(source))
        return self._add(Cut(name, stage, (source,), self.shapes[source], output, corner))

    def multiply(self, name: str, stage: str, source: str, gate: str) -> str:
        shape = self.shapes[source]
        return self._add(Multiply(name, stage, (source, gate), shape, shape))

    def add(self, name: str, stage: str, source: str, other: str, role: Role = "") -> str:
        shape = self.shapes[source]
        return self._add(Add(name, stage, (source, other), shape, shape, role=role))

    def resize(self, name: str, stage: str, source: str, height: int, width: int) -> str:
        output = (height, width, self.channels(source))
        return self._add(Resize(name, stage, (source,), self.shapes[source], output))

    def reshape(self, name: str, stage: str, source: str, shape: Shape) -> str:
        return self._add(Reshape(name, stage, (source,), self.shapes[source], shape))

    def concatenate(
        self, name: str, stage: str, sources: Sequence[str], axis: int, role: Role = ""
    ) -> str:
        read = self.shapes[sources[0]]
        shape = list(read)
        shape[axis] = sum(self.shapes[source][axis] for source in sources)
        return self._add(
            Concatenate(name, stage, tuple(sources), read, tuple(shape), axis, role=role)
        )

    def join(
        self, name: str, stage: str, sources: Sequence[str], axis: int, role: Role = ""
    ) -> str:
        """Any number of sources along `axis`, by concatenations of what XNNPACK takes at once.

        The last of them has the name and the role; of one source it is the source itself.
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
        return (
            self.concatenate(name, stage, sources, axis, role) if len(sources) > 1 else sources[0]
        )

    def channels(self, name: str) -> int:
        return self.shapes[name][-1]

    def _add(self, op: Operator) -> str:
        assert op.name not in self.shapes, op.name
        self.operators.append(op)
        self.shapes[op.name] = op.output
        return op.name


def _strided(shape: Shape, stride: int) -> tuple[int, int]:
    return math.ceil(shape[0] / stride), math.ceil(shape[1] / stride)
