"""Damaged and senseless .tflite files, and a process that reads them one after the other.

python tests/mutated_files.py COUNT SEED FOLDER      (prints a line of JSON for each file)

Whatever a file does to the runtime must not reach this process: each is tried in one of its own,
here a fork, which costs a hundredth of the new interpreter that `loading` starts.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from foreign_files import SIDE, ForeignFile, colour_classifier

from mnv3_tf.errors import UserError
from mnv3_tf.networks import named
from mnv3_tf.tflite import loading, metadata, skeleton
from mnv3_tf.tflite.inspection import inspect
from mnv3_tf.tflite.packing import pack_model
from mnv3_tf.tflite.predictor import open_model

SECONDS = 30
PICTURE = np.random.default_rng(0).integers(0, 256, (20, 24, 3)).astype(np.uint8)


def whole_files() -> list[bytes]:
    """A network of ours in float and int8, and files of others'."""
    small = named.resolve("small_minimalistic", 0.35, 32, 5)
    ours = [skeleton.network(small, quantize) for quantize in ("none", "int8")]
    labelled = metadata.add_metadata(colour_classifier([("MUL", 1 / 255)]), ["r", "g", "b"])
    return [*ours, labelled, _with_a_table(), _free(), _bytes(), _mask()]


def _with_a_table() -> bytes:
    file = ForeignFile()
    image = file.input((1, SIDE, SIDE, 3), "uint8")
    table = file.constant(np.arange(256) / 255)
    values = file.add(
        "GATHER",
        [table, file.add("CAST", [image], (1, SIDE, SIDE, 3), "int32")],
        (1, SIDE, SIDE, 3),
    )
    out = file.softmax(file.means(values))
    return file.finish(out, names={out: "colours"})


def _free() -> bytes:
    return colour_classifier(signature=(-1, SIDE, SIDE, 3))


def _bytes() -> bytes:
    return colour_classifier(dtype="uint8", quantized=(1 / 255, 0))


def _mask() -> bytes:
    file = ForeignFile()
    image = file.input((1, SIDE, SIDE, 3))
    scores = file.add("MUL", [image, file.constant(2.0)], (1, SIDE, SIDE, 3))
    return file.finish(file.softmax(scores))


# -- mutations -------------------------------------------------------------------------------


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    return MUTATIONS[rng.integers(len(MUTATIONS))](content, rng)


def _bytes_changed(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        changed[rng.integers(8, len(changed))] = rng.integers(256)
    return bytes(changed)


def _numbers_changed(content: bytes, rng: np.random.Generator) -> bytes:
    """Whole numbers of 32 bits, which lengths, offsets and indices are."""
    changed = np.frombuffer(content[: len(content) // 4 * 4], "<i4").copy()
    for _ in range(rng.integers(1, 4)):
        changed[rng.integers(2, len(changed))] += rng.choice([-1, 1, 4, 256, -(2**20)])
    return changed.tobytes()


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(8, len(content))]


def _part_moved(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(8, len(content), 2))
    return content[:start] + content[end:] + content[start:end]


def _sense_changed(content: bytes, rng: np.random.Generator) -> bytes:
    """A file whose every offset is good, with a number in it that is not."""
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    for _ in range(rng.integers(1, 4)):
        _change(tree, rng, schema)
    return pack_model(tree)


def _change(tree: Any, rng: np.random.Generator, schema: Any) -> None:
    graph = tree.subgraphs[0]
    tensor = graph.tensors[rng.integers(len(graph.tensors))]
    operator = graph.operators[rng.integers(len(graph.operators))]
    code = tree.operatorCodes[rng.integers(len(tree.operatorCodes))]
    number = int(rng.choice([-7, -1, 0, 1, 2, 3, 5, 1000, 2**31 - 1]))
    index = int(rng.integers(-1, len(graph.tensors) + 1))
    match int(rng.integers(11)):
        case 0 if tensor.shape is not None and len(tensor.shape):
            tensor.shape = [number, *tensor.shape[1:]]
        case 1 if tensor.shape is not None:
            tensor.shape = list(tensor.shape)[: rng.integers(len(tensor.shape) + 1)]
        case 2:
            tensor.type = int(rng.integers(0, 20))
        case 3:
            tensor.buffer = int(rng.integers(0, len(tree.buffers) + 1))
        case 4:
            operator.inputs = [index, *list(operator.inputs)[1:]]
        case 5:
            operator.inputs = list(operator.inputs)[: rng.integers(len(operator.inputs) + 1)]
        case 6:
            code.builtinCode = code.deprecatedBuiltinCode = int(rng.integers(0, 127))
        case 7:
            graph.outputs = [index]
        case 8:
            graph.inputs = [index, *list(graph.inputs)[: rng.integers(2)]]
        case 9:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [float(rng.choice([0, -1, 1e-30, np.nan, 1e30]))]
            tensor.quantization.zeroPoint = [number]
        case _:
            tensor.shapeSignature = [number] * int(rng.integers(5))


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    *(_bytes_changed, _numbers_changed, _cut, _part_moved),
    *[_sense_changed] * 4,
)


# -- reading them ----------------------------------------------------------------------------


def told(path: Path, shown: bool) -> str:
    """What inspect shows of a file, or what it answers; or the sentence with which it is refused.

    Anything but a UserError goes through.
    """
    try:
        if shown:
            return f"inspect shows {len(inspect(path)['operators'])} operators."
        return f"It answers {type(open_model(path).answer(PICTURE)).__name__}."
    except UserError as error:
        return str(error)


def _run(module: str, *arguments: str) -> tuple[list[dict[str, Any]], int, str]:
    """`loading.run_isolated` by a fork."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 1)
        os.dup2(write, 2)
        signal.alarm(SECONDS)
        try:
            importlib.import_module(module)._main(*arguments)
        except Exception as error:
            print(repr(error), flush=True)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read, errors="replace") as printed:
        lines = printed.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = [line for line in lines if not line.startswith("{")]
    return [json.loads(line) for line in lines if line.startswith("{")], status, "\n".join(said)


def _main(count: int, seed: int, folder: Path) -> None:
    loading.run_isolated = _run
    sources = whole_files()
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        path = folder / f"{number}.tflite"
        path.write_bytes(mutated(sources[rng.integers(len(sources))], rng))
        try:
            line = {"number": number, "told": told(path, shown=number % 2 == 0)}
        except Exception as error:
            line = {"number": number, "raised": repr(error)}
        print(json.dumps(line), flush=True)
        path.unlink()


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
