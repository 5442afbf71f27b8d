"""The tables of the paper that a host can measure, as data: which networks, and how h-swish runs.

A row's published figures are the paper's, in its own units; what is absent was not published.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypedDict, cast

from mnv3_tf.measuring import published
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.tasks import CLASSIFY, DETECT, SEGMENT
from mnv3_tf.tasks.specs import Head, Spec, resolve_spec
from mnv3_tf.tflite.skeleton import FASTEST, HardSwishForm, Precision

if TYPE_CHECKING:
    from mnv3_tf.measuring.latency import HostSettings

PRECISIONS: tuple[Precision, ...] = ("none", "int8")


class PaperFigures(TypedDict, total=False):
    """What the paper says of a network; accuracies are in percent.

    `pixel_ms` is of Pixel 1, 2, 3 as far as given, of detectors and segmentation networks of the
    one phone that was measured. These have `params_m` (millions) and `madds_b` (billions) in int8
    too: they are the network's. `change` is what the ablations say.
    """

    top1: float
    map: float
    miou: float | None
    test_miou: float | None
    pixel_ms: list[float]
    params_m: float | None
    madds_b: float
    change: str
    source: str


def accuracy(published: PaperFigures, key: str) -> float | None:
    """That of a task's metric; None where it was not published."""
    return cast(Mapping[str, float | None], published).get(key)


@dataclass(frozen=True)
class TableRow:
    """A network in one precision."""

    label: str
    spec: Spec
    quantize: Precision
    hard_swish: HardSwishForm | None = None
    published: PaperFigures = field(default_factory=lambda: PaperFigures())

    @property
    def lowering(self) -> HardSwishForm:
        return self.hard_swish or FASTEST[self.quantize]

    @property
    def name(self) -> str:
        """Of its file: unique within its table."""
        kind = "float" if self.quantize == "none" else self.quantize
        return "_".join(filter(None, (self.label.replace(" ", "_"), kind, self.hard_swish)))


@dataclass(frozen=True)
class Table:
    """`first` is the label of the row that the others are compared with, in their precision.

    `most_rounds` bounds the rounds where inferences are long. A table that is not `by_default` is
    measured when it is asked for by name.
    """

    title: str
    rows: Callable[[], Iterator[TableRow]]
    first: str
    note: str = ""
    task: str = CLASSIFY.name
    most_rounds: int | None = None
    by_default: bool = True

    def settings(self, asked: "HostSettings") -> "HostSettings":
        """Those that the table is measured with."""
        return replace(asked, rounds=min(asked.rounds, self.most_rounds or asked.rounds))


def networks() -> Iterator[TableRow]:
    for quantize in PRECISIONS:
        for network, width in published.FAMILY:
            label = network if width == 1 else f"{network} {width:g}"
            yield _row(label, network, width, 224, quantize)


def multipliers() -> Iterator[TableRow]:
    for quantize in PRECISIONS:
        for network in ("large", "small"):
            for width in published.WIDTHS:
                yield _row(f"{network} {width:g}", network, width, 224, quantize)
            for resolution in published.RESOLUTIONS:
                if resolution != 224:
                    yield _row(f"{network} at {resolution}", network, 1.0, resolution, quantize)


def _row(label: str, network: str, width: float, resolution: int, quantize: Precision) -> TableRow:
    found = published.find(network, width, quantize, resolution)
    figures: PaperFigures = (
        {"top1": found.top1, "pixel_ms": list(found.pixel_ms), "source": found.source}
        if found
        else {}
    )
    return TableRow(label, resolve(network, width, resolution), quantize, published=figures)


PLACEMENTS: Mapping[str, tuple[int | None, float, float, float]] = {
    "relu only": (None, 74.5, 50.5, 50.5),
    "h-swish from 112": (10, 75.0, 51.0, 54.4),
    "h-swish from 80": (6, 75.2, 51.4, 57.5),
    "h-swish everywhere": (0, 75.4, 53.5, 68.9),
}
"""Table 5: the first block of Large with h-swish, top-1, and Pixel 1's milliseconds, optimised
and not. The stem keeps h-swish where there is any, as in Table 1."""

LOWERINGS: tuple[HardSwishForm, ...] = ("fused", "composite", "naive")


def hard_swish() -> Iterator[TableRow]:
    large = resolve("large")
    for quantize in PRECISIONS:
        for label, (first, top1, optimised_ms, naive_ms) in PLACEMENTS.items():
            if first is None:
                figures = _placement(quantize, top1, optimised_ms)
                yield TableRow(label, large.with_activation("relu"), quantize, published=figures)
                continue
            spec = large.with_activation("hard_swish", first)
            spec = spec.replace(stem=large.stem, last_activation=large.last_activation)
            for lowering in LOWERINGS:
                pixel_ms = {"fused": optimised_ms, "naive": naive_ms}.get(lowering)
                figures = _placement(quantize, top1, pixel_ms)
                yield TableRow(label, spec, quantize, lowering, figures)


def _placement(quantize: Precision, top1: float, pixel_ms: float | None) -> PaperFigures:
    """Of float alone."""
    if quantize != "none":
        return {}
    figures: PaperFigures = {"top1": top1, "source": published.PLACEMENT}
    return figures if pixel_ms is None else {**figures, "pixel_ms": [pixel_ms]}


def redesigns() -> Iterator[TableRow]:
    """Section 5's changes, each undone by itself in Large."""
    large, source = resolve("large"), published.REDESIGN
    undone: dict[str, tuple[NetworkSpec, PaperFigures]] = {
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
        for label, (spec, figures) in undone.items():
            yield TableRow(label, spec, quantize, published=figures if quantize == "none" else {})


def detection() -> Iterator[TableRow]:
    """Table 6's detectors at 320x320."""
    for quantize in PRECISIONS:
        for row in published.DETECTORS:
            label = _label(row.network, row.width, "half" * (row.tail == "half"))
            head = Head(tail=row.tail)
            spec = resolve_spec(
                DETECT.name, row.network, row.width, None, published.COCO_CLASSES, head
            )
            figures: PaperFigures = {"params_m": row.params_m, "madds_b": row.madds_b}
            if quantize == "none":
                figures |= {"map": row.mean_ap, "pixel_ms": [row.pixel1_ms]}
            figures["source"] = published.DETECTION
            yield TableRow(label, spec, quantize, published=figures)


def _label(network: str, width: float, *more: str) -> str:
    return " ".join(filter(None, (network, f"{width:g}" * (width != 1), *more)))


def segmentation(image_size: tuple[int, int] = published.HALF_SIZE) -> Iterator[TableRow]:
    """Tables 7 and 8 at this height and width."""
    full = image_size == published.CITYSCAPES_SIZE
    for quantize in PRECISIONS:
        for row in published.SEGMENTERS:
            label = _label(
                *(row.network, row.width, "full" * (row.tail == "full")),
                f"{HEAD_NAMES[row.head]} {row.filters}",
                "OS 32" * (row.output_stride == 32),
            )
            head = Head(row.tail, row.head, row.filters, row.output_stride)
            spec = resolve_spec(
                SEGMENT.name,
                row.network,
                row.width,
                image_size,
                published.CITYSCAPES_CLASSES,
                head,
            )
            figures: PaperFigures = {"params_m": row.params_m, "madds_b": row.madds_b}
            if quantize == "none":
                pixel_ms = [row.pixel3_ms if full else row.pixel3_half_ms]
                figures |= {"miou": row.miou, "test_miou": row.test_miou, "pixel_ms": pixel_ms}
            figures["source"] = row.source
            yield TableRow(label, spec, quantize, published=figures)


HEAD_NAMES = {"raspp": "R", "lraspp": "LR"}
SEGMENTATION_NOTE = (
    "All but those that say full have half the channels from C4 to C5, the paper's RF2. R and LR: "
    "R-ASPP and LR-ASPP, with so many filters. Output stride 16, or 32 where it says OS 32. MAdds "
    "are of 1024x2048; the paper's are a little more, for it counts every operator, and pictures "
    "of 1025x2049. mIoU: on Cityscapes' validation set; test: on its test set. P-3: at this "
    "table's resolution. Files are of what an export makes of the network, which answers with "
    "logits at the picture's size."
)


TABLES: Mapping[str, Table] = {
    "networks": Table(
        "Tables 3 and 4: the networks",
        networks,
        "large",
        "Minimalistic networks are in no table; their figures are of the authors' TF-slim. "
        "v4_conv_small is not of the paper but of a later one (arXiv 2404.10518).",
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
    "detection": Table(
        "Table 6: SSDLite at 320x320",
        detection,
        "large half",
        "half: half the channels from C4 to C5, the paper's dagger. mAP: on COCO's test set. "
        "Params are with BatchNorm's, which the paper leaves out; its sizes of MobileNetV2 at full "
        "width are for 80 classes, all others for 90. Files end in box codes and scores of all "
        "anchors, before non-maximum suppression.",
        task=DETECT.name,
        most_rounds=20,
    ),
    "segmentation": Table(
        "Tables 7 and 8: segmentation at 512x1024",
        segmentation,
        "large LR 128",
        SEGMENTATION_NOTE,
        task=SEGMENT.name,
        most_rounds=6,
    ),
    "segmentation_full": Table(
        "Tables 7 and 8: segmentation at 1024x2048",
        lambda: segmentation(published.CITYSCAPES_SIZE),
        "large LR 128",
        SEGMENTATION_NOTE,
        task=SEGMENT.name,
        most_rounds=5,
        by_default=False,
    ),
}
"""All networks of a table are in memory at once, which of the last takes 8 GB."""
