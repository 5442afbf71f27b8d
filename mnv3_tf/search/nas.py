"""Platform-aware search: networks are drawn from a space, trained for a short time, and rewarded.

Tan et al. 2019 (MnasNet), as Howard et al. 2019, section 4.1, use it.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mnv3_tf.journal import Journal
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import entries
from mnv3_tf.search.candidates import Candidate, Evaluate, Trial
from mnv3_tf.search.latency_sources import LatencySource
from mnv3_tf.search.rewards import Reward
from mnv3_tf.search.space import Space
from mnv3_tf.search.strategies import Strategy
from mnv3_tf.ui.progress import duration, reported

LEAST_KNOWN = 8
"""Networks that must have been measured at the rung before any is stopped there."""

HOPELESS = 0.25
"""Networks are stopped whose accuracy at the rung is below this quantile of the others'."""


@dataclass(frozen=True)
class Sample:
    """A network that the strategy asked for, with its reward."""

    candidate: Candidate
    reward: float


@dataclass(frozen=True)
class Nas:
    """`samples` networks are asked for, `batch` at a time; those asked for again are not trained.

    With a `rung` above 0, networks are measured after so many training steps too, and those that
    have fallen behind are trained no further.
    """

    space: Space
    strategy: Strategy
    reward: Reward
    latency: LatencySource
    evaluate: Evaluate
    journal: Journal
    samples: int
    batch: int
    rung: int = 0
    say: Callable[[str], None] = print

    def run(self) -> Iterator[Sample]:
        """The samples in their order. What the journal holds is not trained again.

        The strategy is told what it was told before a stop, and so asks for what it asked for.
        """
        recorded = entries.candidates_of(self.journal)
        known: dict[str, Candidate] = {}
        done, trained, best, begun = 0, 0, -math.inf, time.monotonic()
        while done < self.samples:
            asked = self.strategy.ask(min(self.batch, self.samples - done))
            specs = [self.space.decode(architecture) for architecture in asked]
            fresh = {spec.hash: spec for spec in specs if spec.hash not in known}
            missing = [spec for name, spec in fresh.items() if name not in recorded]
            for candidate in self._train(missing, hopeless_below(known.values())):
                recorded[candidate.spec.hash] = candidate
            # In the order of asking, not of ending: that is the same after a stop.
            known |= {name: recorded[name] for name in fresh}
            candidates = [known[spec.hash] for spec in specs]
            rewards = [self.reward(one.accuracy, one.latency) for one in candidates]
            self.strategy.tell(list(zip(asked, rewards, strict=True)))
            yield from map(Sample, candidates, rewards)
            done, trained = done + len(specs), trained + len(missing)
            best = max(best, *rewards)
            if missing:
                seconds = (time.monotonic() - begun) / trained * (self.samples - done)
                self.say(
                    f"{done}/{self.samples}  reward {sum(rewards) / len(rewards):.4f} on average  "
                    f"best {best:.4f}" + (f"  {duration(seconds)} left" if seconds else "")
                )

    def _train(self, specs: Sequence[NetworkSpec], threshold: float) -> Iterator[Candidate]:
        """Networks that the journal does not have."""
        latencies = dict(zip(specs, self.latency.of(specs), strict=True))
        trials = [Trial(spec, rung=self.rung, stop_below=threshold) for spec in specs]
        outcomes = reported(self.evaluate(trials), len(trials), "this batch", self.say)
        for trial, outcome in outcomes:
            candidate = Candidate(trial.spec, latencies[trial.spec], **vars(outcome))
            entries.add_candidate(self.journal, candidate)
            yield candidate


def hopeless_below(candidates: Iterable[Candidate]) -> float:
    """The accuracy at the rung below which networks are stopped; 0 while too few are known."""
    at_rung = [c.at_rung for c in candidates if c.at_rung is not None]
    return float(np.quantile(at_rung, HOPELESS)) if len(at_rung) >= LEAST_KNOWN else 0.0
