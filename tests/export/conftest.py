"""Small .tflite files, made once."""

from pathlib import Path

import numpy as np
import pytest
from colour_network import colour_network, colour_pictures

from mnv3_tf.networks import resolve

_SMALL = resolve("small", 0.35, resolution=64, num_classes=5)
SPEC = _SMALL.replace(name="tiny", blocks=_SMALL.blocks[:5], hidden=64)
"""Every kind of operator that MobileNetV3 has, and few of each: quick to convert."""


def convert_uint8(model) -> bytes:
    import tensorflow as tf

    pictures = colour_pictures(24)[0].astype(np.float32) / 127.5 - 1
    # The extremes make the input's scale 1/127.5, so that bytes go straight in.
    pictures[0, 0, 0], pictures[0, 0, 1] = -1, 1
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture[np.newaxis]] for picture in pictures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter.convert()


@pytest.fixture(scope="session")
def tiny_spec():
    return SPEC


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, Path]:
    """Path by kind: float, float16, dynamic, uint8 (colours) and fused, composite (networks)."""
    from mnv3_tf.export.convert import convert
    from mnv3_tf.models import build

    folder = tmp_path_factory.mktemp("tflite")
    colours = colour_network()
    fused = build(SPEC, "fused")
    contents = {
        "float": convert(colours, "none", output="logits"),
        "uint8": convert_uint8(colours),
        "fused": convert(fused, "none"),
        "composite": convert(build(SPEC, "composite"), "none"),
        "dynamic": convert(fused, "dynamic"),
        "float16": convert(fused, "float16"),
    }
    paths = {}
    for kind, content in contents.items():
        paths[kind] = folder / f"{kind}.tflite"
        paths[kind].write_bytes(content)
    return paths


@pytest.fixture(scope="session")
def refused(files, tmp_path_factory) -> Path:
    """The uint8 network with a scale that makes a rescale beyond XNNPACK's limit."""
    from ai_edge_litert import schema_py_generated as schema

    from mnv3_tf.export.metadata import pack_model

    model = schema.ModelT.InitFromPackedBuf(files["uint8"].read_bytes(), 0)
    graph = model.subgraphs[0]
    convolution = next(
        op
        for op in graph.operators
        if model.operatorCodes[op.opcodeIndex].builtinCode == schema.BuiltinOperator.CONV_2D
    )
    graph.tensors[convolution.outputs[0]].quantization.scale = np.array([1e-9], np.float32)
    path = tmp_path_factory.mktemp("refused") / "refused.tflite"
    path.write_bytes(pack_model(model))
    return path


@pytest.fixture
def no_timing(monkeypatch):
    """Exports quickly: latency, which would take most of the time, is measured elsewhere."""
    from mnv3_tf.export import runtime

    quick = runtime.measure_latency
    monkeypatch.setattr(runtime, "measure_latency", lambda model: quick(model, 0.01))
    monkeypatch.setattr(runtime, "warm_up", lambda invoke: 1000.0)
