"""What a file has to do and to read, against the network's own counts and a hand's."""

import pytest
import tiny

from mnv3_tf.networks.cost import cost
from mnv3_tf.tasks.specs import for_phones
from mnv3_tf.tflite import skeleton, work
from mnv3_tf.tflite.model_graph import Graph, OperatorNode, TensorNode, read_graph


@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("task", tiny.NETWORKS)
def test_multiply_accumulates_are_the_networks(task, quantize):
    spec = tiny.NETWORKS[task]
    graph = read_graph(skeleton.network(spec, quantize))
    assert work.multiply_accumulates(graph) == cost(for_phones(spec)).madds


def tensor(dtype: str, *shape: int, constant: bool = False) -> TensorNode:
    return TensorNode("", dtype, shape, constant, 0)


def test_dense_and_transposed_layers():
    """10 x 4, and a transposed convolution each of whose 2 x 2 x 4 inputs goes to 3 x 3 x 5."""
    graph = Graph(
        (
            tensor("float32", 1, 4),
            tensor("float32", 10, 4, constant=True),
            tensor("float32", 1, 10),
            tensor("int32", 4, constant=True),
            tensor("float32", 5, 3, 3, 4, constant=True),
            tensor("float32", 1, 2, 2, 4),
            tensor("float32", 1, 4, 4, 5),
        ),
        (
            OperatorNode(0, "FULLY_CONNECTED", (0, 1), (2,)),
            OperatorNode(1, "TRANSPOSE_CONV", (3, 4, 5), (6,)),
        ),
        (0, 5),
        (2, 6),
    )
    assert work.multiply_accumulates(graph) == 40 + 2 * 2 * 4 * 3 * 3 * 5
    assert work.weight_bytes(graph) == 4 * (40 + 4 + 5 * 3 * 3 * 4)


def test_bytes_are_as_an_inference_reads_them():
    """What is stored as float16 is read as float32; what is read twice counts once."""
    graph = Graph(
        (
            tensor("float16", 8, constant=True),
            tensor("float32", 8),
            tensor("int8", 6, constant=True),
            tensor("int4", 8, constant=True),
            tensor("int8", 6),
            tensor("int8", 100, constant=True),
        ),
        (
            OperatorNode(0, "DEQUANTIZE", (0,), (1,)),
            OperatorNode(1, "ADD", (2, 4), (4,)),
            OperatorNode(2, "MUL", (2, 3), (4,)),
        ),
        (4,),
        (1,),
    )
    assert work.weight_bytes(graph) == 8 * 4 + 6 + 4
