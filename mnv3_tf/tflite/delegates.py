"""Which delegates take what of a file, by their makers' lists, and what keeps XNNPACK from others.

Sources: tensorflow/lite/g3doc/performance/gpu.md and coral.ai/docs/edgetpu/models-intro, "supported
operations". What a list leaves out stays on the processor; the GPU delegate's code takes more than
its list names, such as HARD_SWISH and MEAN.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Set

from mnv3_tf.tflite.model_graph import Graph, OperatorNode
from mnv3_tf.tflite.reports import Listed

_GPU = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXP FULLY_CONNECTED LOGICAL_AND
    LOGISTIC LSTM MAX_POOL_2D MAXIMUM MINIMUM MUL PAD PRELU RELU RELU6 RESHAPE RESIZE_BILINEAR
    SOFTMAX STRIDED_SLICE SUB TRANSPOSE_CONV
"""
_EDGE_TPU = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED
    L2_NORMALIZATION LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE
    REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR
    RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH
    TRANSPOSE TRANSPOSE_CONV
"""
GPU, EDGE_TPU = frozenset(_GPU.split()), frozenset(_EDGE_TPU.split())
EDGE_TPU_TYPES = ("int8", "uint8")
"""What it computes in; a file must be quantised as a whole."""

MOST_RESCALE = 256.0
"""XNNPACK refuses an operator whose sums are multiplied by so much (its `requantization scale`)."""

KERNELS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def listed(graph: Graph) -> dict[str, Listed]:
    """What the GPU delegate and the Edge TPU are documented to take."""
    computed = {op.index for op in graph.operators if _is_8_bit(graph, op)}
    return {
        "gpu": _listed(graph, GPU, {op.index for op in graph.operators}),
        "edgetpu": _listed(graph, EDGE_TPU, computed),
    }


def _listed(graph: Graph, names: Set[str], able: Set[int]) -> Listed:
    left = [op.op for op in graph.operators if op.op not in names or op.index not in able]
    return {
        "takes": len(graph.operators) - len(left),
        "outside": dict(Counter(left).most_common()),
    }


def _is_8_bit(graph: Graph, operator: OperatorNode) -> bool:
    return all(graph.tensors[number].dtype in EDGE_TPU_TYPES for number in operator.outputs)


def hints(graph: Graph, quantize: str, outside: Mapping[str, int] | None) -> Iterator[str]:
    """What is known to keep a delegate from operators, each with what helps, in a sentence.

    `quantize` and `outside` are those of the report; the latter is None where XNNPACK refuses the
    file.
    """
    for operator in graph.operators:
        times = rescale(graph, operator)
        if times and times >= MOST_RESCALE:
            yield (
                f"{operator.op} number {operator.index} multiplies its sums by {times:.0f}, and "
                f"XNNPACK takes less than {MOST_RESCALE:.0f}: what it gives is all but zero, as "
                "that of a squeeze-excite branch which training has switched off; export it by "
                "export_tflite.py, which removes such, or run the file with --delegate=none"
            )
    left = outside or {}
    if "HARD_SWISH" in left:
        yield (
            f"{left['HARD_SWISH']} HARD_SWISH in {quantize} stay outside XNNPACK and cut the graph "
            "to pieces; export it with --hard_swish=composite"
        )
    if "DEPTHWISE_CONV_2D" in left and quantize == "dynamic":
        yield (
            f"{left['DEPTHWISE_CONV_2D']} DEPTHWISE_CONV_2D of int8 kernels and float values stay "
            "outside XNNPACK; export it with --quantize=int8 or float16"
        )
    if any(graph.tensors[number].signature[:1] == (-1,) for number in graph.inputs):
        more = ", and what computes with it stays outside XNNPACK" if "SHAPE" in left else ""
        yield (
            "The batch is free, which the GPU delegate and edgetpu_compiler do not take"
            f"{more}; convert it with a batch of 1, such as by tf_keras.Input(..., batch_size=1)"
        )


def rescale(graph: Graph, operator: OperatorNode) -> float | None:
    """By how much an integer kernel multiplies its sums; None of other operators."""
    if operator.op not in KERNELS or len(operator.inputs) < 2 or not operator.outputs:
        return None
    source, kernel, made = (
        graph.tensors[number].quantized[0] for number in (*operator.inputs[:2], operator.outputs[0])
    )
    if not source or not kernel or not made or not made[0]:
        return None
    return source[0] * max(kernel) / made[0]
