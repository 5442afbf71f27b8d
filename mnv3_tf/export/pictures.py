"""Which pictures an export calibrates on, trains on and evaluates on."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.data.dataset import Dataset, Split
from mnv3_tf.data.sources import Origin, open_dataset
from mnv3_tf.networks.pixels import View
from mnv3_tf.quantization import aware_training
from mnv3_tf.quantization.calibration import batch_size
from mnv3_tf.quantization.pipeline import Training
from mnv3_tf.tasks import Resolution, find_task
from mnv3_tf.training import recipe


@dataclass(frozen=True)
class Pictures:
    """The first of `sources` calibrates, all of them train; `evaluation` measures accuracy.

    What was not named is empty or None. Sources and `evaluation` never share a picture, unless one
    set has but one part: then `shared` is True.
    """

    sources: tuple[Split, ...]
    evaluation: Split | None
    evaluation_set: Dataset | None = None
    shared: bool = False

    @property
    def view(self) -> View | None:
        """What evaluation sees of a picture, else calibration; None without pictures."""
        return next((split.view for split in (self.evaluation, *self.sources) if split), None)

    def calibration(self, count: int, resolution: Resolution) -> np.ndarray | None:
        """Up to `count` of the first source's pictures, (N, H, W, 3) in [-1, 1]."""
        return self.sources[0].images(count, resolution) if self.sources else None


def open_pictures(
    sources: Sequence[str],
    evaluation: str | None,
    resolution: Resolution,
    data_dir: str | None = None,
    seed: int = 0,
    own: Origin | None = None,
    task: str = "classify",
    view: View | None = None,
) -> Pictures:
    """Opens the datasets of these names; `own` is the one that the network was trained on.

    What is split at random is split by `seed`: with a run's own, its training pictures stay
    apart from those that it was evaluated on. Other sets are evaluated on whole.
    `view` is what calibration and evaluation see of a picture, None for what suits each set.
    """
    opened: dict[str, Dataset] = {}

    def dataset(name: str) -> Dataset:
        if name not in opened:
            opened[name] = open_dataset(
                name,
                data_dir=data_dir,
                seed=seed,
                resolution=resolution,
                training=(own is not None and own.is_of(name))
                or (name in sources and name == evaluation),
                task=task,
            ).seen_as(view)
        return opened[name]

    training = [(dataset(name).train or dataset(name).val) for name in sources]
    splits = tuple(split for split in training if split is not None)
    evaluation_set = dataset(evaluation) if evaluation else None
    held_out = evaluation_set.part()[1] if evaluation_set else None
    shared = any(split is held_out for split in splits)
    return Pictures(splits, held_out, evaluation_set, shared)


def training_on(
    splits: Sequence[Split],
    resolution: Resolution,
    steps: int | None = None,
    checkpoints: Path | None = None,
    augmentation: Any = None,
    task: str = "classify",
) -> Training:
    """Quantisation-aware training on random views of the splits, which take turns.

    The views are fine-tuning's without an `augmentation`.
    """
    how = augmentation or recipe.load(find_task(task).finetune).augmentation
    largest = batch_size(resolution, aware_training.BATCH)

    def views(number: int, start_step: int) -> Any:
        # Step s is the turn of split s modulo their count.
        split, turns = splits[number], (start_step - number + len(splits) - 1) // len(splits)
        batch = min(largest, len(split))
        return iter(split.train_batches(batch, resolution, how, seed=0, start_step=max(0, turns)))

    def batches(start_step: int) -> Any:
        streams = [views(number, start_step) for number in range(len(splits))]
        for step in itertools.count(start_step):
            turn = step % len(splits)
            with splits[turn].explained():
                pictures, _ = next(streams[turn])
            yield pictures

    sizes = ", ".join(f"{len(split)} pictures" for split in splits)
    names = f"{sizes}; {how}"
    return Training(batches, names, steps or aware_training.STEPS, checkpoints)
