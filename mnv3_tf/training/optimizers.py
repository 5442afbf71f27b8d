"""Optimisers, and the phases of a run that they serve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tf_keras

from mnv3_tf.training.recipe import Recipe
from mnv3_tf.training.schedules import learning_rate


@dataclass(frozen=True)
class Phase:
    """Some variables trained by an optimiser of their own, from step `start` up to `end`."""

    name: str
    start: int
    end: int
    variables: Sequence[Any]
    optimizer: Any
    schedule: str
    peak: float
    warmup_steps: int

    def learning_rate(self, step: int) -> float:
        """The rate at step `step` of the run."""
        steps = self.end - self.start
        return learning_rate(self.schedule, self.peak, step - self.start, steps, self.warmup_steps)


def make_optimizer(recipe: Recipe, variables: Sequence[Any]) -> Any:
    """The recipe's optimiser, built for `variables`; weight decay touches kernels only."""
    decay: dict[str, Any] = {"weight_decay": recipe.weight_decay or None, "jit_compile": False}
    match recipe.optimizer:
        case "adamw":
            optimizer = tf_keras.optimizers.Adam(beta_1=recipe.momentum, **decay)
        case "rmsprop":
            # Epsilon and rho as in the paper's training code.
            optimizer = tf_keras.optimizers.RMSprop(
                rho=0.9, momentum=recipe.momentum, epsilon=1e-3, **decay
            )
        case "sgd":
            optimizer = tf_keras.optimizers.SGD(momentum=recipe.momentum, **decay)
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if not is_kernel(v)])
    optimizer.build(variables)
    return optimizer


def is_kernel(variable: Any) -> bool:
    """Convolution and dense weights; not biases, nor BatchNorm's gamma and beta."""
    return variable.name.split("/")[-1].split(":")[0].endswith("kernel")


def phases(
    recipe: Recipe, body: Sequence[Any], head: Sequence[Any], steps_per_epoch: int, total_steps: int
) -> list[Phase]:
    """The head alone for `freeze_epochs`, then everything; the first is left out at 0 epochs."""
    frozen_steps = min(recipe.freeze_epochs * steps_per_epoch, total_steps)
    found = []
    if frozen_steps:
        optimizer = make_optimizer(recipe, head)
        rate = recipe.head_learning_rate
        found.append(Phase("head", 0, frozen_steps, head, optimizer, "constant", rate, 0))
    if frozen_steps < total_steps:
        everything = [*body, *head]
        found.append(
            Phase(
                "all",
                frozen_steps,
                total_steps,
                everything,
                make_optimizer(recipe, everything),
                recipe.schedule,
                recipe.learning_rate,
                round(recipe.warmup_epochs * steps_per_epoch),
            )
        )
    return found
