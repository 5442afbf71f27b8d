"""Does an exported file answer as the trained network does, and where does it part from it?"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from mnv3_tf.export.runtime import TFLiteModel, open_interpreter, tensor_info

SQNR_LIMIT_DB = 150.0  # where two float tensors are the same


@dataclass(frozen=True)
class Parity:
    """Top-1 of the trained network and of the file on the same pictures, from 0 to 1.

    `agreement` is the part of the pictures to which both give the same class. Without pictures
    all three are None.
    """

    images: int
    top1_float: float | None
    top1_exported: float | None
    agreement: float | None


def compare_answers(
    trained: tf_keras.Model, exported: TFLiteModel, batches: Iterable[tuple[Any, Any]]
) -> Parity:
    """Both on `batches` of (images in [-1, 1], labels)."""
    images = right_float = right_exported = same = 0
    for pictures, labels in batches:
        expected = np.argmax(trained(pictures, training=False), -1)
        answered = exported.predict(np.asarray(pictures)).argmax(-1)
        labels = np.asarray(labels)
        images += len(labels)
        right_float += int((expected == labels).sum())
        right_exported += int((answered == labels).sum())
        same += int((expected == answered).sum())
    if images == 0:
        return Parity(0, None, None, None)
    return Parity(images, right_float / images, right_exported / images, same / images)


def layer_sqnr(
    path: str | Path, lowered: tf_keras.Model, images: np.ndarray
) -> list[dict[str, Any]]:
    """Signal to quantisation noise of the layers of a file, in decibels, in running order.

    `lowered` is the float model that was converted, `images` a few pictures (N, H, W, 3) in
    [-1, 1]. [{"name": layer, "sqnr_db": value}]; the file runs on TFLite's built-in kernels,
    since a delegate does not show what is inside it.
    """
    interpreter = open_interpreter(path, delegate=False, keep_tensors=True)
    interpreter.allocate_tensors()
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    produced: dict[str, int] = {}
    layers = {layer.name for layer in lowered.layers}
    for operator in interpreter._get_ops_details():
        if operator["op_name"] == "DEQUANTIZE":
            continue  # float16 kernels, which have names of layers too
        for index in operator["outputs"]:
            # "small/quant_conv/BiasAdd;...": the converter keeps the layer's name.
            parts = tensors[index]["name"].split(";")[0].split("/")
            name = parts[1].removeprefix("quant_") if len(parts) > 1 else ""
            if name in layers:
                produced[name] = index
    reference = tf_keras.Model(lowered.inputs, {n: lowered.get_layer(n).output for n in produced})
    image_input = interpreter.get_input_details()[0]
    signal = dict.fromkeys(produced, 0.0)
    noise = dict.fromkeys(produced, 0.0)
    for image in images:
        expected = reference(image[None], training=False)
        stored = tensor_info(image_input).quantize(image[None])
        interpreter.set_tensor(image_input["index"], stored)
        interpreter.invoke()
        for name, index in produced.items():
            info = tensor_info(tensors[index])
            value = info.dequantize(interpreter.get_tensor(index))
            target = expected[name].numpy().reshape(value.shape)
            signal[name] += float(np.square(target, dtype=np.float64).sum())
            noise[name] += float(np.square(target - value, dtype=np.float64).sum())
    return [{"name": n, "sqnr_db": _decibels(signal[n], noise[n])} for n in produced]


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return SQNR_LIMIT_DB
    if signal == 0:
        return -SQNR_LIMIT_DB
    value = 10 * np.log10(signal / noise)
    return round(float(np.clip(value, -SQNR_LIMIT_DB, SQNR_LIMIT_DB)), 1)
