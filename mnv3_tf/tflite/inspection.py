"""What is inside a .tflite, whoever wrote it: types, operators, float islands, XNNPACK's share.

python -m mnv3_tf.tflite.inspection FILE      (what `inspect` runs in a process of its own)
"""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.tflite import causes, delegates, loading, metadata, model_graph, runtime
from mnv3_tf.tflite.model_graph import Graph, OperatorNode, read_graph
from mnv3_tf.tflite.outputs import answer_of, what_they_are
from mnv3_tf.tflite.picture_input import NoPicture, picture_input
from mnv3_tf.tflite.reading import AS_IT_SAYS, Reading, parse_shape, shape_text
from mnv3_tf.tflite.reports import End, Ends, Entry, FileReport, OperatorRow, Tensor
from mnv3_tf.tflite.signature import signature_of

INTEGER_ACTIVATIONS = ("int8", "uint8", "int16")
FLOATS = ("float32", "float16")
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
HARD_SWISH_NAMES = {(True, True): "mixed", (True, False): "fused", (False, True): "composite"}


def inspect(path: str | Path, reading: Reading = AS_IT_SAYS) -> FileReport:
    """Everything that can be read from a file alone, and from what `reading` adds.

    Raises UserError for an absent, foreign, damaged or cut file.
    """
    loading.check_is_tflite(path)
    content = Path(path).read_bytes()
    shape = () if reading.input_shape is None else (shape_text(reading.input_shape),)
    lines, status, stderr = loading.run_isolated("mnv3_tf.tflite.inspection", str(path), *shape)
    if not lines or not lines[0]["verified"]:
        raise UserError(f"{path} {causes.DAMAGED}.")
    crashed = causes.crash_message(status, stderr)
    # Fewer lines: the process died while the built-in kernels, or XNNPACK, prepared the model.
    cause = lines[1]["cause"] if len(lines) > 1 else f"does not run: {crashed}"
    share = lines[2] if len(lines) > 2 else _refused(cause or crashed)
    try:
        return _report(path, content, reading, cause, share)
    except Exception:  # good offsets to what makes no sense, or to names that are cut off
        raise UserError(f"{path} {causes.DAMAGED}.") from None


def _report(
    path: str | Path, content: bytes, reading: Reading, cause: str | None, share: Mapping[str, Any]
) -> FileReport:
    graph = read_graph(content)
    refused, delegated = share["error"] is not None, set(share["members"])
    outside = Counter(op.op for op in graph.operators if op.index not in delegated)
    quantize = guess_quantize(graph)
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "quantize": quantize,
        "hard_swish": find_hard_swish(graph),
        "input": _first(graph, graph.inputs),
        "output": _first(graph, graph.outputs),
        **_ends(graph, path, content, reading),
        "signatures": [_entry(entry) for entry in graph.entries],
        "ops": operator_counts(graph),
        "float_islands": count_float_islands(graph),
        "subgraphs": graph.subgraphs,
        "metadata": list(graph.metadata),
        "about": metadata.about(content),
        "labels": metadata.labels_of(content),
        "cause": cause,
        "xnnpack": {
            "nodes": len(graph.operators),
            "delegated": None if refused else len(delegated),
            "partitions": share["partitions"],
            "outside": None if refused else dict(outside.most_common()),
            "error": share["error"],
        },
        "delegates": delegates.listed(graph),
        "hints": list(delegates.hints(graph, quantize, None if refused else outside)),
        "operators": [_row(graph, operator, delegated) for operator in graph.operators],
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


# -- rows of the report ----------------------------------------------------------------------


def _ends(graph: Graph, path: str | Path, content: bytes, reading: Reading) -> Ends:
    """What they mean is told where the file takes one picture."""
    given: list[str] | None = None
    try:
        shape = reading.input_shape
        resized = graph.resized({graph.inputs[0]: shape}) if shape and graph.inputs else graph
        taken = picture_input(path, resized, content, reading).told
        given = _meanings(graph, path)
    except NoPicture as other:
        taken = "no picture" if len(graph.inputs) > 1 else other.cause.split(";")[0]
    return {
        "inputs": [_end(graph, number, taken) for number in graph.inputs],
        "outputs": [
            _end(graph, number, given[i] if given else "") for i, number in enumerate(graph.outputs)
        ],
    }


def _meanings(graph: Graph, path: str | Path) -> list[str]:
    """Of the outputs, in their order."""
    try:
        form = signature_of(graph, path=path).form
    except UserError:
        form = None
    if form in ("detections", "raw"):
        return ["one of detections"] * len(graph.outputs)
    if together := what_they_are(graph):
        return [f"one of {together.split(' (')[0]}"] * len(graph.outputs)
    return [answer_of(graph, number).told for number in graph.outputs]


def _end(graph: Graph, number: int, meaning: str) -> End:
    tensor = graph.tensors[number]
    return {
        "name": graph.called(number),
        "tensor": tensor.name,
        **runtime.stored_as(tensor).to_dict(),
        "signature": list(tensor.signature or tensor.shape),
        "meaning": meaning,
    }


def _entry(entry: model_graph.Entry) -> Entry:
    return {
        "name": entry.name,
        "inputs": [name for name, _ in entry.inputs],
        "outputs": [name for name, _ in entry.outputs],
    }


def _first(graph: Graph, ends: Sequence[int]) -> Tensor | None:
    return runtime.stored_as(graph.tensors[ends[0]]).to_dict() if ends else None


def _row(graph: Graph, operator: OperatorNode, delegated: Collection[int]) -> OperatorRow:
    output = graph.tensors[operator.outputs[0]] if operator.outputs else None
    return {
        "index": operator.index,
        "op": operator.op,
        "version": operator.version,
        "activation": operator.activation,
        "name": causes.short_name(output.name) if output else "",
        "dtype": output.dtype if output else "",
        "shape": list(output.shape) if output else [],
        "delegated": operator.index in delegated,
    }


# -- the process of its own ------------------------------------------------------------------


def _refused(error: str) -> dict[str, Any]:
    return {"partitions": None, "members": [], "error": error}


def _xnnpack_share(path: str, input_shape: Sequence[int] | None) -> dict[str, Any]:
    interpreter, trial = loading.prepare(path, True, input_shape)
    if interpreter is None:
        return _refused(trial.error)
    members = causes.partition_members(interpreter._get_ops_details())
    replaced = sorted({number for numbers in members.values() for number in numbers})
    return {"partitions": len(members), "members": replaced, "error": None}


def _main(path: str, *shape: str) -> None:
    """Prints as it goes, and while the interpreters live: taking one down that failed may abort."""
    graph, cause = loading.open_verified(path)
    print(json.dumps({"verified": graph is not None}), flush=True)
    if graph is not None:
        input_shape = parse_shape(shape[0]) if shape else None
        cause = cause or loading.prepare(path, False, input_shape)[1].cause
        print(json.dumps({"cause": cause}), flush=True)
        if not cause:
            print(json.dumps(_xnnpack_share(path, input_shape)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
