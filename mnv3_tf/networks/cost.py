"""Parameters, multiply-adds and the list of operators of a network, from its spec alone.

Conventions: parameters are the trainable ones (weights, biases, and BatchNorm's gamma and beta);
multiply-adds are those of convolutions and dense layers, squeeze-excite included, and nothing
else. Both reproduce the paper's Table 9.
"""

from dataclasses import dataclass
from typing import Protocol

from mnv3_tf.networks.graph import Operator, OperatorGraph


class Network(Protocol):
    """The spec of a network of any task."""

    def graph(self, output_stride: int = 32) -> OperatorGraph: ...


@dataclass(frozen=True)
class Cost:
    params: int
    madds: int
    operators: tuple[Operator, ...]


def cost(spec: Network, output_stride: int = 32) -> Cost:
    """Cost of the network at its resolution; `output_stride` is that of a classifier."""
    listed = operators(spec, output_stride)
    return Cost(sum(op.params for op in listed), sum(op.madds for op in listed), listed)


def operators(spec: Network, output_stride: int = 32) -> tuple[Operator, ...]:
    """The operators of a network in the order in which they run."""
    return tuple(spec.graph(output_stride).operators)
