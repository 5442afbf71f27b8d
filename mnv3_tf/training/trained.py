"""A trained network from wherever it lies: a run folder, or a model's name and a weights file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tf_keras

from mnv3_tf.errors import UserError
from mnv3_tf.models import build
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.tasks import specs
from mnv3_tf.tasks.specs import Spec
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.weights import assign, dense, read


@dataclass(frozen=True)
class Trained:
    """A network with its weights; `recorded` is the run.json of a run folder, else None."""

    spec: Spec
    model: tf_keras.Model
    class_names: tuple[str, ...] | None = None
    recorded: dict[str, Any] | None = None


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


def load_weights(spec: Spec, weights: str) -> Trained:
    """A whole network, head included. Raises UserError if the file's head is another's.

    Of detectors and segmentation networks, the weights are those that `train.py` writes.
    """
    if not isinstance(spec, NetworkSpec):
        return Trained(spec, _with_own_weights(spec, weights))
    found = read(weights, spec)
    if "logits" not in found.layers:
        raise UserError(
            f"{weights} has no head of {spec.num_classes} classes; give the --num_classes that "
            "it has."
        )
    model = build(found.spec)
    assign(model, found)
    return Trained(found.spec, model)


def _with_own_weights(spec: Spec, weights: str) -> tf_keras.Model:
    if not Path(weights).is_file():
        raise UserError(f"The weights file {weights} does not exist.")
    layers = dense.read(weights)
    if layers is None:
        raise UserError(
            f"{weights} holds no network of --task={spec.task}; give the best.weights.h5 of a run."
        )
    model = build(spec)
    dense.assign(model, layers, weights, whole=True)
    return model
