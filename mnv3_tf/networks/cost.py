"""Parameters, multiply-adds and the list of operators of a network, from its spec alone.

Conventions: parameters are the trainable ones (weights, biases, and BatchNorm's gamma and beta);
multiply-adds are those of convolutions and dense layers, squeeze-excite included, and nothing
else. Both reproduce the paper's Table 9.
"""

from dataclasses import dataclass

from mnv3_tf.networks import operators as parts
from mnv3_tf.networks.lraspp import SegmenterSpec, segmenter
from mnv3_tf.networks.operators import Operator
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.networks.ssdlite import DetectorSpec, detector
from mnv3_tf.tasks.specs import Spec


@dataclass(frozen=True)
class Cost:
    params: int
    madds: int
    operators: tuple[Operator, ...]


def cost(spec: Spec, output_stride: int = 32) -> Cost:
    """Cost of the network at its resolution; `output_stride` is that of a classifier."""
    listed = operators(spec, output_stride)
    return Cost(sum(op.params for op in listed), sum(op.madds for op in listed), listed)


def operators(spec: Spec, output_stride: int = 32) -> tuple[Operator, ...]:
    """The operators of a network in the order in which they run."""
    match spec:
        case DetectorSpec():
            graph = detector(spec)
        case SegmenterSpec():
            graph = segmenter(spec)
        case NetworkSpec():
            graph = parts.classifier(spec, output_stride)
    return tuple(graph.operators)
