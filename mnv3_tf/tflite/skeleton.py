"""A network's .tflite for timing alone, straight from its spec in milliseconds.

Its operators, shapes and fused activations are those of what `exporter` writes, its weights are
random: time depends on the former alone. So no network is built, trained or converted, and
TensorFlow is not needed. Two things that an export may have are missing: the second stem gate
that some trained networks get in int8, and the QUANTIZE operators of a camera's bytes, since int8
skeletons take and give int8.

Scales of int8 tensors are such that XNNPACK takes every operator, whatever the weights, and all
the same: what only moves or mixes values needs that.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mnv3_tf.networks.activations import activation
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import (
    IMAGE,
    Add,
    Concatenate,
    Conv,
    Convolution,
    Cut,
    Depthwise,
    Mean,
    Multiply,
    Operator,
    Reshape,
    Resize,
    Shape,
)
from mnv3_tf.tasks import Spec, task_of
from mnv3_tf.tflite.packing import pack_model

Precision = Literal["none", "int8"]
HardSwishForm = Literal["fused", "composite", "naive"]
FASTEST: dict[Precision, HardSwishForm] = {"none": "fused", "int8": "composite"}
"""The lowering of h-swish that an export chooses by itself for XNNPACK."""

ACTIVATION_SCALE, WEIGHT_SCALE = 0.05, 0.01
UNIT_SCALE, LOWEST = 1 / 256, -128
"""Of what lies in [0, 1): TFLite allows SOFTMAX and LOGISTIC no other."""

SCHEMA_VERSION = 3
INT8_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "HARD_SWISH": 1, "RESHAPE": 1}
"""Of operators; the others' int8 came with version 2."""


def network(
    spec: Spec, quantize: Precision = "none", hard_swish: HardSwishForm | None = None
) -> bytes:
    """The file of a network of any task, float32 or int8 at both ends.

    A classifier answers with probabilities (1, classes), a detector with "box_codes" (1, A, 4) and
    scores (1, A, 1 + classes), a segmentation network with logits (1, height, width, classes).

    `hard_swish` None takes what is fastest. "naive" computes it as the paper's unoptimised
    variant (Table 5): the gate, its sixth and the product by three operators.
    """
    graph, task = FileBuilder(quantize, hard_swish), task_of(spec)
    made = {IMAGE: graph.input((*spec.image_size, 3))}
    for op in operators(task.for_phones(spec)):
        made[op.name] = graph.operator(op, [made[name] for name in op.reads])
    return graph.finish(*task.skeleton_outputs(spec, graph, made))


def single(
    op: Operator,
    quantize: Precision = "none",
    hard_swish: HardSwishForm | None = None,
    reads: Sequence[Shape] | None = None,
) -> bytes:
    """A file of one operator of a network, its activation included.

    `reads` are the shapes of what it reads. Without them a "multiply" is by a gate of one pixel,
    and a "concatenate", of which they alone tell the parts, is a ValueError.
    """
    graph = FileBuilder(quantize, hard_swish)
    if reads is None:
        reads = _shapes_read(op)
    return graph.finish(graph.operator(op, [graph.input(shape) for shape in reads]))


def _shapes_read(op: Operator) -> list[Shape]:
    match op:
        case Concatenate():
            raise ValueError(f"{op.name} joins {len(op.reads)} tensors; give the shapes it reads.")
        case Add():
            return [op.input, op.input]
        case Multiply():
            return [op.input, (1, 1, op.input[2])]
    return [op.input]


class FileBuilder:
    """A .tflite under construction; tensors are numbers. All shapes are without the batch of 1."""

    def __init__(self, quantize: Precision, hard_swish: HardSwishForm | None = None) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._int8 = quantize == "int8"
        self._hard_swish = hard_swish or FASTEST[quantize]
        self._random = np.random.default_rng(0)
        self._graph = schema.SubGraphT()
        self._graph.name = "main"
        self._graph.tensors, self._graph.operators = [], []
        self._graph.inputs = []
        self._buffers: list[Any] = [schema.BufferT()]
        self._codes: dict[str, int] = {}

    def input(self, shape: Sequence[int]) -> int:
        number = self._activation(shape)
        self._graph.inputs.append(number)
        return number

    def operator(self, op: Operator, inputs: Sequence[int]) -> int:
        """An operator of `cost.operators` and the activation that goes with it."""
        kind = activation(op.activation)
        made = self._bare(op, inputs, kind.fused)
        if op.activation == "hard_swish":
            return self._hard_swish_of(made, op.output)
        source = made
        for name in kind.then:
            made = (
                self.sigmoid(made) if name == "LOGISTIC" else self._unary(name, made, kind.options)
            )
        return self._binary("MUL", [source, made], op.output, "NONE") if kind.gated else made

    def _bare(self, op: Operator, inputs: Sequence[int], fused: str) -> int:
        """An operator with no more of its activation than is fused onto it.

        A gate's +3 is in its bias and its 1/6 in the next kernel.
        """
        match op:
            case Conv():
                return self._conv(op, inputs[0], fused)
            case Depthwise():
                return self._depthwise(op, inputs[0], fused)
            case Mean():
                return self._mean(inputs[0], op.output)
            case Cut():
                return self._cut(op, inputs[0])
            case Add():
                return self._binary("ADD", inputs, op.output, fused)
            case Multiply():
                return self._binary("MUL", inputs, op.output, fused)
            case Resize():
                return self._resize(inputs[0], op.output)
            case Reshape():
                return self.reshape(inputs[0], op.output)
            case Concatenate():
                return self._concatenate(inputs, op.axis)
        raise ValueError(f"Unknown operator {op.kind!r}")

    def reshape(self, source: int, shape: Shape) -> int:
        return self._add("RESHAPE", [source, self._numbers(1, *shape)], self._activation(shape))

    def sigmoid(self, source: int) -> int:
        shape = self._shape(source)
        return self._add("LOGISTIC", [source], self._activation(shape, UNIT_SCALE, LOWEST))

    def _unary(self, name: str, source: int, settings: Mapping[str, float]) -> int:
        options = None
        if settings:
            options = getattr(self._schema, f"{name.title().replace('_', '')}OptionsT")()
            vars(options).update(settings)
        return self._add(name, [source], self._activation(self._shape(source)), options)

    def softmax(self, source: int) -> int:
        options = self._schema.SoftmaxOptionsT()
        options.beta = 1.0
        output = self._activation(self._shape(source), UNIT_SCALE, LOWEST)
        return self._add("SOFTMAX", [source], output, options)

    def finish(self, *outputs: int) -> bytes:
        self._graph.outputs = list(outputs)
        model = self._schema.ModelT()
        model.version = SCHEMA_VERSION
        model.subgraphs = [self._graph]
        model.buffers = self._buffers
        model.operatorCodes = [self._code(name) for name in self._codes]
        return pack_model(model)

    # -- operators -------------------------------------------------------------------------------

    def _conv(self, op: Conv, source: int, fused: str) -> int:
        filters, channels = op.output[2], op.input[2]
        if op.zero:
            source = self._binary("SUB", [source, self._number(*op.zero)], op.input, "NONE")
        options = self._strided(self._schema.Conv2DOptionsT(), op, fused)
        shape = (filters, op.kernel, op.kernel, channels)
        weights = self._weights(shape, op.kernel**2 * channels, 0)
        inputs = [source, *weights]
        return self._add("CONV_2D", inputs, self._activation(op.output), options)

    def _depthwise(self, op: Depthwise, source: int, fused: str) -> int:
        options = self._strided(self._schema.DepthwiseConv2DOptionsT(), op, fused)
        options.depthMultiplier = 1
        shape = (1, op.kernel, op.kernel, op.output[2])
        inputs = [source, *self._weights(shape, op.kernel**2, 3)]
        return self._add("DEPTHWISE_CONV_2D", inputs, self._activation(op.output), options)

    def _strided(self, options: Any, op: Convolution, fused: str) -> Any:
        options.padding = self._schema.Padding.SAME
        options.strideH = options.strideW = op.stride
        options.dilationHFactor = options.dilationWFactor = op.dilation
        options.fusedActivationFunction = getattr(self._schema.ActivationFunctionType, fused)
        return options

    def _mean(self, source: int, shape: Shape) -> int:
        options = self._schema.ReducerOptionsT()
        options.keepDims = True
        return self._add("MEAN", [source, self._numbers(1, 2)], self._activation(shape), options)

    def _cut(self, op: Cut, source: int) -> int:
        start = (*op.corner, 0)
        end = (begin + side for begin, side in zip(start, op.output, strict=True))
        bounds = [self._numbers(0, *start), self._numbers(1, *end), self._numbers(1, 1, 1, 1)]
        options = self._schema.StridedSliceOptionsT()
        return self._add("STRIDED_SLICE", [source, *bounds], self._activation(op.output), options)

    def _concatenate(self, parts: Sequence[int], axis: int) -> int:
        """Along `axis`, counted without the batch."""
        shapes = [self._shape(part) for part in parts]
        shape = list(shapes[0])
        shape[axis] = sum(part[axis] for part in shapes)
        options = self._schema.ConcatenationOptionsT()
        options.axis = 1 + axis
        return self._add("CONCATENATION", parts, self._activation(shape), options)

    def _resize(self, source: int, shape: Shape) -> int:
        options = self._schema.ResizeBilinearOptionsT()
        options.alignCorners = True
        inputs = [source, self._numbers(*shape[:2])]
        return self._add("RESIZE_BILINEAR", inputs, self._activation(shape), options)

    def _binary(self, name: str, inputs: Sequence[int], shape: Sequence[int], fused: str) -> int:
        options = getattr(self._schema, f"{name.title()}OptionsT")()
        options.fusedActivationFunction = getattr(self._schema.ActivationFunctionType, fused)
        return self._add(name, inputs, self._activation(shape), options)

    def _hard_swish_of(self, source: int, shape: Sequence[int]) -> int:
        if self._hard_swish == "fused":
            return self._add("HARD_SWISH", [source], self._activation(shape))
        gate = self._binary("ADD", [source, self._number(3.0)], shape, "RELU6")
        if self._hard_swish == "naive":
            gate = self._binary("MUL", [gate, self._number(1 / 6)], shape, "NONE")
        return self._binary("MUL", [gate, source], shape, "NONE")

    def _add(self, name: str, inputs: Sequence[int], output: int, options: Any = None) -> int:
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(name, len(self._codes))
        operator.inputs, operator.outputs = list(inputs), [output]
        if options is not None:
            operator.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, kind)
        self._graph.operators.append(operator)
        return output

    def _code(self, name: str) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, name)
        # Readers of old files look at this field, which ends at 127.
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = INT8_VERSIONS.get(name, 2) if self._int8 else 1
        return code

    # -- tensors ---------------------------------------------------------------------------------

    def _activation(
        self, shape: Sequence[int], scale: float = ACTIVATION_SCALE, zero_point: int = 0
    ) -> int:
        kind = self._schema.TensorType.INT8 if self._int8 else self._schema.TensorType.FLOAT32
        quantization = self._quantization([scale], zero_point) if self._int8 else None
        return self._tensor((1, *shape), kind, 0, quantization)

    def _weights(self, shape: Sequence[int], fan_in: int, axis: int) -> list[int]:
        """Kernel and bias; `axis` of the kernel is that of the filters."""
        filters = shape[axis]
        if not self._int8:
            kernel = self._random.standard_normal(shape, np.float32) * math.sqrt(2 / fan_in)
            return [self._constant(kernel), self._constant(np.zeros(filters, np.float32))]
        values = self._random.integers(-127, 128, shape, np.int8)
        scales = [WEIGHT_SCALE] * filters
        sums = [WEIGHT_SCALE * ACTIVATION_SCALE] * filters
        return [
            self._constant(values, self._quantization(scales, 0, axis)),
            self._constant(np.zeros(filters, np.int32), self._quantization(sums)),
        ]

    def _shape(self, tensor: int) -> Shape:
        return tuple(self._graph.tensors[tensor].shape[1:])

    def _number(self, *values: float) -> int:
        """A number, or one for each channel."""
        array = np.array(values if len(values) > 1 else values[0], np.float32)
        if not self._int8:
            return self._constant(array)
        scale = float(np.abs(array).max()) / 127
        return self._constant(np.rint(array / scale).astype(np.int8), self._quantization([scale]))

    def _numbers(self, *values: int) -> int:
        """Whole numbers, as operators take shapes and axes."""
        return self._constant(np.array(values, np.int32))

    def _constant(self, values: np.ndarray, quantization: Any = None) -> int:
        kinds = {"float32": "FLOAT32", "int8": "INT8", "int32": "INT32"}
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._buffers.append(buffer)
        kind = getattr(self._schema.TensorType, kinds[values.dtype.name])
        return self._tensor(values.shape, kind, len(self._buffers) - 1, quantization)

    def _tensor(self, shape: Sequence[int], kind: int, buffer: int, quantization: Any) -> int:
        tensor = self._schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), kind, buffer
        tensor.name = f"tensor_{len(self._graph.tensors)}"
        tensor.quantization = quantization
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _quantization(self, scales: Sequence[float], zero_point: int = 0, axis: int = 0) -> Any:
        parameters = self._schema.QuantizationParametersT()
        parameters.scale = list(scales)
        parameters.zeroPoint = [zero_point] * len(scales)
        parameters.quantizedDimension = axis
        return parameters
