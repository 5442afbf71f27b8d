"""A trained network from wherever it lies: a run folder, or a model's name and a weights file.

A network that another learns from may be a SavedModel too.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from mnv3_tf.errors import UserError
from mnv3_tf.models import build
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.pixels import InputRange, View, recorded_view
from mnv3_tf.tasks import Spec, specs
from mnv3_tf.training.run_folder import Recorded, RunFolder
from mnv3_tf.weights import Weights, assign, dense, read
from mnv3_tf.weights.formats import file_of


@dataclass(frozen=True)
class Trained:
    """A network with its weights; `recorded` is the run.json of a run folder, else None."""

    spec: Spec
    model: tf_keras.Model
    class_names: tuple[str, ...] | None = None
    recorded: Recorded | None = None

    @property
    def view(self) -> View | None:
        """What evaluation saw of a picture in training, where that is known."""
        return recorded_view(self.recorded["preprocessing"]) if self.recorded else None


def load_run(path: str | Path) -> Trained:
    """The best weights of a run. Raises UserError where there are none yet."""
    folder = RunFolder(path)
    recorded = folder.recorded()
    if recorded is None:
        raise UserError(f"{path} is not the folder of a run: it holds no run.json.")
    if not folder.best_weights.exists():
        raise UserError(f"{path} holds no {folder.best_weights.name} yet; train first.")
    spec = specs.from_json(folder.spec.read_text())
    names = tuple(recorded["dataset"]["class_names"])
    loaded = load_weights(spec, str(folder.best_weights))
    return Trained(loaded.spec, loaded.model, names, recorded)


def load_weights(
    spec: Spec, weights: str, input_range: InputRange | None = None, new_head: bool = False
) -> Trained:
    """A whole network, head included; with `new_head` a file without one is taken too.

    `input_range` is what the weights take pixels as, where nothing says so. Of detectors and
    segmentation networks, the weights are those that `train.py` writes. Raises UserError if the
    file has no head, or another's.
    """
    if spec.backbone is not spec:
        model = build(spec)
        _assign_dense(model, spec, weights)
        return Trained(spec, model)
    loaded = read(weights, spec.backbone, input_range)
    if "logits" not in loaded.layers:
        _require_new_head(loaded, weights, spec.num_classes, new_head)
    model = build(loaded.spec)
    assign(model, loaded)
    return Trained(loaded.spec, model)


def _require_new_head(loaded: Weights, weights: str, classes: int, allowed: bool) -> None:
    """Raises UserError unless the head may be new, and the file has none."""
    if loaded.why_fresh:
        raise UserError(
            f"{weights} has no head of {classes} classes that can be used: {loaded.why_fresh}; "
            "give the --num_classes that it has, or train a new head by train.py --weights."
        )
    if not allowed:
        raise UserError(
            f"{weights} has no head, and so no answers; train one by train.py --weights={weights}."
        )
    print(f"{weights}: without a trained head answers mean nothing.", file=sys.stderr)


def reload(model: tf_keras.Model, spec: Spec, weights: str) -> None:
    """Sets a model of `spec` to weights that it had when `train.py` wrote them."""
    if spec.backbone is spec:
        assign(model, read(weights, spec.backbone))
    else:
        _assign_dense(model, spec, weights)


def _assign_dense(model: tf_keras.Model, spec: Spec, weights: str) -> None:
    if not file_of(weights).is_file():
        raise UserError(f"The weights file {weights} does not exist.")
    layers = dense.read(weights)
    if layers is None:
        raise UserError(
            f"{weights} holds no network of --task={spec.task}; give the best.weights.h5 of a run."
        )
    dense.assign(model, layers, weights)


# -- teachers --------------------------------------------------------------------------------

Teacher = Callable[[Any], Any]
"""Pictures (N, resolution, resolution, 3) in [-1, 1] to scores before the softmax."""


def load_teacher(name: str, num_classes: int, resolution: int) -> Teacher:
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
