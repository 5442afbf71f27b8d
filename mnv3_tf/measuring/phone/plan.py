"""What is to be measured: which configurations, in which order, and how each run is known again.

A round runs every configuration once, each in a process of its own. Rounds follow one another
(A B A B), so that a phone that warms slowly slows all of them alike. Memory and operators are
asked for in runs of their own: the asking slows the run down.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from mnv3_tf.errors import UserError
from mnv3_tf.measuring.phone import binary
from mnv3_tf.measuring.phone.models import Model

TIMING, MEMORY, PROFILE = "timing", "memory", "profile"


@dataclass(frozen=True)
class PhoneSettings:
    """Raises UserError for values out of range.

    `cores`: big, mid, little, default or a hexadecimal mask. `cooldown_s`: seconds before each
    run; None waits until the phone is cool; 0 does not wait.
    """

    threads: tuple[int, ...] = (1,)
    rounds: int = 10
    num_runs: int = 50
    cores: str = "big"
    delegate: str = "xnnpack"
    cooldown_s: float | None = None
    profile_ops: bool = False
    fixed_performance: bool = False
    timeout_s: float = 300.0
    reconnect_s: float = 600.0

    def __post_init__(self) -> None:
        if not self.threads:
            raise UserError("--threads is empty; give --threads=1 or --threads=1,2,4.")
        for name, value in (("threads", min(self.threads)), ("rounds", self.rounds)):
            if value < 1:
                raise UserError(f"--{name}={value} is too small; give at least 1.")
        if self.num_runs < 1:
            raise UserError(f"--num_runs={self.num_runs} is too small; give at least 1.")
        if self.timeout_s <= 0:
            raise UserError(f"--timeout={self.timeout_s} is too short; give seconds above 0.")
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
    here.
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

    @property
    def key(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def asking(self, purpose: str) -> "Configuration":
        return replace(self, purpose=purpose)

    def arguments(self, flavour: str, graph: str) -> list[str]:
        """The flags of benchmark_model for this run of the file `graph`."""
        extra = {TIMING: (), MEMORY: binary.MEMORY, PROFILE: binary.PROFILE[flavour]}
        return binary.arguments(
            flavour, graph, self.threads, self.num_runs, self.delegate, extra[self.purpose]
        )


@dataclass(frozen=True)
class PlannedRun:
    """A run to be done: `round` counts from 1."""

    configuration: Configuration
    model: Model
    round: int


def tasks(
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
