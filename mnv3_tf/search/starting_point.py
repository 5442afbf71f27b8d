"""The trained classifier that a search begins with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv3_tf.data.sources import open_dataset
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.candidates import Start
from mnv3_tf.search.settings import Named, NetAdaptSettings
from mnv3_tf.tasks import CLASSIFY, Spec
from mnv3_tf.tasks.specs import make_spec
from mnv3_tf.training import recipe as recipes
from mnv3_tf.training import trained
from mnv3_tf.training.recipe import Recipe


@dataclass(frozen=True)
class StartingPoint:
    """A network with its weights; `recipe` is how its successors are trained, on `dataset`.

    `seed` is that of the dataset's splits, `held_out` the part of the training set that the
    network has not seen; None where that is not known.
    """

    spec: NetworkSpec
    model: Any
    recipe: Recipe
    dataset: str
    data_dir: str | None
    seed: int
    held_out: float | None

    def write(self, path: Path) -> Start:
        with atomic_write(path) as temporary:
            self.model.save_weights(temporary)
        return Start(self.spec, path)


def load_starting_point(settings: NetAdaptSettings) -> StartingPoint:
    """The run folder, or the model with its weights; dataset, data_dir and recipe override.

    Raises UserError where they are no trained classifier.
    """
    return _of_run(settings, settings.run) if settings.run else _of_weights(settings)


def _of_run(settings: NetAdaptSettings, run: str) -> StartingPoint:
    loaded = trained.load_run(run)
    assert loaded.recorded
    spec, recorded = require_classifier(loaded.spec), loaded.recorded["settings"]
    own = recipes.from_record(loaded.recorded["recipe"])
    return StartingPoint(
        spec,
        loaded.model,
        recipes.load(settings.recipe) if settings.recipe else own,
        settings.dataset or recorded["dataset"],
        settings.data_dir or recorded["data_dir"],
        # Another would divide the pictures anew, into those that it was trained on.
        loaded.recorded["seed"],
        recorded.get("held_out", 0.0),
    )


def _of_weights(settings: NetAdaptSettings) -> StartingPoint:
    assert settings.weights
    assert settings.dataset
    spec = named_classifier(settings, pretrained=True)
    dataset = open_dataset(
        settings.dataset, data_dir=settings.data_dir, resolution=spec.resolution, training=True
    )
    loaded = trained.load_weights(spec.replace(num_classes=dataset.num_classes), settings.weights)
    return StartingPoint(
        require_classifier(loaded.spec),
        loaded.model,
        recipes.load(settings.recipe or "finetune"),
        settings.dataset,
        settings.data_dir,
        settings.seed,
        None,
    )


def named_classifier(settings: Named, pretrained: bool = False) -> NetworkSpec:
    """Raises UserError for a name that is unknown, or that of another task."""
    return require_classifier(make_spec(settings, settings, pretrained))


def require_classifier(spec: Spec) -> NetworkSpec:
    """Raises UserError for the spec of another task."""
    if spec.task != CLASSIFY.name:
        raise UserError(
            f"Searches take classifiers, not networks of --task={spec.task}; take a classifier, "
            f"and give its spec.json to train.py --task={spec.task} --model=."
        )
    return spec.backbone
