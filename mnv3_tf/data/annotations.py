"""What was left out of a dataset on opening, counted and named."""

from collections.abc import Iterable
from typing import NamedTuple

from mnv3_tf.tasks.class_names import shown

_NAMES_SHOWN = 3


class Reason(NamedTuple):
    """What follows the count in a sentence: for one, and for several."""

    one: str
    several: str


class Tally:
    """What was left out of a dataset: counted by reason, with names."""

    def __init__(self) -> None:
        self._counts: dict[Reason, int] = {}
        self._names: dict[Reason, dict[str, None]] = {}

    def add(self, reason: Reason, name: str, count: int = 1) -> None:
        """`name` is the picture's, or what else helps to find it."""
        if count:
            self._counts[reason] = self._counts.get(reason, 0) + count
            self._names.setdefault(reason, {})[name] = None

    def sentences(self) -> tuple[str, ...]:
        """As "2 boxes of no area were left out (a.jpg, b.jpg)": up to three names each."""
        return tuple(
            f"{count} {reason.one if count == 1 else reason.several} "
            f"({_shortened(list(self._names[reason]))})"
            for reason, count in self._counts.items()
        )


def listed(names: Iterable[str]) -> str:
    """As "'cat', 'dog', 'cow', ...": up to three, quoted."""
    return _shortened([repr(name) for name in names])


def _shortened(names: list[str]) -> str:
    return ", ".join(
        [shown(name) for name in names[:_NAMES_SHOWN]] + ["..."] * (len(names) > _NAMES_SHOWN)
    )
