"""NetAdapt (Yang et al. 2018) with the rule of Howard et al. 2019, section 4.2.

From a seed network down to a target latency: each step makes every proposal that cuts latency by
at least delta, trains each for a short time on the weights of the step before, and takes one.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnv3_tf.errors import UserError
from mnv3_tf.journal import Journal
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.candidates import Judged
from mnv3_tf.search.latency import Latency, shown
from mnv3_tf.search.proposals import propose
from mnv3_tf.ui.progress import duration, reported

if TYPE_CHECKING:
    from mnv3_tf.search.short_training import Outcome, Start, Trial

Rule = Callable[[Judged, Judged], float]
"""Of the network of the step before and a proposal; the greatest is taken."""


def accuracy_per_latency(before: Judged, proposal: Judged) -> float:
    """The paper's: the change of accuracy by what latency is saved."""
    return (proposal.accuracy - before.accuracy) / (before.latency - proposal.latency)


def least_loss_of_accuracy(before: Judged, proposal: Judged) -> float:
    """NetAdapt's own."""
    return proposal.accuracy - before.accuracy


RULES: Mapping[str, Rule] = {
    "accuracy_per_latency": accuracy_per_latency,
    "least_loss": least_loss_of_accuracy,
}


def require_reachable(target: float, smallest: NetworkSpec, latency: Latency) -> None:
    """Raises UserError for a target below the latency of the smallest network."""
    (least,) = latency.of([smallest])
    if least > target:
        raise UserError(
            f"The target {shown(target, latency.unit)} cannot be reached: with the fewest "
            f"channels the network still takes {shown(least, latency.unit)}; raise --target, or "
            "lower --smallest or --resolution."
        )


Judge = Callable[[Sequence["Trial"]], Iterator[tuple["Trial", "Outcome"]]]
"""Trials with their outcomes, as they are done."""


@dataclass(frozen=True)
class Step:
    """The proposals of a step, and which was taken; `start` are the weights of that one."""

    proposals: tuple[Judged, ...]
    chosen: Judged
    start: "Start"


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
    latency: Latency
    judge: Judge
    journal: Journal
    weights: Path
    steps: int
    say: Callable[[str], None] = print

    def run(self, seed: Judged, start: "Start") -> Iterator[Step]:
        """The steps from the seed to the target; those that the journal holds are not made again.

        Raises UserError where no part can be shrunk so far that it makes the cut.
        """
        begun, before = time.monotonic(), seed
        for number in itertools.count(1):
            if before.latency <= self.target:
                return
            fresh = not self._recorded(number, "judged")
            step = self._step(number, before, start)
            before, start = step.chosen, step.start
            if not fresh:  # from the journal, which says nothing about the pace
                begun, seed = time.monotonic(), before
            self.say(self._line(number, step, seed, time.monotonic() - begun))
            yield step

    def _step(self, number: int, before: Judged, start: "Start") -> Step:
        from mnv3_tf.search.short_training import Start

        proposals = self._proposals(number, before)
        judged = self._judge(number, proposals, start)
        # Equals are told apart by the loss, which is finer than a count of pictures.
        best = max(judged, key=lambda one: (self.rule(before, one), -one.loss))
        for one in judged:
            if one is not best:
                self._weights_of(number, one.spec).unlink(missing_ok=True)
        return Step(tuple(judged), best, Start(best.spec, self._weights_of(number, best.spec)))

    def _proposals(self, number: int, before: Judged) -> list[Judged]:
        """Not judged yet. They are recorded, for measured latencies are not the same twice."""
        if found := self._recorded(number, "proposals"):
            return [Judged.from_json(tree) for tree in found[0]]
        made = propose(before.spec, before.latency, self.cut, self.smallest, self.latency.of)
        if not made:
            unit = self.latency.unit
            raise UserError(
                f"Nothing can be shrunk any more to cut {shown(self.cut, unit)} at "
                f"{shown(before.latency, unit)}; lower --delta or --smallest, or raise --target."
            )
        proposals = [Judged(one.spec, one.latency, 0.0, 0.0, change=one.change) for one in made]
        self.journal.add({"step": number, "proposals": [one.to_json() for one in proposals]})
        return proposals

    def _judge(self, number: int, proposals: Sequence[Judged], start: "Start") -> list[Judged]:
        from mnv3_tf.search.short_training import Trial

        known = {tree["hash"]: tree for tree in self._recorded(number, "judged")}
        missing = [one for one in proposals if one.spec.hash not in known]
        trials = [
            Trial(
                one.spec,
                start,
                first_step=(number - 1) * self.steps,
                save=self._weights_of(number, one.spec),
            )
            for one in missing
        ]
        of_step = reported(self.judge(trials), len(trials), f"step {number}", self.say)
        for trial, outcome in of_step:
            entry = {
                "hash": trial.spec.hash,
                "accuracy": outcome.accuracy,
                "loss": outcome.loss,
            }
            self.journal.add({"step": number, "judged": entry})
            known[trial.spec.hash] = entry
        return [
            replace(one, accuracy=tree["accuracy"], loss=tree["loss"])
            for one in proposals
            for tree in [known[one.spec.hash]]
        ]

    def _recorded(self, number: int, kind: str) -> list[Any]:
        return [
            entry[kind]
            for entry in self.journal.entries()
            if entry.get("step") == number and kind in entry
        ]

    def _weights_of(self, number: int, spec: NetworkSpec) -> Path:
        return self.weights / f"step_{number:03}_{spec.hash}.weights.h5"

    def _line(self, number: int, step: Step, first: Judged, seconds: float) -> str:
        unit, now = self.latency.unit, step.chosen
        told = (
            f"step {number}  {shown(now.latency, unit)} of {shown(self.target, unit)}  "
            f"held-out top-1 {now.accuracy:.4f}  {now.change}  of {len(step.proposals)}"
        )
        done, left = first.latency - now.latency, now.latency - self.target
        if left > 0 and done > 0:
            told += f"  about {duration(seconds * left / done)} left"
        return told
