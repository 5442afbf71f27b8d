"""Does an exported file answer as the trained network does, and where does it part from it?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from mnv3_tf.detection.coco_metrics import Evaluator
from mnv3_tf.detection.postprocess import agreement
from mnv3_tf.networks.lraspp import SegmenterSpec
from mnv3_tf.networks.ssdlite import DetectorSpec
from mnv3_tf.segmentation import IGNORED, confusion, summary
from mnv3_tf.tasks.task import Batches, Parity, pair
from mnv3_tf.tflite.numeric_error import decibels, divergences, softmax
from mnv3_tf.tflite.predictor import open_model
from mnv3_tf.tflite.reports import LayerNoise, LayerSteps
from mnv3_tf.tflite.runtime import TFLiteModel
from mnv3_tf.tflite.tensors import LayerTensors, counted
from mnv3_tf.training import detection, segmentation

MOST_STEPS = 2
MOST_BEYOND_ONE_STEP = 0.001


# -- answers ---------------------------------------------------------------------------------


def compare_answers(
    trained: tf_keras.Model,
    exported: TFLiteModel,
    batches: Batches,
    simulated: tf_keras.Model | None = None,
    output: str = "probabilities",
) -> Parity:
    """A classifier and its file: "top1", and how many pictures get the same class from both.

    `trained` and `simulated`, the fake-quantised network that `exported` was made from, give
    logits; `output` says what the file gives. Pictures with a label below 0 count for "top1" no
    more than if they were not there.
    """
    images = labelled = right_float = right_exported = right_simulated = same = same_simulated = 0
    divergence = 0.0
    for pictures, labels in batches:
        labels = np.asarray(labels)
        ours = np.asarray(trained(pictures, training=False))
        answers = exported.predict(np.asarray(pictures))
        expected, answered = ours.argmax(-1), answers.argmax(-1)
        images += len(labels)
        labelled += int((labels >= 0).sum())
        right_float += int((expected == labels).sum())
        right_exported += int((answered == labels).sum())
        same += int((expected == answered).sum())
        probabilities = softmax(answers) if output == "logits" else answers
        divergence += float(divergences(softmax(ours), probabilities).sum())
        if simulated is not None:
            logits = np.asarray(simulated(exported.input.seen(pictures), training=False))
            right_simulated += int((logits.argmax(-1) == labels).sum())
            same_simulated += int((logits.argmax(-1) == answered).sum())

    def mean(total: float, count: int) -> float | None:
        return total / count if count else None

    of_simulated = {
        "top1": mean(right_simulated, labelled),
        "agreement": mean(same_simulated, images),
    }
    return Parity(
        images,
        {"top1": pair(mean(right_float, labelled), mean(right_exported, labelled))},
        mean(same, images),
        mean(divergence, images),
        {} if simulated is None else of_simulated,
    )


def compare_detections(
    spec: DetectorSpec, trained: tf_keras.Model, path: Path, batches: Batches
) -> Parity:
    """A detector and its file: "map" and "map50", and how many of the network's detections, of
    scores from 0.5 on, the file gives too (`detection.postprocess.agreement`).
    """
    file, keras = open_model(path), detection.detector_of(spec, trained)
    evaluators = [Evaluator(spec.num_classes) for _ in range(2)]
    images = agreed = expected = 0
    for pictures, targets in batches:
        truth = {name: np.asarray(value) for name, value in targets.items()}
        answers = keras(pictures), file.detect(np.asarray(pictures))
        for evaluator, detections in zip(evaluators, answers, strict=True):
            detection.add(evaluator, detections, truth)
        for ours, theirs in zip(*answers, strict=True):
            same, count = agreement(ours, theirs)
            agreed, expected = agreed + same, expected + count
        images += len(pictures)
    results = [e.result() if images else {} for e in evaluators]
    metrics = {name: pair(*(r.get(name) for r in results)) for name in ("map", "map50")}
    return Parity(images, metrics, agreed / expected if expected else None)


def compare_masks(
    spec: SegmenterSpec, trained: tf_keras.Model, path: Path, batches: Batches
) -> Parity:
    """A segmentation network and its file: "miou" and "pixel_accuracy", and how many pixels get the
    same class from both, ignored ones left out.
    """
    file, keras = open_model(path), segmentation.segmenter_of(trained)
    matrices = [np.zeros((spec.num_classes, spec.num_classes), np.int64) for _ in range(2)]
    images = same = pixels = 0
    for pictures, labels in batches:
        labels = np.asarray(labels)
        answers = np.asarray(keras(pictures)), file.segment(np.asarray(pictures))
        for matrix, classes in zip(matrices, answers, strict=True):
            matrix += np.asarray(confusion(labels, classes, spec.num_classes))
        real = labels != IGNORED
        same += int((answers[0] == answers[1])[real].sum())
        pixels += int(real.sum())
        images += len(labels)
    results = [summary(matrix) if images else {} for matrix in matrices]
    metrics = {name: pair(*(r.get(name) for r in results)) for name in ("miou", "pixel_accuracy")}
    return Parity(images, metrics, same / pixels if pixels else None)


# -- layers ----------------------------------------------------------------------------------


def layer_sqnr(path: str | Path, lowered: tf_keras.Model, images: np.ndarray) -> list[LayerNoise]:
    """Signal to quantisation noise of the layers of a file, in decibels, in running order.

    `lowered` is the float model that was converted, `images` a few pictures (N, H, W, 3) in
    [-1, 1]. What a h-swish that follows erases, below -3, is left out.
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
) -> list[LayerSteps]:
    """How many steps of its int8 tensor each layer of a file is off, in running order.

    `simulated` is the fake-quantised model that was converted; `images` are (N, H, W, 3) in
    [-1, 1]. In the end the two differ in any deep network, since a value half way between two
    steps may fall to either side and later layers magnify that. So each Keras layer is run on
    what *the file* computed up to it: what differs then is the layer's own doing.

    "max_steps" and "share_beyond_one_step" are the layer's own. "steps_off" is the part of the
    values that are more than a step off when both networks run from the pictures, flips that were
    handed down included.
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
    seen = file.picture.info.seen(images)
    alone: dict[str, Any] = {}  # outputs of the Keras layers, the file's in their place if known
    together: dict[str, Any] = {}
    rows: dict[str, LayerSteps] = {}
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
) -> LayerSteps | None:
    """The first layer of a file that computes something else than its fake-quantised twin.

    Arguments are those of `layer_steps`, whose row comes back; None if no layer does.
    """
    return parting_of(layer_steps(path, simulated, images))


def parting_of(steps: Sequence[LayerSteps]) -> LayerSteps | None:
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


def _steps(expected: Any, given: np.ndarray, scale: float | None) -> np.ndarray:
    assert scale is not None
    return np.rint(np.abs(np.asarray(expected) - given) / scale)
