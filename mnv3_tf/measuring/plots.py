"""Plots of measurements, drawn without a display."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.measuring.statistics import headline_of
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


def plot_latency(rows: Sequence[Mapping[str, Any]], title: str, path: str | Path) -> None:
    """A bar per model with its confidence interval, a tick at p95, the first model on top.

    `rows` are the "models" of `benchmark latency`'s results. A "text" takes the place of the
    time and ratio beside a bar; a row whose "median_us" is None has its text alone. A p95 far
    beyond every bar, as on a busy computer, is written instead of drawn: it would press them flat.
    """

    timed = [row for row in rows if row["median_us"] is not None]
    longest_bar = max(headline_of(row).interval[1] for row in timed) / 1e3
    drawn = [p95 for row in timed if (p95 := row["p95_us"] / 1e3) <= FAR * longest_bar]
    figure = figures.new(8, 1.4 + 0.5 * len(rows))
    axes = figure.subplots()
    seen = set[str]()
    for y, row in enumerate(rows):
        if row["median_us"] is None:
            _write_beside(axes, row["text"], 0, y)
            continue
        headline = headline_of(row)
        value, p95 = headline.us / 1e3, row["p95_us"] / 1e3
        low, high = (bound / 1e3 for bound in headline.interval)
        kind = row["quantize"]
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
        text = row.get("text") or f"{value:.2f} ms" + (f"  ({headline.ratio:.2f}x)" if y else "")
        if p95 in drawn:
            label = "p95" if p95 == drawn[0] else None
            axes.plot(p95, y, "|", color="black", markersize=14, alpha=0.5, label=label)
        else:
            text += f"  p95 {p95:.2f} ms"
        seen.add(kind)
        _write_beside(axes, text, max(p95, high) if p95 in drawn else high, y)
    axes.set_yticks(range(len(rows)), [_shorten(row["name"]) for row in rows])
    axes.invert_yaxis()
    longest = max([longest_bar, *drawn])
    # Room for what is written beside the longest bar.
    axes.set_xlim(
        0, (1.6 if len(drawn) < len(timed) or any("text" in row for row in rows) else 1.3) * longest
    )
    statistics = dict.fromkeys(headline_of(row).statistic for row in timed)
    axes.set_xlabel(f"milliseconds per inference, {' and '.join(statistics)}")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", ncols=len(seen) + 2, frameon=False, fontsize=8)
    figures.save(figure, path, dpi=150)


def plot_accuracy(rows: Sequence[Mapping[str, Any]], title: str, path: str | Path) -> None:
    """A bar of top-1 (0 to 1) per quantised file, and the float network's as a line.

    `rows` are those of `benchmark int8` that were judged, the float file's among them.
    """

    reference = next(row["top1"] for row in rows if row["method"] is None)
    bars = [row for row in rows if row["method"] is not None]
    figure = figures.new(8, 1.4 + 0.5 * len(bars))
    axes = figure.subplots()
    for y, row in enumerate(bars):
        axes.barh(y, row["top1"], 0.6, color=COLOURS.get(row["method"], "#777777"))
        text = f"{row['top1']:.3f}  ({-row['top1_loss']:+.1f} points)"
        _write_beside(axes, text, max(row["top1"], reference), y)
    axes.axvline(reference, color=COLOURS["none"], linestyle="--", label=f"float {reference:.3f}")
    kernels = {"xnnpack": "XNNPACK", "built-in": "built-in kernels"}
    names = [f"{row['file']}\n{row['method']}, {kernels[row['kernels']]}" for row in bars]
    axes.set_yticks(range(len(bars)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlim(0, 1.35 * max(reference, *(row["top1"] for row in bars)))
    axes.set_xlabel("top-1")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", frameon=False, fontsize=8)
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


def _write_beside(axes: Any, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), (8, 0), textcoords="offset points", va="center", fontsize=9)


def _shorten(name: str, most: int = 36) -> str:
    return name if len(name) <= most else f"{name[: most // 2]}...{name[-most // 2 + 3 :]}"
