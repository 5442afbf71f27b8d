"""Networks on trial in a search, and what it knows of them afterwards. No TensorFlow here."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.networks import spec_json
from mnv3_tf.networks.spec import NetworkSpec


@dataclass(frozen=True)
class Start:
    """Weights to begin with: those in the file `weights` of the network `spec`."""

    spec: NetworkSpec
    weights: Path


@dataclass(frozen=True)
class Trial:
    """One network to be evaluated.

    It begins with what fits of `start`, or at random. `first_step` numbers its training steps, so
    that trials with the same number see the same pictures. Where `rung` is above 0, the network
    is measured after that many steps too, and is trained no further if its accuracy then is below
    `stop_below`. `save` is the file that its weights go to.
    """

    spec: NetworkSpec
    start: Start | None = None
    first_step: int = 0
    rung: int = 0
    stop_below: float = 0.0
    save: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """Top-1 (0 to 1) and cross-entropy on what was held out; `at_rung` is the top-1 there."""

    accuracy: float
    loss: float
    at_rung: float | None = None
    stopped: bool = False


Evaluate = Callable[[Sequence[Trial]], Iterator[tuple[Trial, Outcome]]]
"""Trials with their outcomes, in the order in which they are done."""


@dataclass(frozen=True)
class Candidate:
    """A network with its `latency` in the search's unit, and its `Outcome` after its trial.

    `stopped` networks were trained for a part of the steps, because they fell behind. `change`
    is what was done to the parent, as in "expansion 3: 96 -> 88"; NetAdapt alone has it.
    """

    spec: NetworkSpec
    latency: float
    accuracy: float
    loss: float
    stopped: bool = False
    change: str = ""
    at_rung: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A tree for `json.dumps`; a loss that is not finite becomes Python's NaN or Infinity."""
        tree = {name: getattr(self, name) for name in _FIELDS}
        return tree | {"spec": json.loads(self.spec.to_json())}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> "Candidate":
        """The inverse of `to_json`. Raises UserError for a tree of other fields."""
        try:
            return cls(**tree | {"spec": spec_json.decode(NetworkSpec, tree["spec"], "spec")})
        except (KeyError, TypeError):
            raise UserError(
                f"A candidate has the fields {', '.join(_FIELDS)}, but this is "
                f"{json.dumps(tree)[:200]}; search anew."
            ) from None


_FIELDS = tuple(field.name for field in dataclasses.fields(Candidate))


def pareto(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those than which none is both as fast and as accurate, by increasing latency.

    Of equals the first stays.
    """
    frontier: list[Candidate] = []
    for one in sorted(candidates, key=lambda one: (one.latency, -one.accuracy)):
        if not frontier or one.accuracy > frontier[-1].accuracy:
            frontier.append(one)
    return frontier
