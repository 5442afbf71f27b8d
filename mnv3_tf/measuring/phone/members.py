"""The networks of the paper that a phone is measured with, and what the paper says of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mnv3_tf.errors import UserError
from mnv3_tf.measuring import published
from mnv3_tf.networks.ssdlite import RESOLUTION as DETECTORS_SIDE
from mnv3_tf.tasks import CLASSIFY, DETECT, SEGMENT, TASKS
from mnv3_tf.tasks.specs import Head, Resolution, Spec, resolve_spec
from mnv3_tf.tflite.skeleton import Precision

PRECISIONS: tuple[Precision, ...] = ("none", "int8")
HALF = Head(tail="half")
"""Half the channels from C4 to C5 (the paper's dagger and RF2); LR-ASPP with 128 filters at output
stride 16."""


@dataclass(frozen=True)
class Figures:
    """What the paper says: milliseconds on Pixel 1, 2 and 3, None where it does not tell, and
    accuracies in percent ("top1", "map", "miou", "test_miou").
    """

    pixel_ms: tuple[float | None, float | None, float | None]
    accuracy: Mapping[str, float | None]
    source: str


@dataclass(frozen=True)
class Member:
    """A network in one precision; `resolution` is a side, or height and width to segment."""

    network: str
    width: float
    quantize: Precision
    task: str = CLASSIFY.name
    resolution: Resolution = 224

    @property
    def label(self) -> str:
        """Of its file, but for the precision."""
        is_plain = self.task == CLASSIFY.name
        return f"{self.network}_{self.width:g}" if is_plain else self.spec.name

    @property
    def spec(self) -> Spec:
        classes = published.CLASSES.get(self.task)
        return resolve_spec(
            self.task, self.network, self.width, self.resolution, classes, head=HALF
        )

    @property
    def published(self) -> Figures | None:
        """Of detection and segmentation the paper has float alone."""
        if self.task != CLASSIFY.name:
            by_task = {DETECT.name: self._detection, SEGMENT.name: self._segmentation}
            return by_task[self.task]() if self.quantize == "none" else None
        row = published.find(self.network, self.width, self.quantize)
        if row is None:
            return None
        one, two, three = (*row.pixel_ms, None, None, None)[:3]
        return Figures((one, two, three), {"top1": row.top1}, row.source)

    def _detection(self) -> Figures:
        row = next(
            row
            for row in published.DETECTORS
            if (row.network, row.width, row.tail) == (self.network, self.width, HALF.tail)
        )
        return Figures((row.pixel1_ms, None, None), {"map": row.mean_ap}, published.DETECTION)

    def _segmentation(self) -> Figures:
        head = (HALF.tail, HALF.head, HALF.head_filters, HALF.output_stride)
        row = next(
            row
            for row in published.SEGMENTERS
            if (row.network, row.width) == (self.network, self.width)
            and (row.tail, row.head, row.filters, row.output_stride) == head
        )
        by_size = {
            published.HALF_SIZE: row.pixel3_half_ms,
            published.CITYSCAPES_SIZE: row.pixel3_ms,
        }
        ms = by_size[self.resolution] if isinstance(self.resolution, tuple) else None
        accuracy = {"miou": row.miou, "test_miou": row.test_miou}
        return Figures((None, None, ms), accuracy, row.source)


def choose(
    only: Sequence[str],
    resolution: int = 224,
    segmentation_size: tuple[int, int] = published.HALF_SIZE,
) -> list[Member]:
    """Every member, or those of the tasks and networks in `only`.

    `resolution` is that of classifiers. Raises UserError for a name that is neither, and where
    no member is left.
    """
    found = [
        *(
            Member(network, width, quantize, CLASSIFY.name, resolution)
            for quantize in PRECISIONS
            for network, width in published.FAMILY
        ),
        *(
            Member(network, 1.0, quantize, task, size)
            for task, size in ((DETECT.name, DETECTORS_SIDE), (SEGMENT.name, segmentation_size))
            for quantize in PRECISIONS
            for network in ("large", "small")
        ),
    ]
    known = sorted({member.network for member in found})
    for name in only:
        if name not in (*TASKS, *known):
            raise UserError(
                f"--only={name} is in no table; choose from {', '.join((*known, *TASKS))}."
            )
    tasks = [task for task in TASKS if task in only] or list(TASKS)
    networks = [network for network in known if network in only] or known
    chosen = [member for member in found if member.task in tasks and member.network in networks]
    if not chosen:
        raise UserError(
            f"--only={','.join(only)} leaves no network: detection and segmentation have large and "
            "small alone."
        )
    return chosen
