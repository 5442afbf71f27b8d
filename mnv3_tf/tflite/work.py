"""How much a .tflite has to do and to read: multiply-accumulates and bytes of constants."""

import math

from mnv3_tf.tflite.model_graph import Graph

BY_CHANNEL = "DEPTHWISE_CONV_2D"
CONVOLUTIONS = ("CONV_2D", BY_CHANNEL)
BITS = {"int4": 4, "int8": 8, "uint8": 8, "bool": 8, "int16": 16, "float16": 16, "int64": 64}
"""Of a number, where they are not 32."""


def multiply_accumulates(graph: Graph) -> int:
    """Of convolutions and dense layers, an inference, by the shapes that the file has.

    Each number of the output takes a filter's, and each of the input of a transposed convolution
    all filters' of its channel.
    """
    total = 0
    for op in graph.operators:
        if op.op in CONVOLUTIONS:
            weights = graph.tensors[op.inputs[1]].shape
            filters = weights[3] if op.op == BY_CHANNEL else weights[0]
            total += _size(graph, op.outputs[0]) * (math.prod(weights) // filters)
        elif op.op == "FULLY_CONNECTED":
            total += _size(graph, op.outputs[0]) * graph.tensors[op.inputs[1]].shape[-1]
        elif op.op == "TRANSPOSE_CONV":
            weights = graph.tensors[op.inputs[1]].shape
            total += _size(graph, op.inputs[2]) * math.prod(weights[:3])
    return total


def weight_bytes(graph: Graph) -> int:
    """Of all constants that operators read, as an inference reads them.

    What a DEQUANTIZE unpacks, as in float16 files, is unpacked once and read as float32.
    """
    total = 0
    for number in {number for op in graph.operators for number in op.inputs}:
        tensor = graph.tensors[number]
        if tensor.constant:
            unpacked = any(op.op == "DEQUANTIZE" for op in graph.readers(number))
            bits = 32 if unpacked else BITS.get(tensor.dtype, 32)
            total += math.prod(tensor.shape) * bits // 8
    return total


def _size(graph: Graph, number: int) -> int:
    return math.prod(graph.tensors[number].shape)
