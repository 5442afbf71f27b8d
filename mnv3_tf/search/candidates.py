"""A network with what a search knows of it. No TensorFlow here."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.networks import spec_json
from mnv3_tf.networks.spec import NetworkSpec


@dataclass(frozen=True)
class Judged:
    """`latency` is in the search's unit; `accuracy` (top-1, 0 to 1) and `loss` (cross-entropy)
    are of the held-out part of the training data.

    `stopped` networks were judged after a part of their training, because they fell behind.
    `change` is what was done to the parent, as in "expansion 3: 96 -> 88"; NetAdapt alone has it.
    """

    spec: NetworkSpec
    latency: float
    accuracy: float
    loss: float
    stopped: bool = False
    change: str = ""

    def to_json(self) -> dict[str, Any]:
        """A tree for `json.dumps`; a loss that is not finite becomes Python's NaN or Infinity."""
        tree = {name: getattr(self, name) for name in _FIELDS}
        return tree | {"spec": json.loads(self.spec.to_json())}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> "Judged":
        """The inverse of `to_json`. Raises UserError for a tree of other fields."""
        try:
            return cls(**tree | {"spec": spec_json.decode(NetworkSpec, tree["spec"], "spec")})
        except (KeyError, TypeError):
            raise UserError(
                f"A judged network has the fields {', '.join(_FIELDS)}, but this is "
                f"{json.dumps(tree)[:200]}; search anew."
            ) from None


_FIELDS = tuple(field.name for field in dataclasses.fields(Judged))


def pareto(judged: Iterable[Judged]) -> list[Judged]:
    """Those than which none is both as fast and as accurate, by increasing latency.

    Of equals the first stays.
    """
    frontier: list[Judged] = []
    for one in sorted(judged, key=lambda one: (one.latency, -one.accuracy)):
        if not frontier or one.accuracy > frontier[-1].accuracy:
            frontier.append(one)
    return frontier
