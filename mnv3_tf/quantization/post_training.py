"""The last step of post-training quantisation: biases tuned for some seconds, without labels.

On MobileNetV3-Small it halves the divergence from the float network. It replaces bias correction
layer by layer (Nagel et al. 2019, section 4.2), which knows means alone, not what they do to the
answer.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.quantization.calibration import batch_size
from mnv3_tf.quantization.distillation import Distiller, Rates, divergence_from
from mnv3_tf.quantization.distributions import Distribution
from mnv3_tf.quantization.scheme import Range

STEPS = 120  # of a network that costs
STEPS_MADDS = 57e6  # as MobileNetV3-Small at 224x224 does; a larger one gets fewer
FEWEST_STEPS = 40
BATCH = 16
RATES = Rates(bias=1e-4)
HELD_OUT = 0.2  # of the pictures, on which it must help
FEWEST_PICTURES = 4 * BATCH


@dataclass(frozen=True)
class Divergence:
    """From the float network (Kullback-Leibler, nats), on pictures held out from the tuning."""

    before: float
    after: float


def steps_for(madds: int) -> int:
    """Steps such that tuning takes about as long for any network: seconds, not minutes."""
    return max(FEWEST_STEPS, min(STEPS, round(STEPS * STEPS_MADDS / madds)))


def tune(
    quantized: tf_keras.Model,
    lowered: tf_keras.Model,
    ranges: Mapping[str, Range],
    images: np.ndarray,
    features: Collection[str],
    steps: int = STEPS,
    seed: int = 0,
    answer: Distribution | None = None,
) -> Divergence | None:
    """Tunes the biases of a fake-quantised model in place.

    Args:
      quantized: what `scheme.fake_quantized` made of `lowered` and `ranges`.
      lowered: the float model.
      ranges: of the int8 tensors, by layer.
      images: calibration pictures, (N, H, W, 3) in [-1, 1].
      features: layers whose outputs are compared.
      answer: what the networks give, a classifier's logits if None.

    Returns:
      What it brought. Biases that did not help are put back, and then `after` is `before`.
      None if there are too few pictures to hold some out: nothing is changed.
    """
    if len(images) < FEWEST_PICTURES:
        return None
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    count = int(HELD_OUT * len(images))
    held_out, tuned = images[order[:count]], order[count:]
    distiller = Distiller(quantized, lowered, ranges, RATES, steps, features, answer)
    divergence = divergence_from(lowered, quantized, answer)
    batch = batch_size(images.shape[1:3], BATCH)
    before = divergence(held_out)
    for _ in range(steps):
        distiller.step(tf.constant(images[rng.choice(tuned, batch)]))
    after = divergence(held_out)
    if after < before:
        return Divergence(before, after)
    distiller.put_back()
    return Divergence(before, before)
