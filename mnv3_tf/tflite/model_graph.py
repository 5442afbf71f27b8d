"""The graph inside a .tflite: tensors, operators, ends and signatures, as its flatbuffer says.

Only content that the runtime has verified must come here: the generated reader follows any offset.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

Layout = Literal["NHWC", "NCHW", "NHW"]
PICTURE_CHANNELS = (1, 3)

FLEX = "Flex"
"""How the names of TensorFlow's own operators begin, which are custom ones to TFLite."""


@dataclass(frozen=True)
class TensorNode:
    """`constant`: its values are in the file. `scales`: how many quantisation scales it has.

    `signature` is the shape with -1 for each side that is free, `shape` what it is until somebody
    says; `quantized` are scales and zero points along the side `axis`. `stored` are the values of a
    constant as the file has them, where their type is one of NumPy's.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    constant: bool
    scales: int
    signature: tuple[int, ...] = ()
    quantized: tuple[tuple[float, ...], tuple[int, ...]] = ((), ())
    axis: int = 0
    stored: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def free(self) -> tuple[int, ...]:
        """`with_free_sides`."""
        return with_free_sides(self.shape, self.signature)

    @property
    def values(self) -> np.ndarray | None:
        """Real values of a constant, float64; None of what is none."""
        if self.stored is None:
            return None
        values = self.stored.astype(np.float64)
        scales, zeros = (np.array(part, np.float64) for part in self.quantized)
        if not len(scales):
            return values
        if len(scales) > 1:
            sides = [-1 if i == self.axis else 1 for i in range(values.ndim)]
            scales, zeros = scales.reshape(sides), zeros.reshape(sides)
        return np.asarray((values - zeros) * scales)


@dataclass(frozen=True)
class OperatorNode:
    """`activation` is the fused one ("RELU6"), "" where there is none; `custom` are the bytes that
    a custom operator's options are, None of built-in ones.
    """

    index: int
    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    activation: str = ""
    version: int = 1
    custom: bytes | None = None


@dataclass(frozen=True)
class Entry:
    """A signature: the names by which its inputs and outputs are asked for, and their tensors."""

    name: str
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Graph:
    """The main subgraph; operators refer to tensors by index, and absent inputs are left out."""

    tensors: tuple[TensorNode, ...]
    operators: tuple[OperatorNode, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraphs: int = 1
    entries: tuple[Entry, ...] = ()
    metadata: tuple[str, ...] = ()

    @cached_property
    def producers(self) -> dict[int, OperatorNode]:
        """Who makes a tensor."""
        return {output: op for op in self.operators for output in op.outputs}

    def readers(self, tensor: int) -> list[OperatorNode]:
        return [op for op in self.operators if tensor in op.inputs]

    def resized(self, shapes: Mapping[int, tuple[int, ...]]) -> "Graph":
        """With the shapes that some tensors have once the input's is known."""
        tensors = list(self.tensors)
        for number, shape in shapes.items():
            tensors[number] = replace(tensors[number], shape=shape, signature=())
        return replace(self, tensors=tuple(tensors))

    def called(self, tensor: int) -> str:
        """The name of an end: that of the signature, or else the tensor's own."""
        for entry in self.entries:
            for name, number in (*entry.inputs, *entry.outputs):
                if number == tensor:
                    return name
        return self.tensors[tensor].name


def with_free_sides(shape: Sequence[int], signature: Sequence[int]) -> tuple[int, ...]:
    """The shape of an input with -1 for what has to be said before the file can run.

    `signature` has -1 for all that may change. A batch is 1, and so is no side of a picture: that
    is what a converter writes where nobody has told it.
    """
    sides = zip(shape, signature or shape, strict=True)
    return tuple(
        -1 if size == -1 and side <= 1 and number else side
        for number, (side, size) in enumerate(sides)
    )


def layout_of(shape: Sequence[int]) -> tuple[Layout, tuple[int, ...], int]:
    """Layout, (height, width) and channels of an input that takes pictures, of 3 or 4 sides.

    Channels stand last unless only what stands first can be some.
    """
    if len(shape) == 3:
        return "NHW", tuple(shape[1:]), 1
    if shape[3] not in PICTURE_CHANNELS and shape[1] in PICTURE_CHANNELS:
        return "NCHW", tuple(shape[2:]), shape[1]
    return "NHWC", tuple(shape[1:3]), shape[3]


def read_graph(content: bytes) -> Graph:
    """The main subgraph of a .tflite that the runtime has verified.

    Raises any exception for content that has good offsets but makes no sense.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    subgraph = model.Subgraphs(0)
    types = _names(schema.TensorType)
    return Graph(
        tuple(_tensor(model, subgraph.Tensors(i), types) for i in range(subgraph.TensorsLength())),
        tuple(
            _operator(schema, i, subgraph.Operators(i), codes)
            for i in range(subgraph.OperatorsLength())
        ),
        tuple(subgraph.Inputs(k) for k in range(subgraph.InputsLength())),
        tuple(subgraph.Outputs(k) for k in range(subgraph.OutputsLength())),
        model.SubgraphsLength(),
        tuple(_entries(model)),
        tuple(_text(model.Metadata(i).Name()) for i in range(model.MetadataLength())),
    )


def _tensor(model: Any, tensor: Any, types: dict[int, str]) -> TensorNode:
    buffer = model.Buffers(tensor.Buffer())
    quantization = tensor.Quantization()
    scales = quantization.ScaleLength() if quantization else 0
    dtype = types.get(tensor.Type(), str(tensor.Type())).lower()
    shape = tuple(tensor.Shape(k) for k in range(tensor.ShapeLength()))
    quantized: tuple[tuple[float, ...], tuple[int, ...]] = ((), ())
    if quantization and scales:
        zeros = quantization.ZeroPointLength()
        quantized = (
            tuple(quantization.Scale(k) for k in range(scales)),
            tuple(quantization.ZeroPoint(k) if k < zeros else 0 for k in range(scales)),
        )
    return TensorNode(
        _text(tensor.Name()),
        dtype,
        shape,
        # Models over 2 GB keep their values behind the flatbuffer, at an offset.
        constant=buffer.DataLength() > 0 or buffer.Offset() > 1,
        scales=scales,
        signature=tuple(tensor.ShapeSignature(k) for k in range(tensor.ShapeSignatureLength())),
        quantized=quantized,
        axis=quantization.QuantizedDimension() if quantization else 0,
        stored=_stored(buffer, dtype, shape),
    )


def _stored(buffer: Any, dtype: str, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        kind = np.dtype(dtype)
    except TypeError:  # such as int4, of which a byte holds two
        return None
    if not buffer.DataLength() or buffer.DataLength() != kind.itemsize * np.prod(shape, dtype=int):
        return None
    return np.asarray(buffer.DataAsNumpy()).view(kind).reshape(shape)


def _operator(schema: Any, index: int, operator: Any, codes: list[Any]) -> OperatorNode:
    code = codes[operator.OpcodeIndex()]
    inputs = (operator.Inputs(k) for k in range(operator.InputsLength()))
    is_custom = builtin_of(code) == schema.BuiltinOperator.CUSTOM
    options = b""
    if operator.CustomOptionsLength():
        options = bytes(operator.CustomOptionsAsNumpy().tobytes())
    return OperatorNode(
        index,
        operator_name(code),
        tuple(k for k in inputs if k >= 0),
        tuple(operator.Outputs(k) for k in range(operator.OutputsLength())),
        _fused_activation(schema, operator),
        code.Version(),
        options if is_custom else None,
    )


def _entries(model: Any) -> Iterator[Entry]:
    """Of the main subgraph."""
    for i in range(model.SignatureDefsLength()):
        entry = model.SignatureDefs(i)
        if entry.SubgraphIndex() == 0:
            inputs = (entry.Inputs(k) for k in range(entry.InputsLength()))
            outputs = (entry.Outputs(k) for k in range(entry.OutputsLength()))
            yield Entry(
                _text(entry.SignatureKey()),
                tuple((_text(end.Name()), end.TensorIndex()) for end in inputs),
                tuple((_text(end.Name()), end.TensorIndex()) for end in outputs),
            )


def builtin_of(code: Any) -> int:
    """An operator code's number; those beyond 127 do not fit the field of older files."""
    return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))


def operator_name(code: Any) -> str:
    """ "CONV_2D", a custom operator's own name, or "BUILTIN_9999" where the number is unknown."""
    from ai_edge_litert import schema_py_generated as schema

    number = builtin_of(code)
    if number == schema.BuiltinOperator.CUSTOM:
        return (code.CustomCode() or b"CUSTOM").decode(errors="replace")
    return _names(schema.BuiltinOperator).get(number, f"BUILTIN_{number}")


def _fused_activation(schema: Any, operator: Any) -> str:
    options_name = _names(schema.BuiltinOptions).get(operator.BuiltinOptionsType(), "NONE")
    reader = getattr(schema, options_name, None)
    table = operator.BuiltinOptions()
    if table is None or reader is None or not hasattr(reader, "FusedActivationFunction"):
        return ""
    options = reader()
    options.Init(table.Bytes, table.Pos)
    activation = options.FusedActivationFunction()
    return _names(schema.ActivationFunctionType).get(activation, "") if activation else ""


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _text(name: bytes | None) -> str:
    return (name or b"").decode(errors="replace")
