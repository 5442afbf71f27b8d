"""The tables of the paper that a host can measure, as data: which networks, and how h-swish runs.

A row's published figures are the paper's, in its own units; what is absent was not published.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmark import published
from mnv3_tf.export.skeleton import FASTEST, HardSwish, Precision
from mnv3_tf.networks import resolve
from mnv3_tf.spec import NetworkSpec

PRECISIONS: tuple[Precision, ...] = ("none", "int8")


@dataclass(frozen=True)
class Row:
    """A network in one precision. `published` has "top1" (percent), "pixel_ms" (Pixel 1, 2, 3 as
    far as given), "source", or in the ablations what the paper says of a change.
    """

    label: str
    spec: NetworkSpec
    quantize: Precision
    hard_swish: HardSwish | None = None
    published: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lowering(self) -> HardSwish:
        return self.hard_swish or FASTEST[self.quantize]

    @property
    def name(self) -> str:
        """Of its file: unique within its table."""
        kind = "float" if self.quantize == "none" else self.quantize
        return "_".join(filter(None, (self.label.replace(" ", "_"), kind, self.hard_swish)))


@dataclass(frozen=True)
class Table:
    """`first` is the label of the row that the others are compared with, in their precision."""

    title: str
    rows: Callable[[], Iterator[Row]]
    first: str
    note: str = ""


def networks() -> Iterator[Row]:
    for quantize in PRECISIONS:
        for network, width in published.FAMILY:
            label = network if width == 1 else f"{network} {width:g}"
            yield _row(label, network, width, 224, quantize)


def multipliers() -> Iterator[Row]:
    for quantize in PRECISIONS:
        for network in ("large", "small"):
            for width in published.WIDTHS:
                yield _row(f"{network} {width:g}", network, width, 224, quantize)
            for resolution in published.RESOLUTIONS:
                if resolution != 224:
                    yield _row(f"{network} at {resolution}", network, 1.0, resolution, quantize)


def _row(label: str, network: str, width: float, resolution: int, quantize: Precision) -> Row:
    found = published.find(network, width, quantize, resolution)
    figures = (
        {"top1": found.top1, "pixel_ms": list(found.pixel_ms), "source": found.source}
        if found
        else {}
    )
    return Row(label, resolve(network, width, resolution), quantize, published=figures)


PLACEMENTS: Mapping[str, tuple[int | None, float, float, float]] = {
    "relu only": (None, 74.5, 50.5, 50.5),
    "h-swish from 112": (10, 75.0, 51.0, 54.4),
    "h-swish from 80": (6, 75.2, 51.4, 57.5),
    "h-swish everywhere": (0, 75.4, 53.5, 68.9),
}
"""Table 5: the first block of Large with h-swish, top-1, and Pixel 1's milliseconds, optimised
and not. The stem keeps h-swish where there is any, as in Table 1."""

LOWERINGS: tuple[HardSwish, ...] = ("fused", "composite", "naive")


def hard_swish() -> Iterator[Row]:
    large = resolve("large")
    for quantize in PRECISIONS:
        for label, (first, top1, optimised_ms, naive_ms) in PLACEMENTS.items():
            figures = {"top1": top1, "source": published.PLACEMENT} if quantize == "none" else {}
            if first is None:
                told = figures | ({"pixel_ms": [optimised_ms]} if figures else {})
                yield Row(label, large.with_activation("relu"), quantize, published=told)
                continue
            spec = large.with_activation("hard_swish", first)
            spec = spec.replace(stem=large.stem, last_activation=large.last_activation)
            for lowering in LOWERINGS:
                pixel_ms = {"fused": [optimised_ms], "naive": [naive_ms]}.get(lowering)
                told = figures | ({"pixel_ms": pixel_ms} if figures and pixel_ms else {})
                yield Row(label, spec, quantize, lowering, told)


def redesigns() -> Iterator[Row]:
    """Section 5's changes, each undone by itself in Large."""
    large, source = resolve("large"), published.REDESIGN
    told: dict[str, tuple[NetworkSpec, dict[str, Any]]] = {
        "large": (large, {}),
        "old last stage": (
            large.with_old_last_stage(),
            {"change": "+7 ms, +30 M MAdds on Pixel 1", "source": source},
        ),
        "stem of 32, relu": (
            large.with_stem(32, "relu"),
            {"change": "+2 ms, +10 M MAdds on Pixel 1", "source": source},
        ),
        "no squeeze-excite": (
            large.without_squeeze_excite(),
            {"change": "no discernible latency cost", "source": source},
        ),
    }
    for quantize in PRECISIONS:
        for label, (spec, figures) in told.items():
            yield Row(label, spec, quantize, published=figures if quantize == "none" else {})


TABLES: Mapping[str, Table] = {
    "networks": Table(
        "Tables 3 and 4: the networks",
        networks,
        "large",
        "Minimalistic networks are in no table; their figures are of the authors' TF-slim.",
    ),
    "hard_swish": Table(
        "Table 5 and Figure 8: where h-swish is, and what it costs",
        hard_swish,
        "relu only",
        "fused: one operator; composite: two, the sixth folded away; naive: three, as before the "
        "paper's optimisation. The ratio is to ReLU alone in the same precision.",
    ),
    "multipliers": Table(
        "Table 9 and Figure 7: width multipliers and resolutions", multipliers, "large 1"
    ),
    "redesigns": Table(
        "Section 5: last stage, stem and squeeze-excite",
        redesigns,
        "large",
        "Each row undoes one change of Large; the paper's figures are of that change.",
    ),
}
