"""A .tflite cut into its operators, each a file of its own."""

import copy
from collections.abc import Iterator
from typing import Any

from mnv3_tf.tflite.model_graph import Graph, OperatorNode, read_graph
from mnv3_tf.tflite.packing import pack_model


def split(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Each operator's name, and its file with the constants that it reads.

    What unpacks constants, as in float16 files, goes with the operator that reads them, and is no
    part itself: a runtime does it once. A gate goes with the operator that multiplies by it what
    the gate is made of: of "ADD, MUL" XNNPACK makes one operator, h-swish. `content` is of a file
    that the runtime has verified.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph, tree = read_graph(content), schema.ModelT.InitFromPackedBuf(content, 0)
    gates = {op.index: gate for op in graph.operators if (gate := _gate(graph, op))}
    inside = {gate.index for gate in gates.values()}
    for node in graph.operators:
        if node.index in inside or all(_is_fixed(graph, number) for number in node.inputs):
            continue
        nodes = [gates[node.index], node] if node.index in gates else [node]
        unpacking = [
            graph.producers[number]
            for number in dict.fromkeys(number for each in nodes for number in each.inputs)
            if number in graph.producers and _is_fixed(graph, number)
        ]
        operators = [tree.subgraphs[0].operators[each.index] for each in (*unpacking, *nodes)]
        yield ", ".join(each.op for each in nodes), _file(schema, tree, graph, operators)


def _gate(graph: Graph, node: OperatorNode) -> OperatorNode | None:
    """Who makes one of its inputs, for it alone, of another of them."""
    for number in node.inputs:
        maker = graph.producers.get(number)
        read = {k for k in maker.inputs if not _is_fixed(graph, k)} if maker else set()
        alone = graph.readers(number) == [node] and number not in graph.outputs
        if read and read <= set(node.inputs) and alone:
            return maker
    return None


def _is_fixed(graph: Graph, tensor: int) -> bool:
    """Whether it is the same at every inference."""
    maker = graph.producers.get(tensor)
    if maker is None:
        return graph.tensors[tensor].constant
    return maker.op == "DEQUANTIZE" and graph.tensors[maker.inputs[0]].constant


def _file(schema: Any, tree: Any, graph: Graph, operators: list[Any]) -> bytes:
    """Of these operators, the last of which gives what the file gives."""
    ends = [(list(op.inputs), list(op.outputs)) for op in operators]
    used = dict.fromkeys(k for inputs, outputs in ends for k in (*inputs, *outputs) if k >= 0)
    place = {number: index for index, number in enumerate(used)} | {-1: -1}
    made = {k for _, outputs in ends for k in outputs}
    part, subgraph = schema.ModelT(), schema.SubGraphT()
    part.version, part.operatorCodes, part.subgraphs = tree.version, tree.operatorCodes, [subgraph]
    part.buffers, subgraph.tensors, subgraph.operators = [schema.BufferT()], [], []
    for number in used:
        tensor = copy.copy(tree.subgraphs[0].tensors[number])
        part.buffers.append(tree.buffers[tensor.buffer])
        tensor.buffer = len(part.buffers) - 1
        subgraph.tensors.append(tensor)
    for operator, (inputs, outputs) in zip(operators, ends, strict=True):
        moved = copy.copy(operator)
        moved.inputs, moved.outputs = [place[k] for k in inputs], [place[k] for k in outputs]
        subgraph.operators.append(moved)
    subgraph.inputs = [place[k] for k in used if k not in made and not graph.tensors[k].constant]
    subgraph.outputs = [place[k] for k in ends[-1][1]]
    return pack_model(part)
