"""What pixels a file wants, by what its first operators do to them.

Keras' Rescaling and Normalization layers become MUL, ADD and the like at the input. Where those
give a network values of the size that networks are trained on, what comes before them is plain.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from mnv3_tf.tflite.model_graph import Graph, OperatorNode

Name = TypeVar("Name", bound=str)
Ends = tuple[np.ndarray, np.ndarray]
"""What a black pixel becomes and what a white one, by channel."""

MOVES = (
    *("QUANTIZE", "DEQUANTIZE", "CAST", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS"),
    *("PAD", "PADV2", "MIRROR_PAD", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
    *("STRIDED_SLICE", "SLICE", "REVERSE_V2", "GATHER"),
)
"""Operators that change the place or type of values alone; a channel's order does not matter."""

LOOKS = ("SHAPE",)
"""Operators that read no values."""

CHANNELS = (1, 3)
NEAR = 0.02  # of the span
SPANS = (0.9, 7.0)  # of values that networks are trained on, from a black pixel to a white one
SMALL = 0.1

KNOWN_ENDS = (
    *((-1.0, 1.0), (0.0, 1.0), (-0.5, 0.5), (0.0, 255.0), (-127.5, 127.5), (-128.0, 127.0)),
    # Keras' "torch" and "caffe" modes.
    ((-2.1179, -2.0357, -1.8044), (2.2489, 2.4286, 2.64)),
    ((-103.939, -116.779, -123.68), (151.061, 138.221, 131.32)),
)


def range_before(
    graph: Graph, ranges: Mapping[Name, tuple[Sequence[float], Sequence[float]]]
) -> tuple[Name, list[str]] | None:
    """Which of `ranges` (scale and offset of bytes) the first operators take for granted.

    The operators that tell it are the second part. None where none scales the pixels, or where what
    they make of them is like no network's input.
    """
    steps = list(_scalings(graph))
    plain = {name: factors for name, factors in ranges.items() if len(factors[0]) == 1}
    for count in range(len(steps), 0, -1):
        for name, factors in plain.items():
            before, after = _through((), factors), _through(steps[:count], factors)
            if not _alike(after, before) and _is_known(after):
                return name, [step.op for step, _ in steps[:count]]
    likely = [name for name, f in plain.items() if steps and _is_likely(_through(steps, f))]
    return (likely[0], [step.op for step, _ in steps]) if len(likely) == 1 else None


def _through(
    steps: Sequence[tuple[OperatorNode, tuple[np.ndarray, np.ndarray]]],
    factors: tuple[Sequence[float], Sequence[float]],
) -> Ends:
    scale, offset = (np.asarray(part, np.float64) for part in factors)
    black, white = offset, 255 * scale + offset
    for _, (gain, shift) in steps:
        black, white = black * gain + shift, white * gain + shift
    return black, white


def _is_known(ends: Ends) -> bool:
    return any(_alike(ends, known) or _alike(ends, _reversed(known)) for known in KNOWN_ENDS)


def _alike(ends: Ends, known: Any) -> bool:
    near = NEAR * (np.max(known[1]) - np.min(known[0]))
    channels = {len(np.atleast_1d(part)) for part in (*ends, *known)} - {1}
    return len(channels) <= 1 and all(
        float(np.max(np.abs(np.subtract(end, wanted)))) < near
        for end, wanted in zip(ends, known, strict=True)
    )


def _reversed(known: Any) -> Any:
    """Of BGR."""
    return tuple(np.atleast_1d(part)[::-1] for part in known)


def _is_likely(ends: Ends) -> bool:
    """Whether zero is within the values, and these are of the size that networks learn from."""
    span = np.abs(ends[1] - ends[0])
    centre = np.abs(ends[1] + ends[0]) / 2
    in_bounds = (span >= SPANS[0]) & (span <= SPANS[1])
    return bool(np.all(in_bounds & (centre <= span / 2 * (1 + NEAR))))


def _scalings(graph: Graph) -> Iterator[tuple[OperatorNode, tuple[np.ndarray, np.ndarray]]]:
    """The operators that scale or shift the pixels, in order, each with its gain and shift."""
    tensor = graph.inputs[0]
    while True:
        readers = [op for op in graph.readers(tensor) if op.op not in LOOKS]
        if len(readers) != 1 or not readers[0].outputs:
            return
        (operator,) = readers
        if operator.op not in MOVES:
            factors = _factors(graph, operator, tensor)
            if factors is None:
                return
            yield operator, factors
            if operator.activation:
                return
        tensor = operator.outputs[0]


def _factors(
    graph: Graph, operator: OperatorNode, tensor: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """x -> gain * x + shift, None of an operator that does something else."""
    if operator.op not in ("MUL", "DIV", "ADD", "SUB") or len(operator.inputs) != 2:
        return None
    first, second = operator.inputs
    constant = _constant(graph, second if first == tensor else first)
    if constant is None or constant.size not in CHANNELS:
        return None
    value = constant.reshape(-1)
    one, nothing = np.ones_like(value), np.zeros_like(value)
    if operator.op == "MUL":
        return value, nothing
    if operator.op == "ADD":
        return one, value
    if operator.op == "SUB":
        return (one, -value) if first == tensor else (-one, value)
    return (1 / value, nothing) if first == tensor and np.all(value) else None


def _constant(graph: Graph, tensor: int) -> np.ndarray | None:
    """Real values of a constant, also of one that an operator makes float of float16."""
    values = graph.tensors[tensor].values
    maker = graph.producers.get(tensor)
    if values is None and maker and maker.op == "DEQUANTIZE":
        return graph.tensors[maker.inputs[0]].values
    return values


def small_kernels(graph: Graph) -> bool:
    """Whether the first convolution's kernels are so small that they must be for bytes.

    Converters fold a scaling into the kernels that follow, where no operator tells of it any more.
    A filter's kernels add up to about one, so that what it gives is of a size to learn from; after
    1/255 they add up to a hundredth.
    """
    tensor = graph.inputs[0]
    while True:
        readers = [op for op in graph.readers(tensor) if op.op not in LOOKS]
        if len(readers) != 1:
            return False
        (operator,) = readers
        if operator.op not in MOVES:
            break
        tensor = operator.outputs[0]
    if operator.op != "CONV_2D" or len(operator.inputs) < 2:
        return False
    kernels = _constant(graph, operator.inputs[1])
    if kernels is None or kernels.ndim != 4:
        return False
    sums = np.abs(kernels).sum((1, 2, 3))
    return bool((sums > 0).any() and np.median(sums[sums > 0]) < SMALL)
