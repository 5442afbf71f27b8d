"""What a user asks of a training run."""

from dataclasses import asdict, dataclass
from typing import Any

from mnv3_tf.errors import UserError

TASKS = ("classify", "detect", "segment")
STRATEGIES = ("auto", "one")

# They say where and how often to write, not what to compute: a run may go on with others.
_NOT_CONFIGURATION = ("out", "overwrite", "checkpoint_every")


@dataclass(frozen=True)
class Settings:
    """The flags of `train.py`; None leaves the choice to the recipe, the spec or the dataset.

    `recipe` None is finetune where `weights` are given, else quick. `steps` counts training steps
    of the whole run and overrides `epochs`. `checkpoint_every` is in steps; 0 is for none besides
    those at every epoch and every few minutes.
    """

    dataset: str
    out: str
    model: str = "large"
    width: float = 1.0
    resolution: int | None = None
    task: str = "classify"
    data_dir: str | None = None
    recipe: str | None = None
    weights: str | None = None
    epochs: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    deterministic: bool = False
    checkpoint_every: int = 0
    strategy: str = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UserError(f"Unknown task {self.task!r}; choose one of {', '.join(TASKS)}.")
        if self.task != "classify":
            raise UserError(
                f"--task={self.task} cannot be trained yet; only --task=classify works."
            )
        if self.strategy not in STRATEGIES:
            raise UserError(
                f"--strategy={self.strategy} is not available; training runs on one device "
                "(--strategy=auto or one)."
            )
        if self.checkpoint_every < 0:
            raise UserError(
                f"--checkpoint_every={self.checkpoint_every} must be a number of steps, or 0."
            )
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed={self.seed} must be from 0 to 2147483647.")
        if self.steps is not None and self.steps < 1:
            raise UserError(f"--steps={self.steps} must be at least 1.")

    @property
    def recipe_name(self) -> str:
        return self.recipe or ("finetune" if self.weights else "quick")

    def configuration(self) -> dict[str, Any]:
        """The part that decides the outcome; two runs that agree in it are the same run."""
        tree = {k: v for k, v in asdict(self).items() if k not in _NOT_CONFIGURATION}
        return tree | {"recipe": self.recipe_name}
