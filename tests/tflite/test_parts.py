"""A file's operators by themselves."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny

from mnv3_tf.tflite import parts, runtime, skeleton, work
from mnv3_tf.tflite.inspection import operator_counts
from mnv3_tf.tflite.model_graph import read_graph


@pytest.fixture(scope="module")
def content() -> bytes:
    return skeleton.network(tiny.CLASSIFIER, "int8")


def test_the_parts_are_the_whole(content):
    """Operators, work and weights; h-swish, of two operators in int8, is one part."""
    whole, found = read_graph(content), list(parts.split(content))
    graphs = [read_graph(part) for _, part in found]
    assert sum(map(Counter, map(operator_counts, graphs)), Counter()) == operator_counts(whole)
    assert sum(map(work.multiply_accumulates, graphs)) == work.multiply_accumulates(whole)
    assert sum(map(work.weight_bytes, graphs)) == work.weight_bytes(whole)
    names = Counter(name for name, _ in found)
    assert names["CONV_2D"] == operator_counts(whole)["CONV_2D"]
    assert names["ADD, MUL"] == 7  # stem, last convolution, hidden layer, two in each of two blocks
    assert names["ADD"] == operator_counts(whole)["ADD"] - 7


def run(path: Path, content: bytes, known: dict[str, np.ndarray]) -> None:
    """Adds to what is known, by the tensors' names, what the file gives."""
    path.write_bytes(content)
    graph, interpreter = read_graph(content), runtime.open_interpreter(path)
    interpreter.allocate_tensors()
    for number in graph.inputs:
        interpreter.set_tensor(number, known[graph.tensors[number].name])
    interpreter.invoke()
    for number in graph.outputs:
        known[graph.tensors[number].name] = interpreter.get_tensor(number)


@pytest.mark.parametrize("kind", ["composite", "float16"])
def test_the_parts_give_what_the_whole_gives(file, kind, tmp_path):
    """One after the other, each of what those before it gave."""
    whole = file(kind).read_bytes()
    graph = read_graph(whole)
    given, output = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    picture = np.random.default_rng(0).uniform(-1, 1, given.shape).astype(np.float32)
    once, known = {given.name: picture}, {given.name: picture}
    run(tmp_path / "m.tflite", whole, once)
    for number, (_, part) in enumerate(parts.split(whole)):
        run(tmp_path / f"{number}.tflite", part, known)
    assert np.ptp(once[output.name]) > 0
    np.testing.assert_allclose(known[output.name], once[output.name], atol=1e-5)
