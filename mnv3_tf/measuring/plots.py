"""Plots of measurements, drawn without a display."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
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
FAR = 2.5
"""Times the longest bar: up to there a p95 is drawn."""

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
    """A bar per file with its confidence interval, a tick at p95, the first file on top.

    A p95 far beyond every bar, as on a busy computer, is written instead of drawn: it would press
    them flat.
    """

    longest = max(bar.headline.interval[1] for bar in bars if bar.headline) / 1e3
    all_p95 = [bar.p95_us / 1e3 for bar in bars if bar.p95_us is not None]
    drawn = [p95 for p95 in all_p95 if p95 <= FAR * longest]
    figure = figures.new(8, 1.4 + 0.5 * len(bars))
    axes = figure.subplots()
    seen, statistics = set[str](), dict[str, None]()
    for y, bar in enumerate(bars):
        if bar.headline is None:
            write_beside(axes, bar.text or "", 0, y)
            continue
        value, kind = bar.headline.us / 1e3, bar.kind
        low, high = (bound / 1e3 for bound in bar.headline.interval)
        p95 = None if bar.p95_us is None else bar.p95_us / 1e3
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
        text = bar.text or f"{value:.2f} ms" + f"  ({bar.ratio:.2f}x)" * (y > 0)
        if p95 is not None and p95 in drawn:
            label = "p95" if p95 == drawn[0] else None
            axes.plot(p95, y, "|", color="black", markersize=14, alpha=0.5, label=label)
            high = max(high, p95)
        elif p95 is not None:
            text += f"  p95 {p95:.2f} ms"
        seen.add(kind)
        statistics[bar.headline.statistic] = None
        write_beside(axes, text, high, y)
    axes.set_yticks(range(len(bars)), [_shorten(bar.name) for bar in bars])
    axes.invert_yaxis()
    # Room for what is written beside the longest bar.
    is_long = len(drawn) < len(all_p95) or any(bar.text for bar in bars)
    axes.set_xlim(0, (1.6 if is_long else 1.3) * max([longest, *drawn]))
    axes.set_xlabel(f"milliseconds per inference, {' and '.join(statistics)}")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", ncols=len(seen) + 2, frameon=False, fontsize=8)
    figures.save(figure, path, dpi=150)


def plot_counts(bars: Sequence[tuple[str, str, float, str]], title: str, path: str | Path) -> None:
    """A bar of million instructions for each (name, kind, millions, text), the first on top.

    `kind` is one of COLOURS; the text stands beside the bar.
    """
    figure = figures.new(8, 1.4 + 0.5 * len(bars))
    axes = figure.subplots()
    for y, (_, kind, millions, text) in enumerate(bars):
        label = LEGEND.get(kind, kind) if kind not in [bar[1] for bar in bars[:y]] else None
        axes.barh(y, millions, 0.6, color=COLOURS.get(kind, "#777777"), label=label)
        write_beside(axes, text, millions, y)
    axes.set_yticks(range(len(bars)), [_shorten(bar[0]) for bar in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max(bar[2] for bar in bars))
    axes.set_xlabel("million instructions per inference")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", ncols=3, frameon=False, fontsize=8)
    figures.save(figure, path, dpi=150)


def plot_parts(
    bars: Sequence[tuple[str, Mapping[str, float]]],
    xlabel: str,
    path: str | Path,
    shown: int | None = None,
) -> None:
    """A bar of milliseconds for each (name, parts), in pieces, the first on top.

    With `shown`, only so many parts, the largest over all bars, have a colour of their own.
    """
    totals: dict[str, float] = defaultdict(float)
    for _, parts in bars:
        for part, ms in parts.items():
            totals[part] += ms
    own = list(totals)
    if shown is not None:
        own = sorted(totals, key=lambda part: -totals[part])[:shown]
    figure = figures.new(8, 1.6 + 0.5 * len(bars))
    axes = figure.subplots()
    for y, (_, parts) in enumerate(bars):
        left = 0.0
        pieces = [(f"C{number}", part, parts.get(part, 0.0)) for number, part in enumerate(own)]
        if shown is not None:
            rest = sum(ms for part, ms in parts.items() if part not in own)
            pieces.append(("#bbbbbb", "others", rest))
        for colour, part, ms in pieces:
            axes.barh(y, ms, 0.6, left=left, color=colour, label=None if y else part)
            left += ms
    axes.set_yticks(range(len(bars)), [name for name, _ in bars])
    axes.invert_yaxis()
    axes.set_xlabel(f"milliseconds, {xlabel}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figures.save(figure, path)


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
