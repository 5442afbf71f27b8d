"""What a task makes of a picture and its label: an example to train on, or one to evaluate on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mnv3_tf.data.augment import Augmentation, training_view
from mnv3_tf.data.decode import decode, evaluation_view
from mnv3_tf.networks.pixels import View

Tensor = Any
Example = tuple[Tensor, Any]
"""A picture, float32 (H, W, 3) in [-1, 1], and its target: a tensor, or a dict of them."""


@dataclass(frozen=True)
class Views:
    """Pure functions of what `Source.load` gives.

    `train` takes (content, label, resolution, seed int64 (2,), augmentation), `evaluate` takes
    (content, label, resolution, view); see `Split.train_batches` and `eval_batches`.
    """

    train: Callable[[Tensor, Any, Any, Tensor, Any], Example]
    evaluate: Callable[[Tensor, Any, Any, View], Example]


def picture_of(content: Tensor) -> Tensor:
    """Encoded bytes (a string scalar) or uint8 (H, W, 3), to the latter."""
    return decode(content) if content.dtype == tf.string else content


def _train_classifier(
    content: Tensor, label: Tensor, resolution: int, seed: Tensor, how: Augmentation
) -> Example:
    return training_view(content, resolution, seed, how), label


def _evaluate_classifier(content: Tensor, label: Tensor, resolution: int, view: View) -> Example:
    return evaluation_view(picture_of(content), resolution, view), label


CLASSIFICATION = Views(_train_classifier, _evaluate_classifier)
