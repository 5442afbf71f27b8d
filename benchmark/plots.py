"""Plots of measurements, drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.files import atomic_write

COLOURS = {"none": "#4c72b0", "float16": "#55a868", "dynamic": "#8172b3", "int8": "#dd8452"}


def plot_latency(rows: Sequence[Mapping[str, Any]], title: str, path: str | Path) -> None:
    """A bar per model with its confidence interval, a tick at p95, the first model on top.

    `rows` are the "models" of `benchmark latency`'s results.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.4 + 0.5 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    seen = set()
    for y, row in enumerate(rows):
        value, p95 = row["median_us"] / 1e3, row["p95_us"] / 1e3
        low, high = (bound / 1e3 for bound in row["ci_us"])
        kind = row["quantize"]
        label = ("float32" if kind == "none" else kind) if kind not in seen else None
        seen.add(kind)
        axes.barh(y, value, 0.6, color=COLOURS.get(kind, "#777777"), label=label)
        axes.errorbar(
            value,
            y,
            xerr=[[max(value - low, 0)], [max(high - value, 0)]],
            color="black",
            capsize=4,
            label="95 % confidence" if y == 0 else None,
        )
        axes.plot(
            p95, y, "|", color="black", markersize=14, alpha=0.5, label="p95" if not y else None
        )
        text = f"{value:.2f} ms" + (f"  ({row['ratio']:.2f}x)" if y else "")
        axes.annotate(
            text, (max(p95, high), y), (8, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(range(len(rows)), [_shorten(row["name"]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max(max(row["p95_us"], row["ci_us"][1]) for row in rows) / 1e3)
    axes.set_xlabel("milliseconds per inference, median")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", ncols=len(seen) + 2, frameon=False, fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def plot_answers(
    pictures: np.ndarray, answers: np.ndarray, class_names: Sequence[str], path: str | Path
) -> None:
    """Pictures (N, H, W, 3) in [-1, 1] in rows of five, each under the class it was given.

    `answers` are probabilities (N, classes).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(pictures) // 5)
    figure = Figure(figsize=(8, 1.85 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, 5, squeeze=False).ravel()
    for axes, picture, answer in zip(grid, pictures, answers, strict=False):
        best = int(answer.argmax())
        axes.imshow((picture + 1) / 2)
        axes.set_title(f"{class_names[best]} {answer[best]:.0%}", fontsize=10)
    for axes in grid:
        axes.set_axis_off()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _shorten(name: str, most: int = 36) -> str:
    return name if len(name) <= most else f"{name[: most // 2]}...{name[-most // 2 + 3 :]}"
