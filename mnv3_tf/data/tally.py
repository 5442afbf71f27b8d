"""What was left out of a dataset on opening: counted by reason, told with names."""

from typing import NamedTuple

_NAMES_TOLD = 3


class Reason(NamedTuple):
    """What follows the count in a sentence: for one, and for several."""

    one: str
    several: str


class Tally:
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
            f"{count} {reason.one if count == 1 else reason.several} ({self._told(reason)})"
            for reason, count in self._counts.items()
        )

    def _told(self, reason: Reason) -> str:
        names = list(self._names[reason])
        return ", ".join(names[:_NAMES_TOLD] + ["..."] * (len(names) > _NAMES_TOLD))
