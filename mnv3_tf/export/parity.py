"""Does an exported file answer as the trained network does, and where does it part from it?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from mnv3_tf.tflite.numeric_error import decibels, divergences, softmax
from mnv3_tf.tflite.runtime import TFLiteModel
from mnv3_tf.tflite.tensors import LayerTensors, counted

MOST_STEPS = 2
MOST_BEYOND_ONE_STEP = 0.001


@dataclass(frozen=True)
class Parity:
    """Top-1 of the trained network and of the file on the same pictures, from 0 to 1.

    `agreement` is the part of the pictures to which both give the same class; `divergence` the
    mean Kullback-Leibler divergence from the trained network's probabilities to the file's, in
    nats. `top1_simulated` is the fake-quantised network's, `agreement_simulated` its with the
    file; None if it was not given. Without pictures all are None.
    """

    images: int
    top1_float: float | None
    top1_exported: float | None
    agreement: float | None
    top1_simulated: float | None = None
    agreement_simulated: float | None = None
    divergence: float | None = None


def compare_answers(
    trained: tf_keras.Model,
    exported: TFLiteModel,
    batches: Iterable[tuple[Any, Any]],
    simulated: tf_keras.Model | None = None,
    output: str = "probabilities",
) -> Parity:
    """All on `batches` of (images in [-1, 1], labels).

    `trained` and `simulated`, the fake-quantised network that `exported` was made from, give
    logits; `output` says what the file gives.
    """
    images = right_float = right_exported = right_simulated = same = same_simulated = 0
    divergence = 0.0
    for pictures, labels in batches:
        labels = np.asarray(labels)
        ours = np.asarray(trained(pictures, training=False))
        answers = exported.predict(np.asarray(pictures))
        expected, answered = ours.argmax(-1), answers.argmax(-1)
        images += len(labels)
        right_float += int((expected == labels).sum())
        right_exported += int((answered == labels).sum())
        same += int((expected == answered).sum())
        probabilities = softmax(answers) if output == "logits" else answers
        divergence += float(divergences(softmax(ours), probabilities).sum())
        if simulated is not None:
            rounded = np.asarray(simulated(exported.input.seen(pictures), training=False)).argmax(
                -1
            )
            right_simulated += int((rounded == labels).sum())
            same_simulated += int((rounded == answered).sum())
    if images == 0:
        return Parity(0, None, None, None)
    return Parity(
        images,
        right_float / images,
        right_exported / images,
        same / images,
        None if simulated is None else right_simulated / images,
        None if simulated is None else same_simulated / images,
        divergence / images,
    )


def layer_sqnr(
    path: str | Path, lowered: tf_keras.Model, images: np.ndarray
) -> list[dict[str, Any]]:
    """Signal to quantisation noise of the layers of a file, in decibels, in running order.

    `lowered` is the float model that was converted, `images` a few pictures (N, H, W, 3) in
    [-1, 1]. [{"name": layer, "sqnr_db": value}]; what a h-swish that follows erases, below -3,
    is left out.
    """
    file = LayerTensors(path)
    known = {layer.name for layer in lowered.layers}
    layers = [layer for layer in file.layers if layer.name in known]
    names = [layer.name for layer in layers]
    reference = tf_keras.Model(lowered.inputs, {n: lowered.get_layer(n).output for n in names})
    signal, noise = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for image in images:
        expected = reference(image[None], training=False)
        file.run(image)
        for layer in layers:
            value = file.value(layer)
            target = expected[layer.name].numpy().reshape(value.shape)
            mask = counted(layer.name, known, target)
            error = (target - value) * mask
            signal[layer.name] += float(np.square(target * mask, dtype=np.float64).sum())
            noise[layer.name] += float(np.square(error, dtype=np.float64).sum())
    return [{"name": n, "sqnr_db": decibels(signal[n], noise[n])} for n in names]


# -- the file and the fake-quantised network -------------------------------------------------


def layer_steps(
    path: str | Path, simulated: tf_keras.Model, images: np.ndarray
) -> list[dict[str, Any]]:
    """How many steps of its int8 tensor each layer of a file is off, in running order.

    `simulated` is the fake-quantised model that was converted; `images` are (N, H, W, 3) in
    [-1, 1]. In the end the two differ in any deep network, since a value half way between two
    steps may fall to either side and later layers magnify that. So each Keras layer is run on
    what *the file* computed up to it: what differs then is the layer's own doing.

    [{"name", "op", "max_steps", "share_beyond_one_step", "steps_off"}]: the first two figures are
    the layer's own. "steps_off" is the part of the values that are more than a step off when
    both networks run from the pictures, flips that were handed down included.
    """
    file = LayerTensors(path)
    stored: dict[str, list[np.ndarray]] = {layer.name: [] for layer in file.layers}
    for image in images:
        file.run(image)
        for layer in file.layers:
            stored[layer.name].append(file.stored(layer)[0])
    rounded = _rounded(simulated)
    tensors = {
        layer.name: layer
        for layer in file.layers
        if layer.info.scale is not None and layer.name in rounded
    }
    seen = file.input.seen(images)
    alone: dict[str, Any] = {}  # outputs of the Keras layers, the file's in their place if known
    together: dict[str, Any] = {}
    rows = {}
    for layer in simulated.layers:
        if isinstance(layer, tf_keras.layers.InputLayer):
            alone[layer.name] = together[layer.name] = seen
            continue
        alone[layer.name] = _call(layer, alone)
        together[layer.name] = _call(layer, together)
        name = layer.name.removeprefix("quant_")
        if name in tensors:
            info = tensors[name].info
            value = info.dequantize(np.stack(stored[name])).reshape(alone[layer.name].shape)
            own = _steps(alone[layer.name], value, info.scale)
            handed_down = _steps(together[layer.name], value, info.scale)
            rows[name] = {
                "name": name,
                "op": tensors[name].op,
                "max_steps": int(own.max()),
                "share_beyond_one_step": float((own > 1).mean()),
                "steps_off": float((handed_down > 1).mean()),
            }
            alone[layer.name] = value
    return [rows[name] for name in tensors]


def first_parting(
    path: str | Path, simulated: tf_keras.Model, images: np.ndarray
) -> dict[str, Any] | None:
    """The first layer of a file that computes something else than its fake-quantised twin.

    Arguments are those of `layer_steps`, whose row comes back; None if no layer does.
    """
    return parting_of(layer_steps(path, simulated, images))


def parting_of(steps: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The first of `layer_steps` that is more than rounding, or None.

    An integer kernel may round any value to the other side: one step. No layer of the released
    Small goes beyond that, but some kernels round several times over; so one value in a thousand
    may be two steps off.
    """
    for row in steps:
        if row["max_steps"] > MOST_STEPS or row["share_beyond_one_step"] > MOST_BEYOND_ONE_STEP:
            return row
    return None


def _rounded(simulated: tf_keras.Model) -> set[str]:
    """Names of the layers that round what they give; the others leave that to a reader of theirs.

    Stretching is among the others: TFLite's own kernel places pixels to a thousandth of the picture
    only, which XNNPACK does better.
    """
    schemes = ((layer.name, getattr(layer, "quantize_config", None)) for layer in simulated.layers)
    return {
        name.removeprefix("quant_")
        for name, scheme in schemes
        if scheme and scheme.output is not None
    }


def _call(layer: Any, values: dict[str, Any]) -> Any:
    sources = layer.inbound_nodes[0].inbound_layers
    if isinstance(sources, list):
        return layer([values[source.name] for source in sources], training=False)
    return layer(values[sources.name], training=False)


def _steps(expected: Any, found: np.ndarray, scale: float | None) -> np.ndarray:
    assert scale is not None
    return np.rint(np.abs(np.asarray(expected) - found) / scale)
