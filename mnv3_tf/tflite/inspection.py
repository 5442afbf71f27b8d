"""What is inside a .tflite, whoever wrote it: types, operators, float islands, XNNPACK's share.

python -m mnv3_tf.tflite.inspection FILE      (what `inspect` runs in a process of its own)
"""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.tflite import metadata, runtime
from mnv3_tf.tflite.reports import FileReport, OperatorRow, Tensor

INTEGER_ACTIVATIONS = ("int8", "uint8", "int16")
FLOATS = ("float32", "float16")
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
HARD_SWISH_NAMES = {(True, True): "mixed", (True, False): "fused", (False, True): "composite"}


@dataclass(frozen=True)
class TensorNode:
    """`constant`: its values are in the file. `scales`: how many quantisation scales it has."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    constant: bool
    scales: int


@dataclass(frozen=True)
class OperatorNode:
    """`activation` is the fused one ("RELU6"), "" where there is none."""

    index: int
    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    activation: str = ""


@dataclass(frozen=True)
class Graph:
    """The main subgraph; operators refer to tensors by index, and absent inputs are left out."""

    tensors: tuple[TensorNode, ...]
    operators: tuple[OperatorNode, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraphs: int = 1


def inspect(path: str | Path) -> FileReport:
    """Everything that can be read from a file alone.

    Raises UserError for an absent, foreign, damaged or cut file.
    """
    runtime.check_is_tflite(path)
    content = Path(path).read_bytes()
    lines, status, stderr = runtime.run_isolated("mnv3_tf.tflite.inspection", str(path))
    described: dict[str, Any] = lines[0] if lines else {"invalid": True}
    if "invalid" in described:
        raise runtime.not_a_model(path)
    # No second line: the process died while XNNPACK prepared the model.
    share = lines[1] if len(lines) > 1 else _refused(runtime.crash_message(status, stderr))
    refused, delegated = share["error"] is not None, set(share["members"])
    operators: list[OperatorRow] = described["operators"]
    for operator in operators:
        operator["delegated"] = operator["index"] in delegated
    outside = Counter(operator["op"] for operator in operators if not operator["delegated"])
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "quantize": described["quantize"],
        "hard_swish": described["hard_swish"],
        "input": described["input"],
        "output": described["output"],
        "ops": described["ops"],
        "float_islands": described["float_islands"],
        "subgraphs": described["subgraphs"],
        "labels": described["labels"],
        "xnnpack": {
            "nodes": len(operators),
            "delegated": None if refused else len(delegated),
            "partitions": share["partitions"],
            "outside": None if refused else dict(outside.most_common()),
            "error": share["error"],
        },
        "operators": operators,
    }


# -- what the graph says ---------------------------------------------------------------------


def operator_counts(graph: Graph) -> dict[str, int]:
    return dict(Counter(operator.op for operator in graph.operators).most_common())


def guess_quantize(graph: Graph) -> str:
    """How the file was quantised: "int8" covers uint8 files and those with 16-bit activations."""
    tensors = graph.tensors
    computed = [
        tensors[i]
        for operator in graph.operators
        if operator.op not in CONVERSIONS
        for i in operator.outputs
    ]
    if any(tensor.dtype in INTEGER_ACTIVATIONS and tensor.scales for tensor in computed):
        return "int8"
    if any(tensor.constant and tensor.dtype == "float16" for tensor in tensors):
        return "float16"
    if any(t.constant and t.dtype in ("int8", "uint8", "int4") and t.scales for t in tensors):
        return "dynamic"
    return "none"


def find_hard_swish(graph: Graph) -> str:
    """ "fused", "composite", "mixed" or "none"; composite is x (or x / 6) times relu6(x + 3)."""
    producer = {output: op for op in graph.operators for output in op.outputs}
    fused = any(operator.op == "HARD_SWISH" for operator in graph.operators)
    composite = False
    for operator in graph.operators:
        if operator.op != "MUL" or len(operator.inputs) != 2:
            continue
        for gate, x in (operator.inputs, operator.inputs[::-1]):
            shifted = _through(producer, gate, "RELU6")
            scaled = producer.get(x)
            sources = {x}
            if scaled and scaled.op == "MUL":
                sources |= set(_variable(graph, scaled))
            if shifted and set(_variable(graph, shifted)) & sources:
                composite |= len(_variable(graph, shifted)) == 1
    return HARD_SWISH_NAMES.get((fused, composite), "none")


def _through(
    producer: dict[int, OperatorNode], tensor: int, activation: str
) -> OperatorNode | None:
    """The ADD that makes `tensor`, followed by `activation`, fused or as an operator."""
    operator = producer.get(tensor)
    if operator and operator.op == activation:
        operator = producer.get(operator.inputs[0])
        return operator if operator and operator.op == "ADD" else None
    fused = operator and operator.op == "ADD" and operator.activation == activation
    return operator if fused else None


def _variable(graph: Graph, operator: OperatorNode) -> list[int]:
    return [i for i in operator.inputs if not graph.tensors[i].constant]


def count_float_islands(graph: Graph) -> int:
    """Connected groups of float operators in an otherwise integer graph.

    The QUANTIZE after a float input and the DEQUANTIZE before a float output are no islands. A
    DEQUANTIZE followed at once by QUANTIZE is one, as is float work at either end.
    """
    if guess_quantize(graph) != "int8":
        return 0
    is_float = [t.dtype in FLOATS and not t.constant for t in graph.tensors]
    group: dict[int, int] = {}

    def root(tensor: int) -> int:
        group.setdefault(tensor, tensor)
        while group[tensor] != tensor:
            tensor = group[tensor]
        return tensor

    touching = []
    for operator in graph.operators:
        floats = [i for i in (*operator.inputs, *operator.outputs) if is_float[i]]
        if floats:
            touching.append((operator.op, floats[0]))
        for tensor in floats[1:]:
            group[root(tensor)] = root(floats[0])
    islands: dict[int, set[str]] = {}
    for name, tensor in touching:
        islands.setdefault(root(tensor), set()).add(name)
    return sum(
        1 for names in islands.values() if names - set(CONVERSIONS) or names == set(CONVERSIONS)
    )


# -- reading the file ------------------------------------------------------------------------


def read_graph(content: bytes) -> Graph:
    """The main subgraph of a .tflite that the runtime has verified.

    The generated reader follows any offset, so content that is not verified must not come here.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    codes = [
        _operator_name(schema, model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())
    ]
    subgraph = model.Subgraphs(0)
    types = _names(schema.TensorType)
    tensors = []
    for i in range(subgraph.TensorsLength()):
        tensor = subgraph.Tensors(i)
        buffer = model.Buffers(tensor.Buffer())
        quantization = tensor.Quantization()
        tensors.append(
            TensorNode(
                (tensor.Name() or b"").decode(errors="replace"),
                types.get(tensor.Type(), str(tensor.Type())).lower(),
                tuple(tensor.Shape(k) for k in range(tensor.ShapeLength())),
                # Models over 2 GB keep their values behind the flatbuffer, at an offset.
                constant=buffer.DataLength() > 0 or buffer.Offset() > 1,
                scales=quantization.ScaleLength() if quantization else 0,
            )
        )
    operators = []
    for i in range(subgraph.OperatorsLength()):
        operator = subgraph.Operators(i)
        name = codes[operator.OpcodeIndex()]
        inputs = (operator.Inputs(k) for k in range(operator.InputsLength()))
        outputs = (operator.Outputs(k) for k in range(operator.OutputsLength()))
        activation = _fused_activation(schema, operator)
        operators.append(
            OperatorNode(i, name, tuple(k for k in inputs if k >= 0), tuple(outputs), activation)
        )
    return Graph(
        tuple(tensors),
        tuple(operators),
        tuple(subgraph.Inputs(k) for k in range(subgraph.InputsLength())),
        tuple(subgraph.Outputs(k) for k in range(subgraph.OutputsLength())),
        model.SubgraphsLength(),
    )


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _operator_name(schema: Any, code: Any) -> str:
    # Operators beyond 127 did not fit the old field, which older files alone fill in.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
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


def _list_operators(graph: Graph) -> Iterator[dict[str, Any]]:
    for operator in graph.operators:
        output = graph.tensors[operator.outputs[0]] if operator.outputs else None
        yield {
            "index": operator.index,
            "op": operator.op,
            "activation": operator.activation,
            "name": runtime.short_name(output.name) if output else "",
            "dtype": output.dtype if output else "",
            "shape": list(output.shape) if output else [],
        }


# -- the process of its own ------------------------------------------------------------------


def _refused(error: str) -> dict[str, Any]:
    return {"partitions": None, "members": [], "error": error}


def _print_xnnpack_share(path: str) -> None:
    """Prints while the interpreter lives: taking down one that failed to load may abort."""
    interpreter = runtime.open_interpreter(path)
    nodes = interpreter._interpreter.NumNodes()
    try:
        interpreter.allocate_tensors()
        members = runtime.partition_members(interpreter._get_ops_details(), nodes)
        replaced = sorted({number for numbers in members.values() for number in numbers})
        share = {"partitions": len(members), "members": replaced, "error": None}
    except Exception as error:
        share = _refused(runtime.load_error(interpreter, nodes, error))
    print(json.dumps(share), flush=True)
    os._exit(0)


def _describe(path: str) -> dict[str, Any]:
    # Opening verifies every offset in the file; only then may Python follow them.
    try:
        interpreter = runtime.open_interpreter(path, delegate=False)
    except Exception:
        return {"invalid": True}
    content = Path(path).read_bytes()
    try:
        graph = read_graph(content)
        labels = metadata.labels_of(content)
    except UserError:
        return {"invalid": True}
    ends = {
        "input": interpreter.get_input_details(),
        "output": interpreter.get_output_details(),
    }
    return {
        "quantize": guess_quantize(graph),
        "hard_swish": find_hard_swish(graph),
        **{end: _first(details) for end, details in ends.items()},
        "ops": operator_counts(graph),
        "float_islands": count_float_islands(graph),
        "subgraphs": graph.subgraphs,
        "labels": labels,
        "operators": list(_list_operators(graph)),
    }


def _first(details: Sequence[dict[str, Any]]) -> Tensor | None:
    return runtime.tensor_info(details[0]).to_dict() if details else None


def _main(path: str) -> None:
    described = _describe(path)
    print(json.dumps(described), flush=True)
    if "invalid" not in described:
        _print_xnnpack_share(path)


if __name__ == "__main__":
    _main(*sys.argv[1:])
