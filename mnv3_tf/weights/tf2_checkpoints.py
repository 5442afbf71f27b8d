"""Checkpoints of Keras models as TensorFlow 2 writes them: `save_weights("cp.ckpt")`, SavedModels.

They know layers by their place in the model alone.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph
from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
LAYER = "layer_with_weights-"
KINDS = {
    "depthwise_conv2d": ("depthwise_kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "conv2d": ("kernel", "bias"),
    "normalization": ("mean", "variance"),
}
"""Layers by what they have, as `.weights.h5` calls and numbers them and their variables."""


def read(prefix: str) -> dict[str, np.ndarray]:
    """Arrays under the names of `.weights.h5`; those of other checkpoints under their own."""
    reader = tf.train.load_checkpoint(prefix)
    if GRAPH not in (stored := reader.get_variable_to_shape_map()):
        return {name: reader.get_tensor(name) for name in sorted(stored)}
    graph = TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor(GRAPH))
    arrays: dict[str, np.ndarray] = {}
    seen: Counter[str] = Counter()
    for node in _layers(graph.nodes, _model(graph.nodes)):
        keys = {
            child.local_name: attribute.checkpoint_key
            for child in node.children
            for attribute in graph.nodes[child.node_id].attributes
        }
        kind = next((kind for kind, (first, *_) in KINDS.items() if first in keys), None)
        if kind is None:
            continue
        values = [reader.get_tensor(keys[name]) for name in KINDS[kind] if name in keys]
        if values[0].ndim == 2:
            kind = "dense"
        name = f"{kind}_{seen[kind]}" if seen[kind] else kind
        seen[kind] += 1
        arrays |= {f"{name}/{number}": value for number, value in enumerate(values)}
    return arrays


def config(prefix: str) -> Any:
    """What Keras wrote of the model into a SavedModel, as JSON has it; None in a checkpoint."""
    path = Path(prefix).parent.parent / "keras_metadata.pb"
    if not path.is_file():
        return None
    metadata = SavedMetadata()
    metadata.ParseFromString(path.read_bytes())
    root = next((node.metadata for node in metadata.nodes if node.node_path == "root"), "{}")
    return json.loads(root) or None


def _model(nodes: Any) -> Any:
    """The object nearest to the root that has layers: the root, or what a Checkpoint was given."""
    waiting, seen = [0], {0}
    for number in waiting:
        if any(child.local_name.startswith(LAYER) for child in nodes[number].children):
            return nodes[number]
        for child in nodes[number].children:
            if child.node_id not in seen:
                seen.add(child.node_id)
                waiting.append(child.node_id)
    return nodes[0]


def _layers(nodes: Any, model: Any) -> list[Any]:
    """In the order in which they run, those of models within the model in its place."""
    numbered = {
        int(child.local_name.removeprefix(LAYER)): nodes[child.node_id]
        for child in model.children
        if child.local_name.startswith(LAYER)
    }
    found: list[Any] = []
    for _, node in sorted(numbered.items(), key=lambda item: item[0]):
        found += _layers(nodes, node) or [node]
    return found
