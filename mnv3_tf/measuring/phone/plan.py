"""What is to be measured: which configurations, in which order, and how each run is known again.

A round runs every configuration once, each in a process of its own. Rounds follow one another
(A B A B), so that a phone that warms slowly slows all of them alike. Memory and operators are
asked for in runs of their own: the asking slows the run down.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from mnv3_tf.errors import UserError
from mnv3_tf.measuring.phone import binary
from mnv3_tf.measuring.phone.models import Model
from mnv3_tf.tflite.reading import shape_setting
from mnv3_tf.ui.settings import Checked, setting

TIMING, MEMORY, PROFILE = "timing", "memory", "profile"


def read_cooldown(text: str) -> float | None:
    """Seconds before each run; None, "auto", waits until the phone is cool."""
    if text in ("auto", "none"):
        return None if text == "auto" else 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(f"--cooldown={text} is unknown; give auto, none, or seconds.")
    return seconds


@dataclass(frozen=True)
class PhoneSettings(Checked):
    """How files are timed on a phone. Raises UserError for values out of range."""

    cores: str = setting("big", "big, mid, little, default, or a hex mask.")
    threads: tuple[int, ...] = setting((1,), "One number or several.", least=1)
    rounds: int = setting(10, "How often each model gets a turn.", least=1)
    num_runs: int = setting(50, "Least inferences in a turn.", least=1)
    cooldown_s: float | None = setting(
        None,
        "Before each turn: auto, the default, waits until the phone is cool, SECONDS, or none.",
        flag="cooldown",
        read=read_cooldown,
    )
    delegate: Literal["xnnpack", "none", "gpu", "nnapi"] = setting(
        "xnnpack", "Who runs the operators."
    )
    profile_ops: bool = setting(False, "Time each operator too.")
    input_shape: tuple[int, ...] | None = shape_setting()
    fixed_performance: bool = setting(
        False, "Bound the clocks at what the phone sustains (Android 11 and newer)."
    )
    timeout_s: float = setting(
        300.0, "Seconds until a run counts as hanging.", above=0, flag="timeout"
    )
    reconnect_s: float = setting(
        600.0, "Seconds to wait for a phone that went away.", flag="reconnect"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.threads:
            raise UserError("--threads is empty; give --threads=1 or --threads=1,2,4.")
        if self.cores not in ("big", "mid", "little", "default") and not _is_mask(self.cores):
            raise UserError(
                f"--cores={self.cores} is unknown; choose big, mid, little, default, or a "
                "hexadecimal mask such as c0."
            )


@dataclass(frozen=True)
class Configuration:
    """One model as it is run on one phone, apart from how often.

    `phone` and `binary` identify the phone and the program, `sha256` the model. Two runs are
    comparable if and only if their configurations are equal: what changes a number is a field
    here. `layer` is `Model.layer`, None where the file says what it takes.
    """

    phone: str
    binary: str
    sha256: str
    threads: int
    mask: str | None
    delegate: str
    num_runs: int
    fixed_performance: bool
    purpose: str = TIMING
    layer: tuple[str, str] | None = None

    @property
    def key(self) -> str:
        told = asdict(self)
        if self.layer is None:  # as before there were shapes, so that journals still hold
            del told["layer"]
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def asking(self, purpose: str) -> "Configuration":
        return replace(self, purpose=purpose)

    def arguments(self, flavour: str, graph: str) -> list[str]:
        """The flags of benchmark_model for this run of the file `graph`."""
        extra = {TIMING: (), MEMORY: binary.MEMORY, PROFILE: binary.PROFILE[flavour]}[self.purpose]
        if self.layer:
            extra = *extra, *binary.layer(flavour, *self.layer)
        return binary.arguments(flavour, graph, self.threads, self.num_runs, self.delegate, extra)


@dataclass(frozen=True)
class PlannedRun:
    """A run to be done: `round` counts from 1."""

    configuration: Configuration
    model: Model
    round: int


def planned_runs(
    models: Sequence[Model],
    settings: PhoneSettings,
    phone: str,
    binary_sha256: str,
    mask: str | None,
) -> Iterator[PlannedRun]:
    """All runs on one phone, in their order: rounds first, then memory and operators."""
    configurations = [
        (
            model,
            Configuration(
                phone=phone,
                binary=binary_sha256,
                sha256=model.sha256,
                threads=threads,
                mask=mask,
                delegate=settings.delegate,
                num_runs=settings.num_runs,
                fixed_performance=settings.fixed_performance,
                layer=model.layer(settings.input_shape) if settings.input_shape else None,
            ),
        )
        for threads in settings.threads
        for model in models
    ]
    for number in range(1, settings.rounds + 1):
        for model, configuration in configurations:
            yield PlannedRun(configuration, model, number)
    for purpose in (MEMORY, PROFILE) if settings.profile_ops else (MEMORY,):
        for model, configuration in configurations:
            yield PlannedRun(configuration.asking(purpose), model, 1)


def _is_mask(text: str) -> bool:
    try:
        return int(text, 16) > 0 and not text.lower().startswith("0x")
    except ValueError:
        return False
