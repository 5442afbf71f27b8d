"""Evaluates trials without training them, on a machine that may die."""

from collections.abc import Callable, Iterator, Sequence

from mnv3_tf.search.candidates import Outcome, Trial


class DyingEvaluator:
    """The last trial first; after `limit` trials the machine dies. `trials` are those evaluated."""

    def __init__(self, outcome: Callable[[Trial], Outcome], limit: int | None = None) -> None:
        self.outcome, self.limit = outcome, limit
        self.trials: list[Trial] = []

    def __call__(self, trials: Sequence[Trial]) -> Iterator[tuple[Trial, Outcome]]:
        for trial in reversed(trials):
            if self.limit is not None and len(self.trials) == self.limit:
                raise KeyboardInterrupt
            self.trials.append(trial)
            yield trial, self.outcome(trial)
