"""NetAdapt's proposals: what may be shrunk, and by how much.

Howard et al. 2019, section 4.2: any expansion, or the bottleneck of all blocks that share it, so
that residuals stay. Each proposal shrinks one of them by no more than is needed to cut latency
by a given amount.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mnv3_tf.errors import UserError
from mnv3_tf.networks.blocks import Expanding, make_divisible
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.candidates import Candidate

STEP = 8
"""Channels are multiples of it, as everywhere in the family."""


@dataclass(frozen=True)
class Part:
    """One thing to shrink: the expansion of `block`, or the bottleneck of its group."""

    kind: str
    block: int

    def channels(self, spec: NetworkSpec) -> int:
        block = spec.blocks[self.block]
        if self.kind == "expansion" and isinstance(block, Expanding):
            return block.expansion
        return block.filters

    def resized(self, spec: NetworkSpec, channels: int) -> NetworkSpec:
        if self.kind == "expansion":
            return spec.with_expansion(self.block, channels)
        return spec.with_bottleneck(self.block, channels)


Latencies = Callable[[Sequence[NetworkSpec]], Sequence[float]]
"""Of several networks at once, in the search's unit."""


def parts_of(spec: NetworkSpec) -> list[Part]:
    """Every expansion that there is, and one part for each group of equal bottlenecks."""
    placed = list(spec.placed_blocks())
    parts = [Part("expansion", i) for i, block in enumerate(placed) if block.has_expansion]
    for i, block in enumerate(placed):
        if not block.residual:  # the first of its group
            parts.append(Part("bottleneck", i))
    return parts


def propose(
    spec: NetworkSpec, latency: float, cut: float, smallest: NetworkSpec, latencies: Latencies
) -> list[Candidate]:
    """For each part the largest number of channels that lowers `latency` by at least `cut`.

    Their accuracy and loss are 0 until they are evaluated.

    Parts that cannot, without falling below their channels in `smallest`, make no proposal.
    """
    proposals = []
    waiting = {part: _shrinkings(spec, part, part.channels(smallest)) for part in parts_of(spec)}
    while waiting:
        trials = {
            part: trial
            for part, shrinkings in waiting.items()
            if (trial := next(shrinkings, None)) is not None
        }
        measured = latencies(list(trials.values()))
        waiting = {part: waiting[part] for part in trials}
        for (part, trial), its_latency in zip(trials.items(), measured, strict=True):
            if its_latency <= latency - cut:
                change = _change(part, spec, trial)
                proposals.append(Candidate(trial, its_latency, 0.0, 0.0, change=change))
                del waiting[part]
    return proposals


def shrunk(spec: NetworkSpec, to: float) -> NetworkSpec:
    """Every part at `to` of its channels: the smallest network that a search may reach."""
    if not 0 < to <= 1:
        raise UserError(f"--smallest={to} is no part of the channels; choose above 0, up to 1.")
    structure = _structure(spec)
    # Bottlenecks first: expansions must not become as wide as what they read.
    for part in sorted(parts_of(spec), key=lambda part: part.kind):
        for channels in range(make_divisible(to * part.channels(spec)), part.channels(spec), STEP):
            smaller = part.resized(spec, channels)
            if _structure(smaller) == structure:
                spec = smaller
                break
    return spec


def _shrinkings(spec: NetworkSpec, part: Part, least: int) -> Iterator[NetworkSpec]:
    """The part ever smaller, as long as the network keeps its layers."""
    structure, now = _structure(spec), part.channels(spec)
    for channels in range((now - 1) // STEP * STEP, least - 1, -STEP):
        smaller = part.resized(spec, channels)
        # An expansion as wide as its input would be left out, and weights with it.
        if _structure(smaller) == structure:
            yield smaller


def _structure(spec: NetworkSpec) -> list[tuple[str, tuple[str, ...]]]:
    return [(op.name, op.reads) for op in operators(spec)]


def _change(part: Part, before: NetworkSpec, after: NetworkSpec) -> str:
    return f"{part.kind} {part.block}: {part.channels(before)} -> {part.channels(after)}"
