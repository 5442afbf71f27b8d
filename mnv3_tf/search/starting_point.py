"""The trained classifier that a search begins with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import flags

from mnv3_tf.data import open_dataset
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.short_training import Start
from mnv3_tf.tasks import CLASSIFY, Spec
from mnv3_tf.tasks.flags import network_spec
from mnv3_tf.training import recipe as recipes
from mnv3_tf.training import trained
from mnv3_tf.training.recipe import Recipe


@dataclass(frozen=True)
class Seed:
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


def read_seed(args: flags.FlagValues) -> Seed:
    """What --run names, or --model with --weights; --dataset, --data_dir and --recipe override.

    Raises UserError where the flags name no trained classifier with its dataset.
    """
    if bool(args.run) == bool(args.model):
        raise UserError("Give the seed as --run=FOLDER, or as --model with --weights: one of both.")
    return _of_run(args) if args.run else _of_weights(args)


def _of_run(args: flags.FlagValues) -> Seed:
    found = trained.load_run(args.run)
    assert found.recorded
    spec, settings = require_classifier(found.spec), found.recorded["settings"]
    own = recipes.from_record(found.recorded["recipe"])
    return Seed(
        spec,
        found.model,
        recipes.load(args.recipe) if args.recipe else own,
        args.dataset or settings["dataset"],
        args.data_dir or settings["data_dir"],
        # Another would divide the pictures anew, into those that it was trained on.
        found.recorded["seed"],
        settings.get("held_out", 0.0),
    )


def _of_weights(args: flags.FlagValues) -> Seed:
    if not args.weights or not args.dataset:
        raise UserError("--model needs --weights and --dataset; or give a run folder as --run.")
    spec = require_classifier(network_spec(args, pretrained=True))
    dataset = open_dataset(
        args.dataset, data_dir=args.data_dir, resolution=spec.resolution, training=True
    )
    found = trained.load_weights(spec.replace(num_classes=dataset.num_classes), args.weights)
    recipe = recipes.load(args.recipe or "finetune")
    return Seed(
        require_classifier(found.spec),
        found.model,
        recipe,
        args.dataset,
        args.data_dir,
        args.seed,
        None,
    )


def require_classifier(spec: Spec) -> NetworkSpec:
    """Raises UserError for the spec of another task."""
    if spec.task != CLASSIFY.name:
        raise UserError(
            f"Searches take classifiers, not networks of --task={spec.task}; take a classifier, "
            f"and give its spec.json to train.py --task={spec.task} --model=."
        )
    return spec.backbone
