"""Networks made of another library's layers, as people build them around its backbones."""

from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.networks.blocks import InvertedResidual, Stem
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import Conv, Depthwise
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.weights.names import LIBRARIES, convolutions

V2, V3, KERAS_3 = "tf_keras.applications V2", "tf_keras.applications", "keras"
"""Keys of `LIBRARIES`: how the layers of a backbone are called."""

SPEC = NetworkSpec(
    "plain",
    (InvertedResidual(3, 8, 8, 0.0, "relu", 2), InvertedResidual(3, 24, 16, 0.0, "relu", 1)),
    last_conv=32,
    hidden=0,
    stem=Stem(8, activation="relu"),
    last_activation="relu",
    resolution=32,
    num_classes=3,
)
"""A chain of convolutions, each with BatchNorm."""

WITH_HIDDEN = SPEC.replace(hidden=12)


def backbone(keras: Any, naming: str = V2) -> Any:
    """`SPEC` before its pooling, of layers of `keras`: tf_keras, or Keras 3."""
    layers = keras.layers
    names = LIBRARIES[naming].layers(convolutions(SPEC), [])
    called = {conv.name: (name, norm) for conv, name, norm in names}
    image = at = layers.Input((32, 32, 3))
    for op in operators(SPEC):
        if isinstance(op, Conv | Depthwise) and op.role != "logits":
            name, norm = called[op.name]
            if isinstance(op, Conv):
                layer = layers.Conv2D(
                    op.output[-1], op.kernel, op.stride, "same", use_bias=False, name=name
                )
            else:
                layer = layers.DepthwiseConv2D(
                    op.kernel, op.stride, "same", use_bias=False, name=name
                )
            at = layers.BatchNormalization(epsilon=1e-3, name=norm)(layer(at))
            at = layers.ReLU()(at) if op.activation == "relu" else at
    return keras.Model(image, at, name="backbone")


def randomised(model: Any, seed: int = 0) -> Any:
    """Every weight anew, so that each matters to the answers."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            rng.normal(0, (2 / np.prod(value.shape[:-1])) ** 0.5, value.shape)
            if value.ndim > 1
            else rng.uniform(0.5, 1.5, value.shape)
            for value in model.get_weights()
        ]
    )
    return model


def saved(model: Any, folder: Path, form: str) -> str:
    """The path of the model in one of the forms in which Keras writes."""
    path = str(folder / f"model{form}")
    if form == ".weights.h5":
        model.save_weights(path)
    elif form == ".ckpt":
        model.save_weights(path, save_format="tf")
    elif form == "":
        model.save(path, save_format="tf")
    else:
        model.save(path)
    return path


def pictures(count: int = 4) -> np.ndarray:
    """In [-1, 1], (N, 32, 32, 3)."""
    shape = (count, 32, 32, 3)
    return np.random.default_rng(5).uniform(-1, 1, shape).astype(np.float32)


def answers(model: Any, shown: np.ndarray) -> np.ndarray:
    return np.asarray(model(shown, training=False))
