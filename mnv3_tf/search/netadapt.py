"""NetAdapt (Yang et al. 2018) with the rule of Howard et al. 2019, section 4.2.

From a trained network down to a target latency: each step makes every proposal that cuts latency by
at least delta, trains each for a short time on the weights of the step before, and takes one.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mnv3_tf.errors import UserError
from mnv3_tf.journal import Journal
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import entries
from mnv3_tf.search.candidates import Candidate, Evaluate, Start, Trial
from mnv3_tf.search.latency_sources import LatencySource, shown
from mnv3_tf.search.proposals import propose
from mnv3_tf.ui.progress import duration, reported

Rule = Callable[[Candidate, Candidate], float]
"""Of the network of the step before and a proposal; the greatest is taken."""


def accuracy_per_latency(before: Candidate, proposal: Candidate) -> float:
    """The paper's: the change of accuracy by what latency is saved."""
    return (proposal.accuracy - before.accuracy) / (before.latency - proposal.latency)


def least_loss_of_accuracy(before: Candidate, proposal: Candidate) -> float:
    """NetAdapt's own."""
    return proposal.accuracy - before.accuracy


RULES: Mapping[str, Rule] = {
    "accuracy_per_latency": accuracy_per_latency,
    "least_loss": least_loss_of_accuracy,
}


def require_reachable(target: float, smallest: NetworkSpec, latency: LatencySource) -> None:
    """Raises UserError for a target below the latency of the smallest network."""
    (least,) = latency.of([smallest])
    if least > target:
        raise UserError(
            f"The target {shown(target, latency.unit)} cannot be reached: with the fewest "
            f"channels the network still takes {shown(least, latency.unit)}; raise --target, or "
            "lower --smallest or --resolution."
        )


@dataclass(frozen=True)
class Step:
    """The proposals of a step, and which was taken; `start` are the weights of that one."""

    proposals: tuple[Candidate, ...]
    chosen: Candidate
    start: Start


@dataclass(frozen=True)
class NetAdapt:
    """`target` and `cut` (delta) are in the unit of `latency`; `smallest` bounds the channels.

    `steps` of training are what a trial takes, so that each step of the search goes on in the
    data where the last one ended. Weights go to `weights`.
    """

    target: float
    cut: float
    smallest: NetworkSpec
    rule: Rule
    latency: LatencySource
    evaluate: Evaluate
    journal: Journal
    weights: Path
    steps: int
    say: Callable[[str], None] = print

    def run(self, start: Candidate, weights: Start) -> Iterator[Step]:
        """The steps from the starting point to the target; the journal's are not made again.

        Raises UserError where no part can be shrunk so far that it makes the cut.
        """
        begun, first, before = time.monotonic(), start, start
        for number in itertools.count(1):
            if before.latency <= self.target:
                return
            recorded = bool(entries.evaluated_of(self.journal, number))
            step = self._step(number, before, weights)
            before, weights = step.chosen, step.start
            if recorded:  # the journal says nothing about the pace
                begun, first = time.monotonic(), before
            self.say(self._line(number, step, first, time.monotonic() - begun))
            yield step

    def _step(self, number: int, before: Candidate, start: Start) -> Step:
        proposals = self._evaluated(number, self._proposals(number, before), start)
        # Of equal accuracies the smaller loss, which is finer than a count of pictures.
        best = max(proposals, key=lambda one: (self.rule(before, one), -one.loss))
        for one in proposals:
            if one is not best:
                self._weights_of(number, one.spec).unlink(missing_ok=True)
        return Step(tuple(proposals), best, Start(best.spec, self._weights_of(number, best.spec)))

    def _proposals(self, number: int, before: Candidate) -> list[Candidate]:
        """Not evaluated yet. They are recorded: measured latencies are not the same twice."""
        if recorded := entries.proposals_of(self.journal, number):
            return recorded
        proposals = propose(before.spec, before.latency, self.cut, self.smallest, self.latency.of)
        if not proposals:
            unit = self.latency.unit
            raise UserError(
                f"Nothing can be shrunk any more to cut {shown(self.cut, unit)} at "
                f"{shown(before.latency, unit)}; lower --delta or --smallest, or raise --target."
            )
        entries.add_proposals(self.journal, number, proposals)
        return proposals

    def _evaluated(
        self, number: int, proposals: Sequence[Candidate], start: Start
    ) -> list[Candidate]:
        known = entries.evaluated_of(self.journal, number)
        trials = [
            Trial(
                one.spec,
                start,
                first_step=(number - 1) * self.steps,
                save=self._weights_of(number, one.spec),
            )
            for one in proposals
            if one.spec.hash not in known
        ]
        of_step = reported(self.evaluate(trials), len(trials), f"step {number}", self.say)
        for trial, outcome in of_step:
            name = trial.spec.hash
            known[name] = entries.add_evaluated(self.journal, number, name, outcome)
        return [
            replace(one, accuracy=entry["accuracy"], loss=entry["loss"])
            for one in proposals
            for entry in [known[one.spec.hash]]
        ]

    def _weights_of(self, number: int, spec: NetworkSpec) -> Path:
        return self.weights / f"step_{number:03}_{spec.hash}.weights.h5"

    def _line(self, number: int, step: Step, first: Candidate, seconds: float) -> str:
        unit, now = self.latency.unit, step.chosen
        line = (
            f"step {number}  {shown(now.latency, unit)} of {shown(self.target, unit)}  "
            f"held-out top-1 {now.accuracy:.4f}  {now.change}  of {len(step.proposals)}"
        )
        done, left = first.latency - now.latency, now.latency - self.target
        if left > 0 and done > 0:
            line += f"  about {duration(seconds * left / done)} left"
        return line
