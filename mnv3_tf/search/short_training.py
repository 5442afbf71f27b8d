"""How a candidate is evaluated: trained for a few steps, then measured on pictures held out.

Those are a part of the training set. The validation set is never looked at: a search that has
seen it would choose by it, and its accuracy there would say nothing any more.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf
import tf_keras

from mnv3_tf.data.dataset import Split
from mnv3_tf.data.sources import open_dataset
from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.models import build
from mnv3_tf.search.candidates import Outcome, Trial
from mnv3_tf.search.inherit import inherit
from mnv3_tf.training.classification import Classification, accuracy
from mnv3_tf.training.optimizers import phases
from mnv3_tf.training.recipe import Recipe
from mnv3_tf.weights import assign_layers, collect, read

TIME_CONSTANTS = 6
"""Of BatchNorm's moving statistics, which fit into a short training at least."""
LARGEST_LOSS = 1e9
"""Of a network that diverged: what a JSON file can hold."""


@dataclass(frozen=True)
class ShortTraining:
    """Evaluates trials, in whichever process; equal values do it alike.

    `dataset`, `data_dir` and `seed` are those of `open_dataset`; `held_out` is the part of the
    training set to evaluate on; `steps` may be 0, to evaluate a network as it is.
    """

    dataset: str
    data_dir: str | None
    seed: int
    held_out: float
    recipe: Recipe
    steps: int

    def classes(self, resolution: int) -> tuple[str, ...]:
        """Their names. Raises UserError for a dataset that cannot serve."""
        return _open(self.dataset, self.data_dir, self.seed, resolution)[1]

    def evaluate(self, trial: Trial) -> Outcome:
        spec = trial.spec
        tf_keras.backend.clear_session()
        tf_keras.utils.set_random_seed(self.seed)
        whole, _ = _open(self.dataset, self.data_dir, self.seed, spec.resolution)
        train, held_out = whole.divided(self.held_out, self.seed)
        model = build(spec)
        if trial.start:
            found = read(str(trial.start.weights), trial.start.spec)
            assign_layers(model, inherit(spec, collect(model), found.spec, found.layers))
        task = Classification(model, self.recipe, self.seed)
        training = _Training(task, train, self.steps, spec.resolution, trial.first_step)
        measure = _measurer(task, held_out, spec.resolution)

        at_rung = None
        if 0 < trial.rung < self.steps:
            training.go_on_to(trial.rung)
            outcome = measure()
            at_rung = outcome.accuracy
            if at_rung < trial.stop_below:
                return replace(outcome, at_rung=at_rung, stopped=True)
        training.go_on_to(self.steps)
        outcome = replace(measure(), at_rung=at_rung)
        if trial.save:
            with atomic_write(trial.save) as temporary:
                model.save_weights(temporary)
        return outcome


@functools.cache
def _open(
    dataset: str, data_dir: str | None, seed: int, resolution: int
) -> tuple[Split, tuple[str, ...]]:
    """Once in each process."""
    found = open_dataset(
        dataset, data_dir=data_dir, seed=seed, resolution=resolution, training=True
    )
    if found.train is None:
        raise UserError(f"{found.name} has no training set to search with; add one.")
    return found.train, found.class_names


class _Training:
    """The steps of one trial."""

    def __init__(
        self, task: Classification, split: Split, steps: int, resolution: int, first_step: int
    ) -> None:
        self._task, self._split, self._first_step, self._done = task, split, first_step, 0
        recipe = task.recipe
        per_epoch = split.steps_per_epoch(recipe.batch_size)
        self._phases = phases(recipe, task.body, task.head, per_epoch, steps)
        self._batches = iter(
            split.train_batches(
                recipe.batch_size, resolution, recipe.augmentation, task.seed, first_step
            )
        )
        self._step = tf.function(self._descend, autograph=False)

    def go_on_to(self, step: int) -> None:
        """Trains up to that many steps, counted from the trial's first."""
        for number in range(self._done, step):
            (phase,) = self._phases
            phase.optimizer.learning_rate = phase.learning_rate(number)
            with self._split.explained():
                batch = next(self._batches)
            self._step(*batch, tf.constant(self._first_step + number, tf.int64))
        self._done = step

    def _descend(self, images: Any, labels: Any, number: Any) -> None:
        (phase,) = self._phases
        phase.descend(lambda: self._task.loss(images, labels, number, False))


def _measurer(task: Classification, split: Split, resolution: int) -> Callable[[], Outcome]:
    """A function that measures the network as it is now."""
    signature = (
        tf.TensorSpec((None, resolution, resolution, 3), tf.float32),
        tf.TensorSpec((None,), tf.int32),
    )
    tally = tf.function(task.tally, signature, autograph=False)
    batches = split.eval_batches(task.recipe.batch_size, resolution)

    def measure() -> Outcome:
        with split.explained():
            found = accuracy(tally(*batch) for batch in batches)
        if found.top1 is None or found.loss is None:
            raise Failure("None of the pictures held out could be decoded; make the dataset anew.")
        return Outcome(found.top1, found.loss if math.isfinite(found.loss) else LARGEST_LOSS)

    return measure


def brief(recipe: Recipe, steps: int, learning_rate: float | None = None) -> Recipe:
    """The recipe of a training of `steps`: the same, but all of the network at once, at one rate.

    `learning_rate` None is the recipe's. BatchNorm's moving statistics follow so fast that those
    they began with are forgotten at the end.
    """
    momentum = recipe.batch_norm_momentum
    if recipe.batch_norm == "train":
        momentum = min(momentum, max(0.0, 1 - TIME_CONSTANTS / steps))
    return replace(
        recipe,
        learning_rate=learning_rate or recipe.learning_rate,
        schedule="constant",
        warmup_epochs=0.0,
        freeze_epochs=0,
        ema_decay=0.0,
        batch_norm_momentum=momentum,
    )
