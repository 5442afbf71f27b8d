"""The network that a distilled one learns from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from mnv3_tf.errors import UserError
from mnv3_tf.networks.named import resolve
from mnv3_tf.training.trained import load_run, load_weights

Teacher = Callable[[Any], Any]
"""Pictures (N, resolution, resolution, 3) in [-1, 1] to scores before the softmax."""


def load(name: str, num_classes: int, resolution: int) -> Teacher:
    """A run folder, a SavedModel's folder, or MODEL:WEIGHTS ("large:imagenet").

    A SavedModel is a program that TensorFlow runs: load only what you trust. It takes pictures as
    ours do and returns scores before the softmax.

    Raises:
      UserError: nothing of the kind, or another number of classes.
    """
    path = Path(name)
    if (path / "run.json").exists():
        teacher = _frozen(load_run(path).model)
    elif (path / "saved_model.pb").exists():
        teacher = _saved_model(path)
    elif ":" in name:
        model, _, weights = name.partition(":")
        spec = resolve(model, resolution=resolution, num_classes=num_classes)
        teacher = _frozen(load_weights(spec, weights).model)
    else:
        raise UserError(
            f"--teacher={name} is neither a run folder nor a SavedModel; give one of them, or "
            "MODEL:WEIGHTS."
        )
    try:
        shape = teacher(tf.zeros((1, resolution, resolution, 3))).shape
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"--teacher={name} cannot read pictures of {resolution} x {resolution} "
            f"({str(error).splitlines()[0]}); train with the --resolution that it was made for."
        ) from None
    if tuple(shape) != (1, num_classes):
        raise UserError(
            f"--teacher={name} gives answers of shape {tuple(shape)[1:]}, but the dataset has "
            f"{num_classes} classes; give a teacher of the same classes."
        )
    return teacher


def _frozen(model: Any) -> Teacher:
    model.trainable = False
    return lambda images: model(images, training=False)


def _saved_model(path: Path) -> Teacher:
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    (output,) = signature.structured_outputs

    def answer(images: Any) -> Any:
        return signature(**{name: images})[output]

    answer.kept = loaded  # type: ignore[attr-defined]  # else its variables would go
    return answer
