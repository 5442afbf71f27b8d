"""Which pictures an export calibrates on, trains on and judges by."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.data import Augmentation, Dataset, Split, open_dataset
from mnv3_tf.export.int8 import Training
from mnv3_tf.quantization import aware_training
from mnv3_tf.training import recipe


@dataclass(frozen=True)
class Pictures:
    """`source` calibrates and trains, `judged` is what accuracy is measured on.

    Either is None where no dataset was named. They never share a picture, unless one set has
    but one part: then `shared` is True.
    """

    source: Split | None
    judged: Split | None
    judged_set: Dataset | None = None
    shared: bool = False

    def calibration(self, count: int, resolution: int) -> np.ndarray | None:
        """Up to `count` of the source's pictures, (N, H, W, 3) in [-1, 1], without labels."""
        return None if self.source is None else self.source.images(count, resolution)


def open_pictures(
    source: str | None,
    judged: str | None,
    resolution: int,
    data_dir: str | None = None,
    seed: int = 0,
    own: str | None = None,
) -> Pictures:
    """Opens the datasets of these names; `own` is the one that the network was trained on.

    What is split at random is split by `seed`: with a run's own, its training pictures stay
    apart from what judged it.
    """
    opened: dict[str, Dataset] = {}

    def dataset(name: str) -> Dataset:
        if name not in opened:
            opened[name] = open_dataset(
                name,
                data_dir=data_dir,
                seed=seed,
                resolution=resolution,
                training=name == own or name == source == judged,
            )
        return opened[name]

    source_set = dataset(source) if source else None
    judged_set = dataset(judged) if judged else None
    source_split = (source_set.train or source_set.val) if source_set else None
    judged_split = (judged_set.val or judged_set.train) if judged_set else None
    shared = source_split is not None and source_split is judged_split
    return Pictures(source_split, judged_split, judged_set, shared)


def training_on(
    split: Split,
    resolution: int,
    steps: int | None = None,
    checkpoints: Path | None = None,
    augmentation: Augmentation | None = None,
) -> Training:
    """Quantisation-aware training on random views of a split; fine-tuning's if not told how."""
    how = augmentation or recipe.load("finetune").augmentation
    batch = min(aware_training.BATCH, len(split))

    def batches(start_step: int) -> Any:
        views = split.train_batches(batch, resolution, how, seed=0, start_step=start_step)
        return (pictures for pictures, _ in views)

    return Training(batches, steps or aware_training.STEPS, checkpoints)
