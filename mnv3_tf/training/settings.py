"""What a user asks of a training run: the flags of `train.py`."""

from dataclasses import MISSING, asdict, dataclass, field
from typing import Any, Literal

from mnv3_tf.data.sources import usage
from mnv3_tf.errors import UserError
from mnv3_tf.networks.named import NETWORKS
from mnv3_tf.networks.pixels import InputRange, View
from mnv3_tf.tasks import CLASSIFY, TASKS, find_task
from mnv3_tf.tasks.specs import VIEW, WEIGHTS_RANGE
from mnv3_tf.tasks.task import Head, Resolution, parse_resolution, resolution_text
from mnv3_tf.training import recipes
from mnv3_tf.training.run_folder import as_json
from mnv3_tf.ui.settings import Checked, setting

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
class TrainSettings(Checked):
    """None leaves the choice to the recipe, the spec or the dataset."""

    dataset: str = setting(MISSING, f"{usage()}.")
    out: str = setting(MISSING, "Folder of the run.")
    model: str = setting(
        "large", f"A network's name ({', '.join(NETWORKS)}), or the path of a spec JSON."
    )
    width: float = setting(1.0, "Width multiplier.")
    resolution: Resolution | None = setting(
        None,
        "Side of the square input in pixels, or HEIGHTxWIDTH to segment; the network's own if not "
        "given.",
        read=parse_resolution,
        write=resolution_text,
    )
    task: str = setting(CLASSIFY.name, f"What the network is for: {', '.join(TASKS)}.")
    head: Head = field(default_factory=Head)
    test: str | None = setting(
        None,
        "A dataset that is evaluated on once, with the best weights, and chooses nothing; that of "
        "--dataset if not given, where it has one.",
    )
    view: View | None = setting(None, VIEW)
    data_dir: str | None = setting(None, "Where tensorflow_datasets keeps its sets.")
    recipe: str | None = setting(
        None,
        f"How to train: {', '.join(recipes.names())}. If not given, the task's for a --teacher, "
        "for given --weights, or for neither (of classifiers distill, finetune and quick).",
    )
    weights: str | None = setting(
        None, 'Weights to start from: "imagenet", a file, or a run folder, for its best ones.'
    )
    input_range: InputRange | None = setting(None, WEIGHTS_RANGE)
    epochs: int | None = setting(None, "Epochs, instead of the recipe's.")
    steps: int | None = setting(
        None, "Training steps of the whole run, instead of epochs.", least=1
    )
    class_weights: Literal["none", "balanced"] = setting(
        "none",
        "Classifiers: none, or balanced, which weighs a picture's loss so that every class counts "
        "the same however many pictures it has.",
    )
    patience: int | None = setting(None, "Stop after so many epochs without a better one.", least=1)
    time_limit: float | None = setting(
        None,
        "Minutes of training and its evaluations: a plan that does not fit is shortened, its "
        "learning rates with it.",
        above=0,
    )
    batch_size: int | None = setting(None, "Pictures in a step, instead of the recipe's.")
    learning_rate: float | None = setting(None, "Peak learning rate, instead of the recipe's.")
    override: tuple[str, ...] = setting(
        (),
        "FIELD=VALUE of the recipe, such as ema_decay=0.999 or augmentation.erase=0.2.",
        repeated=True,
    )
    teacher: str | None = setting(
        None, "Learn from this run folder, SavedModel or MODEL:WEIGHTS (classifiers alone)."
    )
    seed: int = setting(
        0, "Decides initial weights, order, augmentation and dropout.", least=0, most=2**31 - 1
    )
    deterministic: bool = setting(False, "Same seed, same bits, also after a kill.")
    checkpoint_every: int = setting(
        0, "Steps between checkpoints, besides each epoch and 5 minutes; 0 for none.", least=0
    )
    keep_checkpoints: int = setting(2, "How many of the last checkpoints to keep.", least=1)
    strategy: Literal["auto", "one", "mirrored", "multi_worker", "tpu"] = setting(
        "auto", "Devices to train on: auto, one, mirrored, multi_worker or tpu."
    )
    held_out: float = setting(
        0.0,
        "Part of the training set, below 1, to leave out for a search to evaluate on "
        "(docs/search.md).",
        least=0,
        most=1,
    )
    sync_batch_norm: bool = setting(False, "BatchNorm's statistics over all devices.")
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "What layers compute in; auto is bfloat16 where the hardware has it."
    )
    jit_compile: bool | None = setting(
        None, "Compile the training step with XLA; on GPUs if not given."
    )
    overwrite: bool = setting(False, "Replace the run in --out.")

    def __post_init__(self) -> None:
        super().__post_init__()
        task = find_task(self.task)
        task.view(self.view)
        if self.teacher and not task.distill:
            raise UserError(
                f"--teacher={self.teacher} is of no use to --task={self.task}; leave it out, or "
                "train a classifier."
            )
        if self.class_weights != "none" and not task.weighs_classes:
            raise UserError(
                f"--class_weights={self.class_weights} is of no use to --task={self.task}; leave "
                "it out, or train a classifier."
            )
        if self.deterministic and self.time_limit:
            raise UserError(
                f"--time_limit={self.time_limit:g} makes a run depend on the machine's pace, which "
                "--deterministic forbids; give --steps instead, or leave one of them out."
            )
        if self.held_out == 1:
            raise UserError("--held_out=1 leaves nothing to train on; give a part below 1.")

    @property
    def recipe_name(self) -> str:
        task = find_task(self.task)
        return self.recipe or task.default_recipe(bool(self.weights), bool(self.teacher))

    def configuration(self) -> dict[str, Any]:
        """The part that decides the outcome; two runs that agree in it are the same run."""
        tree = {k: v for k, v in asdict(self).items() if k not in _NOT_CONFIGURATION}
        tree |= tree.pop("head")  # flags beside the others
        return as_json(tree | {"recipe": self.recipe_name})
