"""What a user asks of a training run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.tasks.specs import Head, Resolution, check_task
from mnv3_tf.training.run_folder import as_json

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("auto", "float32", "bfloat16")

# They say where to write and where to compute, not what: a run may go on with others.
_NOT_CONFIGURATION = (
    "out",
    "overwrite",
    "checkpoint_every",
    "keep_checkpoints",
    "strategy",
    "precision",
    "jit_compile",
)


@dataclass(frozen=True)
class Settings:
    """The flags of `train.py`; None leaves the choice to the recipe, the spec or the dataset.

    `recipe` None is distill where there is a `teacher`, finetune where `weights` are given, else
    quick; of other tasks detect_finetune, detect_quick and so on. `head` is for these other tasks.
    `override` are changes to the recipe (`recipe.overridden`). `steps` counts training steps of the
    whole run and overrides `epochs`. `checkpoint_every` is in steps; 0 is for none besides those at
    every epoch and every few minutes. `teacher` is a run folder, a SavedModel, or MODEL:WEIGHTS.
    `held_out` is the part of the training set that is left out, for a search to judge by.
    `sync_batch_norm` takes BatchNorm's statistics over all replicas. `jit_compile` compiles the
    training step with XLA; None does on GPUs.
    """

    dataset: str
    out: str
    model: str = "large"
    width: float = 1.0
    resolution: Resolution | None = None
    task: str = "classify"
    head: Head = field(default_factory=Head)
    data_dir: str | None = None
    recipe: str | None = None
    weights: str | None = None
    epochs: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    override: Sequence[str] = ()
    teacher: str | None = None
    seed: int = 0
    deterministic: bool = False
    checkpoint_every: int = 0
    keep_checkpoints: int = 2
    strategy: str = "auto"
    held_out: float = 0.0
    sync_batch_norm: bool = False
    precision: str = "auto"
    jit_compile: bool | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_task(self.task)
        if self.task != "classify" and self.teacher:
            raise UserError(
                f"--teacher={self.teacher} teaches classifiers alone; leave it out, or "
                f"--task={self.task}."
            )
        for name, known in (("strategy", STRATEGIES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise UserError(
                    f"Unknown --{name}={getattr(self, name)}; choose one of {', '.join(known)}."
                )
        if self.keep_checkpoints < 1:
            raise UserError(f"--keep_checkpoints={self.keep_checkpoints} must be at least 1.")
        if self.checkpoint_every < 0:
            raise UserError(
                f"--checkpoint_every={self.checkpoint_every} must be a number of steps, or 0."
            )
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed={self.seed} must be from 0 to 2147483647.")
        if not 0 <= self.held_out < 1:
            raise UserError(f"--held_out={self.held_out} must be a part of the training set, or 0.")
        if self.steps is not None and self.steps < 1:
            raise UserError(f"--steps={self.steps} must be at least 1.")

    @property
    def recipe_name(self) -> str:
        if self.recipe:
            return self.recipe
        if self.task != "classify":
            return f"{self.task}_{'finetune' if self.weights else 'quick'}"
        if self.teacher:
            return "distill"
        return "finetune" if self.weights else "quick"

    def configuration(self) -> dict[str, Any]:
        """The part that decides the outcome; two runs that agree in it are the same run."""
        tree = {k: v for k, v in asdict(self).items() if k not in _NOT_CONFIGURATION}
        tree |= tree.pop("head")  # flags beside the others
        return as_json(tree | {"recipe": self.recipe_name, "override": list(self.override)})
