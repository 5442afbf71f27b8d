"""Plots of measurements, drawn without a display."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.measuring.statistics import Headline
from mnv3_tf.ui import figures

COLOURS = {
    "none": "#4c72b0",
    "float16": "#55a868",
    "dynamic": "#8172b3",
    "int8": "#dd8452",
    "stock": "#8c8c8c",
    "ptq": "#dd8452",
    "qat": "#c44e52",
    "bound": "#ccb974",
}
LEGEND = {"none": "float32", "bound": "bound: ReLU6 for h-swish"}


@dataclass(frozen=True)
class Bar:
    """A file in `plot_latency`; `kind` is one of COLOURS, `ratio` to the first file's time.

    A `text` takes the place of time and ratio; without a headline it stands alone.
    """

    name: str
    kind: str
    headline: Headline | None = None
    p95_us: float | None = None
    ratio: float = 1.0
    text: str | None = None


def plot_latency(bars: Sequence[Bar], title: str, path: str | Path) -> None:
    """A bar per file with its confidence interval, a tick at p95, the first file on top."""

    figure = figures.new(8, 1.4 + 0.5 * len(bars))
    axes = figure.subplots()
    seen, ends, statistics = set[str](), list[float](), dict[str, None]()
    for y, bar in enumerate(bars):
        if bar.headline is None:
            write_beside(axes, bar.text or "", 0, y)
            continue
        value, kind = bar.headline.us / 1e3, bar.kind
        low, high = (bound / 1e3 for bound in bar.headline.interval)
        p95 = value if bar.p95_us is None else bar.p95_us / 1e3
        label = LEGEND.get(kind, kind) if kind not in seen else None
        axes.barh(y, value, 0.6, color=COLOURS.get(kind, "#777777"), label=label)
        axes.errorbar(
            value,
            y,
            xerr=[[max(value - low, 0)], [max(high - value, 0)]],
            color="black",
            capsize=4,
            label=None if seen else "95 % confidence",
        )
        axes.plot(
            p95, y, "|", color="black", markersize=14, alpha=0.5, label=None if seen else "p95"
        )
        seen.add(kind)
        statistics[bar.headline.statistic] = None
        ends.append(max(p95, high))
        text = bar.text or f"{value:.2f} ms" + f"  ({bar.ratio:.2f}x)" * (y > 0)
        write_beside(axes, text, ends[-1], y)
    axes.set_yticks(range(len(bars)), [_shorten(bar.name) for bar in bars])
    axes.invert_yaxis()
    # Room for what is written beside the longest bar.
    axes.set_xlim(0, (1.6 if any(bar.text for bar in bars) else 1.3) * max(ends))
    axes.set_xlabel(f"milliseconds per inference, {' and '.join(statistics)}")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", ncols=len(seen) + 2, frameon=False, fontsize=8)
    figures.save(figure, path, dpi=150)


def plot_answers(
    pictures: np.ndarray, answers: np.ndarray, class_names: Sequence[str], path: str | Path
) -> None:
    """Pictures (N, H, W, 3) in [-1, 1] in rows of five, each under the class it was given.

    `answers` are probabilities (N, classes).
    """

    rows = -(-len(pictures) // 5)
    figure = figures.new(8, 1.85 * rows)
    grid = figure.subplots(rows, 5, squeeze=False).ravel()
    for axes, picture, answer in zip(grid, pictures, answers, strict=False):
        best = int(answer.argmax())
        axes.imshow((picture + 1) / 2)
        axes.set_title(f"{class_names[best]} {answer[best]:.0%}", fontsize=10)
    for axes in grid:
        axes.set_axis_off()
    figures.save(figure, path, dpi=150)


def write_beside(axes: Any, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), (8, 0), textcoords="offset points", va="center", fontsize=9)


def _shorten(name: str, most: int = 36) -> str:
    return name if len(name) <= most else f"{name[: most // 2]}...{name[-most // 2 + 3 :]}"
