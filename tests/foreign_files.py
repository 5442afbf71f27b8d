"""Small .tflite files as other tools write them, operator by operator, without a converter."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.tflite.packing import pack_model

SIDE = 16
COLOURS = ("red", "green", "blue")


class ForeignFile:
    """A file under construction; tensors are numbers, and what they are called is up to the test.

    `add` appends an operator; `softmax_of_means` ends a classifier whose answer is the mean of each
    channel, so that a red picture is of class 0.
    """

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.tree = schema.ModelT()
        self.tree.version, self.tree.buffers = 3, [schema.BufferT()]
        self.tree.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.tree.subgraphs = [self.graph]

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "float32",
        name: str = "",
        quantized: tuple[float, int] | None = None,
        values: Any = None,
        signature: Sequence[int] | None = None,
    ) -> int:
        made = self.schema.TensorT()
        made.shape, made.type = list(shape), getattr(self.schema.TensorType, dtype.upper())
        made.name = (name or f"tensor_{len(self.graph.tensors)}").encode()
        made.shapeSignature = None if signature is None else list(signature)
        made.buffer = 0
        if quantized:
            made.quantization = self.schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [quantized[0]], [quantized[1]]
        if values is not None:
            buffer = self.schema.BufferT()
            stored = np.ascontiguousarray(np.asarray(values, dtype))
            buffer.data = np.frombuffer(stored.tobytes(), np.uint8)
            self.tree.buffers.append(buffer)
            made.buffer = len(self.tree.buffers) - 1
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def input(self, shape: Sequence[int], dtype: str = "float32", **options: Any) -> int:
        self.graph.inputs.append(self.tensor(shape, dtype, **{"name": "image", **options}))
        return self.graph.inputs[-1]

    def constant(self, values: Any, dtype: str = "float32") -> int:
        return self.tensor(np.shape(values), dtype, values=values)

    def add(
        self,
        op: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        dtype: str = "float32",
        options: Mapping[str, Any] | None = None,
        version: int = 1,
        **tensor: Any,
    ) -> int:
        """`op` is a builtin's name, or else a custom operator's; returns its output."""
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._code(op, version)
        operator.inputs, operator.outputs = list(inputs), [self.tensor(shape, dtype, **tensor)]
        table = "".join(part.title() for part in op.split("_")) + "Options"
        table = {"MeanOptions": "ReducerOptions"}.get(table, table)
        if hasattr(self.schema, f"{table}T"):
            operator.builtinOptions = getattr(self.schema, f"{table}T")()
            vars(operator.builtinOptions).update(options or {})
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, table)
        self.graph.operators.append(operator)
        return int(operator.outputs[0])

    def _code(self, op: str, version: int) -> int:
        code, builtin = self.schema.OperatorCodeT(), getattr(self.schema.BuiltinOperator, op, None)
        if builtin is None:
            code.customCode, builtin = op.encode(), self.schema.BuiltinOperator.CUSTOM
        code.builtinCode, code.deprecatedBuiltinCode = builtin, min(builtin, 127)
        code.version = version
        self.tree.operatorCodes.append(code)
        return len(self.tree.operatorCodes) - 1

    def means(self, source: int, axes: Sequence[int] = (1, 2)) -> int:
        """(1, channels) of a picture."""
        shape = self.graph.tensors[source].shape
        left = [side for axis, side in enumerate(shape) if axis not in axes]
        return self.add("MEAN", [source, self.constant(axes, "int32")], left)

    def softmax(self, source: int, sharpness: float = 8.0, **tensor: Any) -> int:
        shape = self.graph.tensors[source].shape
        return self.add("SOFTMAX", [source], shape, options={"beta": sharpness}, **tensor)

    def finish(
        self, *outputs: int, names: Mapping[int, str] | None = None, inputs: Any = None
    ) -> bytes:
        """`names`: of outputs in the signature, which there is none of without them."""
        self.graph.outputs = list(outputs)
        if names:
            signature = self.schema.SignatureDefT()
            signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
            ends = {number: f"in_{number}" for number in self.graph.inputs} | (inputs or {})
            signature.inputs = [self._end(name, number) for number, name in ends.items()]
            signature.outputs = [self._end(name, number) for number, name in names.items()]
            self.tree.signatureDefs = [signature]
        return pack_model(self.tree)

    def _end(self, name: str, number: int) -> Any:
        end = self.schema.TensorMapT()
        end.name, end.tensorIndex = name.encode(), number
        return end


def colour_classifier(
    rescale: Sequence[tuple[str, Any]] = (),
    shape: Sequence[int] = (1, SIDE, SIDE, 3),
    dtype: str = "float32",
    **image: Any,
) -> bytes:
    """Which channel is the strongest; `rescale` are operators with a constant each before that."""
    file = ForeignFile()
    x = file.input(shape, dtype, **image)
    if dtype != "float32":
        x = file.add("DEQUANTIZE" if image.get("quantized") else "CAST", [x], shape)
    for op, value in rescale:
        x = file.add(op, [x, file.constant(value)], shape)
    axes = (2, 3) if shape[1] == 3 else (1, 2)
    return file.finish(file.softmax(file.means(x, axes), name="scores"))


def written(folder: Path, content: bytes, name: str = "m.tflite") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
