"""A recipe: how to train, as one frozen value; each lives in a file of `recipes/`."""

import ast
import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mnv3_tf.data.augment import Augmentation
from mnv3_tf.data.augment_boxes import BoxAugmentation
from mnv3_tf.data.augment_masks import MaskAugmentation
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import find_task
from mnv3_tf.tasks.task import Targets
from mnv3_tf.training import recipes

OptimizerName = Literal["adamw", "rmsprop", "sgd"]
ScheduleName = Literal["cosine", "constant", "exponential", "polynomial"]
BatchNormMode = Literal["train", "frozen"]
DetectionLoss = Literal["focal", "hard_negative"]
AUGMENTATIONS: Mapping[Targets, type] = {
    "classes": Augmentation,
    "boxes": BoxAugmentation,
    "masks": MaskAugmentation,
}
"""How training views are drawn, by what there is of each picture."""


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a run.

    The kind of `augmentation` says which targets the recipe is for. The head (the logits layer; of
    a detector or a segmentation network all that no classifier has) is trained alone for
    `freeze_epochs`, at the constant `head_learning_rate`; then everything is, from `learning_rate`
    over `warmup_epochs` of linear rise and by `schedule` down to the end. `epochs` counts both. The
    schedule "exponential" multiplies the rate by `decay_rate` every `decay_epochs`; "polynomial"
    falls as the remaining part of the steps to the power 0.9 (DeepLab). With `rate_batch_size` the
    rates are those of that batch size, and others scale them linearly (Goyal et al. 2017).

    `momentum` is beta_1 of adamw, `rho` the part of RMSProp's mean square that stays at each step,
    `epsilon` its summand under the root (of adamw: beside it); None is the optimiser's own.

    `weight_decay` is decoupled (subtracts rate * decay * weight each step); `l2` adds
    l2 / 2 * |weight|^2 to the loss, as slim does. Both spare biases, gamma and beta, and without
    `decay_depthwise` depthwise kernels. `batch_norm` "frozen" keeps BatchNorm in inference mode,
    with gamma and beta still trained: a must where its statistics are made up (weights with
    BatchNorm folded in), and better where the set is small. `batch_norm_momentum` is the part of
    a moving average that stays at each step.

    `dropout` is the rate before the logits. `drop_path` is that at which the last residual branch
    is left out for a picture (stochastic depth, Huang et al. 2016); it falls linearly towards the
    first. `mixup` and `cutmix` are the alphas of their Beta distributions, 0 for none; with both,
    each batch draws which. `ema_decay` is the part of the averaged weights, which are evaluated
    and kept, that stays at each step; 0 keeps the weights themselves.

    With a teacher, the loss is (1 - `distillation`) of that of the labels and `distillation` of
    the divergence from the teacher's answer at `temperature` (Hinton et al. 2015).

    `detection_loss` is that of `detection.losses`, with `focal_alpha` and `focal_gamma`.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    rate_batch_size: int | None = None
    optimizer: OptimizerName = "adamw"
    momentum: float = 0.9
    rho: float = 0.9
    epsilon: float | None = None
    schedule: ScheduleName = "cosine"
    decay_rate: float = 0.99
    decay_epochs: float = 3.0
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    l2: float = 0.0
    decay_depthwise: bool = True
    ema_decay: float = 0.0
    label_smoothing: float = 0.0
    dropout: float = 0.0
    drop_path: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    distillation: float = 0.0
    temperature: float = 1.0
    detection_loss: DetectionLoss = "focal"
    focal_alpha: float = 0.75
    focal_gamma: float = 2.0
    augmentation: Augmentation | BoxAugmentation | MaskAugmentation = field(
        default_factory=Augmentation
    )
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
        for name in ("learning_rate", "head_learning_rate", "decay_epochs", "temperature"):
            require(0 < getattr(self, name) < math.inf, name, "a positive number")
        require(
            self.rate_batch_size is None or self.rate_batch_size >= 1,
            "rate_batch_size",
            "at least 1, or none",
        )
        require(self.epsilon is None or 0 < self.epsilon < math.inf, "epsilon", "positive, or none")
        require(self.optimizer in get_args(OptimizerName), "optimizer", "adamw, rmsprop or sgd")
        require(
            self.schedule in get_args(ScheduleName), "schedule", " or ".join(get_args(ScheduleName))
        )
        require(self.batch_norm in get_args(BatchNormMode), "batch_norm", "train or frozen")
        require(self.warmup_epochs >= 0, "warmup_epochs", "0 or more")
        require(self.freeze_epochs >= 0, "freeze_epochs", "0 or more")
        for name in ("weight_decay", "l2", "mixup", "cutmix"):
            require(0 <= getattr(self, name) < math.inf, name, "0 or more")
        for name in (
            "label_smoothing",
            "dropout",
            "drop_path",
            "momentum",
            "rho",
            "ema_decay",
            "batch_norm_momentum",
        ):
            require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        require(
            self.detection_loss in get_args(DetectionLoss),
            "detection_loss",
            " or ".join(get_args(DetectionLoss)),
        )
        require(0 <= self.focal_alpha <= 1, "focal_alpha", "from 0 to 1")
        require(0 <= self.focal_gamma < math.inf, "focal_gamma", "0 or more")
        if self.targets != "classes":
            # Each needs what only a classifier has: one label a picture, or its logits layer.
            for name in ("label_smoothing", "dropout", "drop_path", "mixup", "cutmix"):
                require(not getattr(self, name), name, f"0 where targets are {self.targets}")
        require(0 < self.decay_rate <= 1, "decay_rate", "above 0, up to 1")
        require(0 <= self.distillation <= 1, "distillation", "from 0 to 1")

    @property
    def targets(self) -> Targets:
        return next(t for t, kind in AUGMENTATIONS.items() if type(self.augmentation) is kind)

    @property
    def rate_scale(self) -> float:
        """By which the rates as written are multiplied."""
        return self.batch_size / (self.rate_batch_size or self.batch_size)


def load(name: str) -> Recipe:
    """The recipe of that name. Raises UserError, listing the known ones, where there is none."""
    if name not in recipes.names():
        raise UserError(f"Unknown recipe {name!r}; choose one of {', '.join(recipes.names())}.")
    recipe = importlib.import_module(f"{recipes.__name__}.{name}").RECIPE
    assert isinstance(recipe, Recipe)
    return recipe


def overridden(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with fields replaced, each change "FIELD=VALUE"; "augmentation.FIELD" too.

    A value is written as in Python (0.2, True, None, (0.35, 1.0)); words need no quotes. Raises
    UserError for a field that there is not and for a value of another type.
    """
    for change in changes:
        name, separator, text = change.partition("=")
        if not separator:
            raise UserError(f"--override={change!r} must be FIELD=VALUE.")
        inner = name.removeprefix("augmentation.")
        owner: Any = recipe if inner == name else recipe.augmentation
        types = get_type_hints(type(owner))
        if inner not in types or inner == "augmentation":
            raise UserError(
                f"A recipe has no field {name!r}; it has {', '.join(types)} (augmentation.FIELD "
                "for those of the augmentation)."
            )
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        try:
            changed = replace(owner, **{inner: _checked(value, types[inner], name)})
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"--override={change}: {error}.") from None
        recipe = changed if inner == name else replace(recipe, augmentation=changed)
    return recipe


def _checked(value: Any, wanted: Any, name: str) -> Any:
    """`value` as the type `wanted`: an int is a float too, a bool is no number."""
    for option in get_args(wanted) if isinstance(wanted, UnionType) else (wanted,):
        origin = get_origin(option)
        if origin is Literal and value in get_args(option):
            return value
        if origin is tuple and isinstance(value, tuple) and len(value) == len(get_args(option)):
            return tuple(_checked(v, t, name) for v, t in zip(value, get_args(option), strict=True))
        if option is float and type(value) in (int, float):
            return float(value)
        if isinstance(option, type) and type(value) is option:
            return value
    shown = " or ".join(map(repr, get_args(wanted))) or getattr(wanted, "__name__", str(wanted))
    raise UserError(f"--override={name}={value!r} must be {shown}.")


def from_record(tree: Mapping[str, Any], task: str = "classify") -> Recipe:
    """The recipe that run.json holds, where every tuple has become a list."""
    drawn: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in tree["augmentation"].items()
    }
    augmentation = AUGMENTATIONS[find_task(task).targets]
    return Recipe(**{**tree, "augmentation": augmentation(**drawn)})
