"""From a trained network to a fake-quantised one, by post-training quantisation or by training.

The order: dead squeeze-excite parts go (`simplify`), BatchNorm and constant factors are folded
(`lowering`), channels are made alike (`equalization`), ranges are chosen (`calibration`), and the
float network teaches the result (`distillation`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tf_keras

from mnv3_tf import weights as weight_files
from mnv3_tf.models import build
from mnv3_tf.networks.activations import Lowering
from mnv3_tf.networks.cost import cost
from mnv3_tf.quantization import aware_training, post_training
from mnv3_tf.quantization.calibration import calibrate
from mnv3_tf.quantization.distillation import Distiller, divergence_from, features_of
from mnv3_tf.quantization.equalization import channel_gains
from mnv3_tf.quantization.lowering import lower_weights, lowered_model
from mnv3_tf.quantization.scheme import Range, fake_quantized, round_biases
from mnv3_tf.quantization.simplify import simplify
from mnv3_tf.tasks import Spec, task_of
from mnv3_tf.tflite.reports import Int8Notes, StemTrial

TRIAL_IMAGES = 32  # decide whether the stem's second gate is worth its time
WORTH_ITS_TIME = 0.75  # of the divergence without it
FEWEST_PICTURES = post_training.FEWEST_PICTURES
ALIKE = 0.01  # mean deviation of a pixel, in [-1, 1], over pictures that show nothing new
WIDEST_RANGE = 1e4
STEMS: tuple[Lowering, ...] = ("composite", "equalized")


@dataclass(frozen=True)
class Training:
    """What "qat" needs beside the network: pictures, how long, and where to keep checkpoints.

    `pictures` names them, so that checkpoints of a training on others are not taken up.
    """

    batches: aware_training.TrainingBatches
    pictures: str = ""
    steps: int = aware_training.STEPS
    checkpoints: Path | None = None


@dataclass(frozen=True)
class Int8:
    """`lowered` in float; `quantized` with its values rounded as int8 will round them.

    `notes` say for the report what was done, with figures.
    """

    lowered: tf_keras.Model
    quantized: tf_keras.Model
    lowering: Lowering
    ranges: Mapping[str, Range]
    notes: Int8Notes


def quantize(
    spec: Spec,
    trained: tf_keras.Model,
    lowering: Lowering,
    may_equalize_stem: bool,
    pictures: np.ndarray,
    training: Training | None = None,
) -> Int8:
    """The network in int8: by quantisation-aware training if `training` is given.

    Args:
      lowering: of h-swish. With `may_equalize_stem`, "composite" becomes "equalized" where that
        brings the answers so much nearer to the float network's that it is worth its time.
      pictures: for calibration, (N, H, W, 3) in [-1, 1], without labels.

    Raises UserError for pictures or weights that cannot be worked with.
    """
    answer = task_of(spec).distribution(spec)
    slim = simplify(spec.backbone, weight_files.collect(trained))
    network, slim_spec = trained, spec.with_backbone(slim.spec)
    if any(slim.notes.values()):
        network = build(slim_spec)
        weight_files.assign_layers(network, slim.weights)
    notes: Int8Notes = {"simplified": slim.notes}
    tried: Int8 | None = None
    if (
        may_equalize_stem
        and lowering == "composite"
        and spec.backbone.stem.activation == "hard_swish"
    ):
        print("Trying both stems ...", flush=True)
        tried, notes["stem"] = _choose_stem(slim_spec, network, pictures[:TRIAL_IMAGES])
        lowering = tried.lowering
    print(f"Choosing ranges on {len(pictures)} pictures ...", flush=True)
    if tried and len(pictures) <= TRIAL_IMAGES:
        calibrated = tried
    else:
        calibrated = _calibrated(slim_spec, network, lowering, pictures)
    notes["warnings"] = find_warnings(pictures, calibrated.ranges)
    if training:
        distiller = Distiller(
            calibrated.quantized,
            calibrated.lowered,
            calibrated.ranges,
            aware_training.RATES,
            training.steps,
            features_of(slim_spec),
            answer,
        )
        job = {
            "spec": spec.hash,
            "weights": _digest(trained.get_weights()),
            "calibration": _digest([pictures[:TRIAL_IMAGES]]),
            "pictures": training.pictures,
            "lowering": lowering,
            "steps": training.steps,
        }
        aware_training.train(distiller, training.batches, training.steps, training.checkpoints, job)
        notes["qat_steps"] = training.steps
    else:
        print("Tuning biases ...", flush=True)
        steps = post_training.steps_for(cost(slim_spec).madds)
        tuned = post_training.tune(
            calibrated.quantized,
            calibrated.lowered,
            calibrated.ranges,
            pictures,
            features_of(slim_spec),
            steps,
            answer=answer,
        )
        notes["bias_correction"] = (
            None if tuned is None else {"before": tuned.before, "after": tuned.after}
        )
    round_biases(calibrated.quantized)
    return replace(calibrated, notes=notes)


def find_warnings(pictures: np.ndarray, ranges: Mapping[str, Range]) -> list[str]:
    """Reasons to trust the ranges less, each with its figure."""
    warnings = []
    if len(pictures) < FEWEST_PICTURES:
        s = "" if len(pictures) == 1 else "s"
        warnings.append(
            f"Calibrated on {len(pictures)} picture{s}: ranges of rare values are guesses, and "
            f"biases are not tuned; give at least {FEWEST_PICTURES}."
        )
    spread = float(np.std(pictures[:TRIAL_IMAGES], 0).mean())
    if len(pictures) > 1 and spread < ALIKE:
        warnings.append(
            f"The calibration pictures are all alike (their pixels differ by {spread:.4f} of 2); "
            "give pictures of everything that the network will see."
        )
    low, high = max(ranges.values(), key=lambda limits: limits[1] - limits[0])
    widest = next(name for name, limits in ranges.items() if limits == (low, high))
    if high - low > WIDEST_RANGE:
        warnings.append(
            f"Layer {widest} ranges from {low:.4g} to {high:.4g}, an int8 step of "
            f"{(high - low) / 255:.4g}: the network may have diverged in training."
        )
    return warnings


def _choose_stem(
    spec: Spec, network: tf_keras.Model, pictures: np.ndarray
) -> tuple[Int8, StemTrial]:
    """Tries both stems, and keeps the cheap one unless the other is worth its time."""
    tried = {lowering: _calibrated(spec, network, lowering, pictures) for lowering in STEMS}
    divergence: dict[str, float] = {
        lowering: divergence_from(made.lowered, made.quantized, task_of(spec).distribution(spec))(
            pictures
        )
        for lowering, made in tried.items()
    }
    worth = divergence["equalized"] < WORTH_ITS_TIME * divergence["composite"]
    chosen: Lowering = "equalized" if worth else "composite"
    return tried[chosen], {"chosen": chosen, "divergence": divergence}


def _calibrated(
    spec: Spec, network: tf_keras.Model, lowering: Lowering, pictures: np.ndarray
) -> Int8:
    lowered = lowered_model(spec, network, lowering)
    if gains := channel_gains(spec.backbone, lowered, lowering, pictures):
        scaled = lower_weights(spec, weight_files.collect(network), lowering, gains)
        weight_files.assign_layers(lowered, scaled)
    ranges = calibrate(lowered, pictures, answer=task_of(spec).distribution(spec))
    return Int8(lowered, fake_quantized(lowered, ranges), lowering, ranges, {})


def _digest(arrays: Sequence[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
