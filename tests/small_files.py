"""Small .tflite files, made once a run."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from colour_network import colour_files
from looking import in_process
from making import exported, quick_timing

NETWORKS = {
    "fused": {},
    "composite": {"hard_swish": "composite"},
    "dynamic": {"quantize": "dynamic"},
    "float16": {"quantize": "float16"},
}


@pytest.fixture(scope="session")
def file(made) -> Callable[[str], Path]:
    """(kind) -> path: float, uint8 (of colours); fused, composite, dynamic, float16 (networks)."""

    def get(kind: str) -> Path:
        if kind in NETWORKS:
            return made(exported, "classify", **NETWORKS[kind]) / "m.tflite"
        return made(colour_files) / f"{kind}.tflite"

    return get


@pytest.fixture(scope="session")
def refused(file, tmp_path_factory) -> Path:
    """The uint8 network with a scale beyond XNNPACK's limit, which built-in kernels bear."""
    from ai_edge_litert import schema_py_generated as schema

    from mnv3_tf.tflite.packing import pack_model

    model = schema.ModelT.InitFromPackedBuf(file("uint8").read_bytes(), 0)
    graph = model.subgraphs[0]
    convolution = next(
        op
        for op in graph.operators
        if model.operatorCodes[op.opcodeIndex].builtinCode == schema.BuiltinOperator.CONV_2D
    )
    graph.tensors[convolution.outputs[0]].quantization.scale = np.array([2e-7], np.float32)
    path = tmp_path_factory.mktemp("refused") / "refused.tflite"
    path.write_bytes(pack_model(model))
    return path


@pytest.fixture
def no_timing() -> Iterator[None]:
    """Exports quickly: latency, which would take most of the time, is measured elsewhere."""
    with quick_timing():
        yield


@pytest.fixture
def looked_at_here() -> Iterator[None]:
    """No process for each file that is looked at."""
    with in_process():
        yield
