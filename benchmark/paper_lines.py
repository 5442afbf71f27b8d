"""Rows of the paper's tables as text, for the terminal and for the page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mnv3_tf.tasks import CLASSIFY, DETECT, SEGMENT

KINDS = {"none": "float", "int8": "int8"}
COLUMNS = ("network", "kind", "ms", "± %", "ratio", "MAdds", "params")
EXPLANATION = (
    "ms, ±, ratio: measured here, at the tenth percentile of all inferences, which others' work on "
    "the machine hardly touches (medians are in the JSON). MAdds, params (millions): computed."
)


@dataclass(frozen=True)
class Layout:
    """What a task's table has beside COLUMNS: published accuracies and milliseconds.

    `accuracies` are their keys by column. A terminal has room for the first of `accuracies` and the
    first of `pixels`, and none for published sizes in brackets.
    """

    accuracies: Mapping[str, str]
    pixels: tuple[str, ...]
    explanation: str


LAYOUTS = {
    CLASSIFY.name: Layout(
        {"top-1": "top1"},
        ("P-1", "P-2", "P-3"),
        "MAdds: millions. top-1 (*: by a report of --reports), P-1, P-2, P-3 (ms on Pixel 1, 2, "
        "3): published.",
    ),
    DETECT.name: Layout(
        {"mAP": "map"},
        ("P-1",),
        "Detection: MAdds in billions; in brackets, mAP and P-1 (ms on Pixel 1): published.",
    ),
    SEGMENT.name: Layout(
        {"mIoU": "miou", "test": "test_miou"},
        ("P-3",),
        "Segmentation: MAdds in billions, at 1024x2048; in brackets, mIoU and P-3 (ms on Pixel 3): "
        "published.",
    ),
}


def explanation(tasks: Iterable[str]) -> str:
    """Of the columns in the tables of these tasks."""
    return " ".join([EXPLANATION, *(LAYOUTS[task].explanation for task in dict.fromkeys(tasks))])


def columns(task: str, wide: bool = True) -> tuple[str, ...]:
    layout = LAYOUTS[task]
    return (*COLUMNS, *_shown(tuple(layout.accuracies), wide), *_shown(layout.pixels, wide))


def line(row: Mapping[str, Any], task: str, wide: bool = True) -> tuple[str, ...]:
    """A row under `columns` of the same task and width."""
    layout, published = LAYOUTS[task], row["published"]
    low, high = row["ci_us"]
    if task == CLASSIFY.name:
        sizes = [f"{row['madds'] / 1e6:.1f}", f"{row['params'] / 1e6:.2f}"]
        mark = "*" if (row["top1_origin"] or "").startswith("measured") else ""
        accuracies = ["-" if row["top1"] is None else f"{row['top1']:.1f}{mark}"]
    else:
        sizes = [
            _beside(row.get("full_madds", row["madds"]) / 1e9, published["madds_b"], wide),
            _beside(row["params"] / 1e6, published["params_m"], wide),
        ]
        found = [published.get(key) for key in layout.accuracies.values()]
        accuracies = ["-" if value is None else f"{value:.1f}" for value in found]
    pixel_ms = [f"{ms:g}" for ms in published.get("pixel_ms", ())]
    pixel_ms += ["-"] * (len(layout.pixels) - len(pixel_ms))
    return (
        row["name"],
        KINDS[row["quantize"]],
        f"{row['full_pace_us'] / 1e3:.2f}",
        f"{50 * (high - low) / row['full_pace_us']:.1f}",
        f"{row['ratio']:.3f}",
        *sizes,
        *_shown(tuple(accuracies), wide),
        *_shown(tuple(pixel_ms), wide),
    )


def _shown(cells: tuple[str, ...], wide: bool) -> tuple[str, ...]:
    return cells if wide else cells[:1]


def _beside(computed: float, published: float | None, wide: bool) -> str:
    told = "-" if published is None else f"{published:.2f}"
    return f"{computed:.2f}" + f" ({told})" * wide
