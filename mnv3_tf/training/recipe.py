"""A recipe: how to train, as one frozen value; each lives in a file of `recipes/`."""

import importlib
import math
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mnv3_tf.data import Augmentation
from mnv3_tf.errors import UserError
from mnv3_tf.training import recipes

OptimizerName = Literal["adamw", "rmsprop", "sgd"]
ScheduleName = Literal["cosine", "constant"]
BatchNormMode = Literal["train", "frozen"]


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a run.

    The head (the logits layer) is trained alone for `freeze_epochs`, at the constant
    `head_learning_rate`; then everything is, from `learning_rate` over `warmup_epochs` of linear
    rise and by `schedule` down to the end. `epochs` counts both.

    `weight_decay` is decoupled (subtracts rate * decay * weight each step) and spares biases,
    gamma and beta. `batch_norm` "frozen" keeps BatchNorm in inference mode, with gamma and beta
    still trained: a must where its statistics are made up (weights with BatchNorm folded in), and
    better where the set is small. `batch_norm_momentum` is the part of a moving average that
    stays at each step. `dropout` is the rate before the logits.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: OptimizerName = "adamw"
    momentum: float = 0.9
    schedule: ScheduleName = "cosine"
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    dropout: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    batch_norm: BatchNormMode = "train"
    batch_norm_momentum: float = 0.99
    freeze_epochs: int = 0
    head_learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        def require(holds: bool, name: str, wanted: str) -> None:
            if not holds:
                raise UserError(f"{name}={getattr(self, name)!r} in a recipe must be {wanted}.")

        require(self.epochs >= 1, "epochs", "at least 1")
        require(self.batch_size >= 1, "batch_size", "at least 1")
        require(0 < self.learning_rate < math.inf, "learning_rate", "a positive number")
        require(self.optimizer in get_args(OptimizerName), "optimizer", "adamw, rmsprop or sgd")
        require(self.schedule in get_args(ScheduleName), "schedule", "cosine or constant")
        require(self.batch_norm in get_args(BatchNormMode), "batch_norm", "train or frozen")
        require(self.warmup_epochs >= 0, "warmup_epochs", "0 or more")
        require(self.freeze_epochs >= 0, "freeze_epochs", "0 or more")
        require(self.weight_decay >= 0, "weight_decay", "0 or more")
        for name in ("label_smoothing", "dropout", "momentum", "batch_norm_momentum"):
            require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")


def names() -> list[str]:
    """The recipes there are: a file of `recipes/` each."""
    return sorted(module.name for module in pkgutil.iter_modules(recipes.__path__))


def load(name: str) -> Recipe:
    """The recipe of that name. Raises UserError, listing the known ones, where there is none."""
    if name not in names():
        raise UserError(f"Unknown recipe {name!r}; choose one of {', '.join(names())}.")
    recipe = importlib.import_module(f"{recipes.__name__}.{name}").RECIPE
    assert isinstance(recipe, Recipe)
    return recipe


def from_record(tree: Mapping[str, Any]) -> Recipe:
    """The recipe that run.json holds, where every tuple has become a list."""
    drawn: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in tree["augmentation"].items()
    }
    return Recipe(**{**tree, "augmentation": Augmentation(**drawn)})
