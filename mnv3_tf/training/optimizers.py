"""Optimisers, learning rates as functions of the step, and the phases of a run."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras

from mnv3_tf.training.recipe import Recipe


@dataclass(frozen=True)
class Phase:
    """Some variables trained by an optimiser of their own, from step `start` up to `end`."""

    name: str
    start: int
    end: int
    variables: Sequence[Any]
    optimizer: Any
    schedule: Callable[[float, int], float]

    def learning_rate(self, step: float) -> float:
        """The rate at step `step` of the plan, which may lie between two."""
        return self.schedule(step - self.start, self.end - self.start)

    def descend(self, loss: Callable[[], Any]) -> Any:
        """One step of the optimiser down the gradient of `loss()`, which is returned."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.variables)
            value = loss()
        gradients = tape.gradient(value, self.variables)
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        return value


def make_optimizer(recipe: Recipe, variables: Sequence[Any]) -> Any:
    """The recipe's optimiser, built for `variables`; weight decay touches some kernels only.

    RMSProp is TensorFlow's: epsilon under the root, the rate inside the momentum, and a mean
    square that starts at one instead of zero, which keeps the first steps small.
    """
    common: dict[str, Any] = {"weight_decay": recipe.weight_decay or None, "jit_compile": False}
    if recipe.epsilon is not None:
        common["epsilon"] = recipe.epsilon
    match recipe.optimizer:
        case "adamw":
            optimizer = tf_keras.optimizers.Adam(beta_1=recipe.momentum, **common)
        case "rmsprop":
            # By default, epsilon as in the paper's training code.
            optimizer = tf_keras.optimizers.RMSprop(
                rho=recipe.rho, momentum=recipe.momentum, **{"epsilon": 1e-3} | common
            )
        case "sgd":
            common.pop("epsilon", None)
            optimizer = tf_keras.optimizers.SGD(momentum=recipe.momentum, **common)
    decayed = {id(variable) for variable in decayed_variables(recipe, variables)}
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if id(v) not in decayed])
    optimizer.build(variables)
    if recipe.optimizer == "rmsprop":
        for mean_square in optimizer._velocities:
            mean_square.assign(tf.ones_like(mean_square))
    return optimizer


def decayed_variables(recipe: Recipe, variables: Sequence[Any]) -> list[Any]:
    """Those that weight decay and l2 shrink: kernels, and depthwise ones if the recipe says so."""

    def spared(variable: Any) -> bool:
        return _own_name(variable) == "depthwise_kernel" and not recipe.decay_depthwise

    return [v for v in variables if is_kernel(v) and not spared(v)]


def is_kernel(variable: Any) -> bool:
    """Convolution and dense weights; not biases, nor BatchNorm's gamma and beta."""
    return _own_name(variable).endswith("kernel")


def _own_name(variable: Any) -> str:
    return variable.name.split("/")[-1].split(":")[0]


def phases(
    recipe: Recipe, body: Sequence[Any], head: Sequence[Any], steps_per_epoch: int, total_steps: int
) -> list[Phase]:
    """The head alone for `freeze_epochs`, then everything; the first is left out at 0 epochs."""
    frozen_steps = min(recipe.freeze_epochs * steps_per_epoch, total_steps)

    def constant(step: float, steps: int) -> float:
        return recipe.head_learning_rate * recipe.rate_scale

    def scheduled(step: float, steps: int) -> float:
        return learning_rate(
            recipe.schedule,
            recipe.learning_rate * recipe.rate_scale,
            step,
            steps,
            round(recipe.warmup_epochs * steps_per_epoch),
            recipe.decay_rate,
            recipe.decay_epochs * steps_per_epoch,
        )

    made = []
    if frozen_steps:
        optimizer = make_optimizer(recipe, head)
        made.append(Phase("head", 0, frozen_steps, head, optimizer, constant))
    if frozen_steps < total_steps:
        everything = [*body, *head]
        optimizer = make_optimizer(recipe, everything)
        made.append(Phase("all", frozen_steps, total_steps, everything, optimizer, scheduled))
    return made


def learning_rate(
    schedule: str,
    peak: float,
    step: float,
    total_steps: int,
    warmup_steps: int = 0,
    decay_rate: float = 1.0,
    decay_steps: float = 1.0,
) -> float:
    """The rate of step `step`, from 0 to `total_steps` - 1.

    It rises linearly to `peak` over `warmup_steps`, and then stays ("constant"), falls along half a
    cosine towards 0 at `total_steps` ("cosine") or with the remaining part of the steps to the
    power 0.9 ("polynomial": Chen et al. 2017, section 4.1), or is multiplied by `decay_rate` after
    every `decay_steps` steps, which are counted from step 0 ("exponential": in stairs, as slim
    does, section 6.1.1).
    """
    if step < warmup_steps:
        return peak * min(1.0, (step + 1) / warmup_steps)
    if schedule == "constant":
        return peak
    if schedule == "exponential":
        return peak * decay_rate ** math.floor(step / decay_steps)
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if schedule == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * progress))
    if schedule == "polynomial":
        return peak * (1.0 - progress) ** 0.9
    raise ValueError(f"Unknown schedule {schedule!r}")
