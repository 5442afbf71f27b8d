"""What a search is asked: the flags of `netadapt`, `nas` and `inherit`. No TensorFlow here."""

from dataclasses import MISSING, dataclass
from typing import Literal

from mnv3_tf.data.sources import usage
from mnv3_tf.errors import UserError
from mnv3_tf.measuring.arm.cores import DEVICE
from mnv3_tf.search.netadapt import RULES
from mnv3_tf.search.rewards import KINDS
from mnv3_tf.search.strategies import STRATEGIES
from mnv3_tf.tasks.specs import NamedNetwork
from mnv3_tf.tasks.task import Head
from mnv3_tf.training import recipes
from mnv3_tf.ui.settings import setting

STEPS = "Training steps of a candidate."
RETRAIN = "How the final network is trained at the end, into --out/run."


@dataclass(frozen=True)
class Named(NamedNetwork, Head):
    """A network, which must be a classifier; other tasks are refused when it is made."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings(Named):
    """What both searches are asked. Raises UserError for values out of range."""

    out: str = setting(MISSING, "Folder of the journal, the final network and the report.")
    dataset: str | None = setting(None, f"{usage('classes')}.")
    data_dir: str | None = setting(None, "Where tensorflow_datasets keeps its sets.")
    held_out: float = setting(
        0.2,
        "Part of the training set to evaluate on; the validation set is never looked at.",
    )
    target: str | None = setting(
        None, "Latency to reach: a part of the starting point's (0.75), or 2.4ms, 900us, 40M."
    )
    latency: Literal["table", "madds", "measured"] = setting(
        "table",
        "table (--latency_table), madds (multiply-adds), or measured (each network's own file).",
    )
    latency_table: str | None = setting(None, "What python -m benchmark latency_table wrote.")
    quantize: Literal["none", "int8"] = setting(
        "none", "The files whose latency counts, none or int8."
    )
    device: str = setting("host", f"{DEVICE} Or none.")
    adb: str | None = setting(None, "The adb client.")
    benchmark_binary: str | None = setting(None, "benchmark_model, for phones.")
    recipe: str | None = setting(None, f"How candidates are trained: {', '.join(recipes.names())}.")
    learning_rate: float | None = setting(None, "Of candidates.")
    batch_size: int | None = setting(None, "Of candidates.", least=1)
    seed: int = setting(0, "Of all that is drawn; a run folder has its own.")
    workers: str = setting("auto", "Processes, or ray, or ray:ADDRESS; auto is one a core.")
    retrain_recipe: str | None = setting(None, "Its recipe; None is train.py's.")
    steps: int = setting(MISSING, STEPS, least=1)
    retrain: str = setting("scratch", RETRAIN, choices=("scratch", "none"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.out:
            raise UserError("--out is missing; give a folder for the search.")
        if not 0 < self.held_out < 1:
            raise UserError(
                f"--held_out={self.held_out:g} is no part of a set; choose from 0 to 1."
            )


@dataclass(frozen=True, kw_only=True)
class NetAdaptSettings(SearchSettings):
    """The starting point is `run`, a run folder, or `model` with its `weights`.

    The steps are the paper's.
    """

    run: str | None = setting(None, "The starting point: a run folder.")
    model: str = setting("", "The starting point: a network's name, or the path of a spec JSON.")
    weights: str | None = setting(None, "With --model: those of the starting point.")
    steps: int = setting(10_000, STEPS, least=1)
    delta: float = setting(0.01, "The least cut of a step, a part of the start's latency.")
    rule: str = setting(
        next(iter(RULES)),
        "Which proposal is taken: the paper's rule, or the smallest drop of accuracy (NetAdapt's).",
        choices=RULES,
    )
    smallest: float = setting(0.25, "Part of each block's channels that stays at least.")
    retrain: str = setting("scratch", RETRAIN, choices=("scratch", "inherited", "none"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.delta < 1:
            raise UserError(f"--delta={self.delta} is no part of a latency; choose from 0 to 1.")
        if bool(self.run) == bool(self.model):
            raise UserError(
                "Give the starting point as --run=FOLDER, or as --model with --weights: one of "
                "both."
            )
        if self.model and not (self.weights and self.dataset):
            raise UserError("--model needs --weights and --dataset; or give a run folder as --run.")


@dataclass(frozen=True, kw_only=True)
class NasSettings(SearchSettings):
    """MnasNet trains 8,000 models for five epochs each; steps are those of batches of 4,096."""

    model: str = setting("small", "The starting point, around which the space is.")
    steps: int = setting(1_564, STEPS, least=1)
    space: str | None = setting(
        None, 'A JSON file with choices for the space, as {"kernels": [3, 5], "layers": [0]}.'
    )
    strategy: str = setting("ppo", "Chooses what to try next.", choices=STRATEGIES)
    reward: str = setting("mnasnet", "MnasNet's, or TuNAS', which holds the target.", choices=KINDS)
    strength: float | None = setting(
        None,
        "How much latency counts: MnasNet's exponent (-0.07 for Large, -0.15 for Small in the "
        "paper), or the absolute reward's slope.",
    )
    samples: int = setting(8_000, "Networks to try.", least=1)
    batch: int = setting(8, "Networks that are tried before the strategy learns of them.", least=1)
    early_stopping: bool = setting(
        True, "Stop networks that have fallen behind after a third of their steps."
    )
    beside: tuple[str, ...] = setting((), "Folders of other searches, for the plot of rewards.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.dataset:
            raise UserError("--dataset is missing; give the pictures to search with.")


@dataclass(frozen=True, kw_only=True)
class InheritSettings(Named):
    """Weights of `run` for another network, into `out`."""

    run: str = setting(MISSING, "The run folder to inherit from.")
    out: str = setting(MISSING, "The weights, a .weights.h5 file.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.run:
            raise UserError("--run is missing; give the folder of a trained classifier.")
        if not self.out or not self.out.endswith(".weights.h5"):
            raise UserError(f"--out={self.out or ''} must be a .weights.h5 file.")
