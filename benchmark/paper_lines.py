"""Rows of the paper's tables as text, for the terminal and for the page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmark.paper import PaperRow
from benchmark.paper_tables import accuracy
from mnv3_tf.measuring.published import PIXELS
from mnv3_tf.measuring.statistics import half_width
from mnv3_tf.tasks import CLASSIFY, DETECT, SEGMENT

KINDS = {"none": "float", "int8": "int8"}
COLUMNS = ("network", "kind", "ms", "± %", "ratio", "MAdds", "params")
EXPLANATION = (
    "ms, ±, ratio: measured here, at the tenth percentile of all inferences, which others' work on "
    "the machine hardly touches (medians are in the JSON). MAdds, params (millions): computed."
)


@dataclass(frozen=True)
class Layout:
    """What a task's table has beside COLUMNS: published accuracies, before milliseconds of PIXELS.

    `accuracies` are their keys by column. A terminal has room for the first of them and the first
    of PIXELS, and none for published sizes in brackets.
    """

    accuracies: Mapping[str, str]
    explanation: str


LAYOUTS = {
    CLASSIFY.name: Layout(
        {"top-1": "top1"},
        "MAdds: millions. top-1 (*: by a report of --reports), P-1, P-2, P-3 (ms on Pixel 1, 2, "
        "3): published.",
    ),
    DETECT.name: Layout(
        {"mAP": "map"},
        "Detection: MAdds in billions; in brackets, mAP and P-1 (ms on Pixel 1): published.",
    ),
    SEGMENT.name: Layout(
        {"mIoU": "miou", "test": "test_miou"},
        "Segmentation: MAdds in billions, at 1024x2048; in brackets, mIoU and P-3 (ms on Pixel 3): "
        "published.",
    ),
}


def explanation(tasks: Iterable[str]) -> str:
    """Of the columns in the tables of these tasks."""
    return " ".join([EXPLANATION, *(LAYOUTS[task].explanation for task in dict.fromkeys(tasks))])


def columns(task: str, wide: bool = True) -> tuple[str, ...]:
    pixels = tuple(f"P-{number}" for number in PIXELS[task])
    return (*COLUMNS, *_shown(tuple(LAYOUTS[task].accuracies), wide), *_shown(pixels, wide))


def line(row: PaperRow, task: str, wide: bool = True) -> tuple[str, ...]:
    """A row under `columns` of the same task and width."""
    published = row["published"]
    if task == CLASSIFY.name:
        sizes = [f"{row['madds'] / 1e6:.1f}", f"{row['params'] / 1e6:.2f}"]
        mark = "*" if (row["top1_origin"] or "").startswith("measured") else ""
        accuracies = ["-" if row["top1"] is None else f"{row['top1']:.1f}{mark}"]
    else:
        sizes = [
            _beside(row.get("full_madds", row["madds"]) / 1e9, published["madds_b"], wide),
            _beside(row["params"] / 1e6, published["params_m"], wide),
        ]
        found = [accuracy(published, key) for key in LAYOUTS[task].accuracies.values()]
        accuracies = ["-" if value is None else f"{value:.1f}" for value in found]
    pixel_ms = [f"{ms:g}" for ms in published.get("pixel_ms", ())]
    pixel_ms += ["-"] * (len(PIXELS[task]) - len(pixel_ms))
    return (
        row["name"],
        KINDS[row["quantize"]],
        f"{row['full_pace_us'] / 1e3:.2f}",
        f"{half_width(row['full_pace_us'], row['ci_us']):.1f}",
        f"{row['ratio']:.3f}",
        *sizes,
        *_shown(tuple(accuracies), wide),
        *_shown(tuple(pixel_ms), wide),
    )


def _shown(cells: tuple[str, ...], wide: bool) -> tuple[str, ...]:
    return cells if wide else cells[:1]


def _beside(computed: float, published: float | None, wide: bool) -> str:
    theirs = "-" if published is None else f"{published:.2f}"
    return f"{computed:.2f}" + f" ({theirs})" * wide
