"""Plots of what was measured on phones."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from mnv3_tf.measuring.phone import op_tables
from mnv3_tf.measuring.phone.results import PhoneRow, PhoneSummary
from mnv3_tf.measuring.plots import COLOURS, LEGEND, plot_parts
from mnv3_tf.ui import figures

PANELS: Sequence[tuple[str, float, Callable[[PhoneRow], float | None]]] = (
    ("ms", 1e3, lambda row: row["inference_us"]),
    ("°C", 1.0, lambda row: row["celsius_after"]),
    ("MHz", 1e3, lambda row: row["current_khz"]),
)
SHOWN_OPERATORS = 8
LEAST_POINTS = 2.0


def plot_rounds(rows: Sequence[PhoneRow], path: Path) -> None:
    """Latency by time, and temperature and clock under it where they are known.

    `rows` are those of results.json; runs that were set aside are hollow.
    """
    good = [row for row in rows if row["status"] == "ok"]
    panels = [panel for panel in PANELS if any(panel[2](row) is not None for row in good)]
    began = min(datetime.fromisoformat(row["at"]) for row in good)
    figure = figures.new(8, 1.2 + 1.5 * len(panels))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    by_model = _grouped(good)
    for axes, (label, unit, figure_of) in zip(grid, panels, strict=True):
        for number, (name, runs) in enumerate(by_model.items()):
            known = [(row, v / unit) for row in runs if (v := figure_of(row)) is not None]
            x = [(datetime.fromisoformat(row["at"]) - began).total_seconds() for row, _ in known]
            y = [value for _, value in known]
            colour = f"C{number}"
            axes.plot(x, y, "-", color=colour, alpha=0.4, linewidth=1)
            fills = ["none" if row["rejected"] else colour for row, _ in known]
            shown = name if label == panels[0][0] else None
            axes.scatter(x, y, s=18, facecolors=fills, edgecolors=colour, label=shown)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].set_ylim(bottom=0)
    grid[-1].set_xlabel("seconds from the first run; hollow: set aside")
    figure.legend(loc="outside lower right", ncols=3, frameon=False, fontsize=8)
    figures.save(figure, path)


def _grouped(rows: Sequence[PhoneRow]) -> dict[str, list[PhoneRow]]:
    several = len({row["threads"] for row in rows}) > 1
    groups: dict[str, list[PhoneRow]] = defaultdict(list)
    for row in rows:
        groups[row["model"] + f", {row['threads']} threads" * several].append(row)
    return groups


def plot_accuracy(summary: Sequence[PhoneSummary], path: Path) -> None:
    """Top-1 of the exports' reports against latency; one point for each file that has both."""
    figure = figures.new(8, 4)
    axes = figure.subplots()
    seen: set[str] = set()
    points = with_accuracy(summary)
    for line, x, y in points:
        kind = line["quantize"] or "none"
        label = None if kind in seen else LEGEND.get(kind, kind)
        seen.add(kind)
        axes.plot(x, y, "o", color=COLOURS.get(kind, "#777777"), label=label)
        text = f"{line['model']}" + f" ({line['threads']} threads)" * (line["threads"] > 1)
        # Turned, so that the names of files that are alike stay legible.
        place = {"textcoords": "offset points", "fontsize": 8, "rotation": 30}
        axes.annotate(text, (x, y), (4, 4), **place)
    axes.set_xlim(0, 1.3 * max(ms for _, ms, _ in points))
    low, high = axes.get_ylim()
    # Less than a point apart is alike, and should look so.
    axes.set_ylim(min(low, high - LEAST_POINTS), max(high, low + LEAST_POINTS))
    axes.set_xlabel("milliseconds per inference, median")
    axes.set_ylabel("top-1 (%)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", ncols=4, frameon=False, fontsize=8)
    figures.save(figure, path)


def with_accuracy(summary: Sequence[PhoneSummary]) -> list[tuple[PhoneSummary, float, float]]:
    """Those that have both, with milliseconds and percent."""
    return [
        (line, us / 1e3, 100 * top1)
        for line in summary
        if (us := line["median_us"]) and (top1 := line["top1"]) is not None
    ]


def plot_operators(summary: Sequence[PhoneSummary], path: Path) -> None:
    """Where the time goes: a bar for each model, in pieces by type of operator."""
    bars = [
        (
            line["model"] + f", {line['threads']}t" * (line["threads"] > 1),
            op_tables.milliseconds(line["ops"]),
        )
        for line in summary
        if line["ops"]
    ]
    plot_parts(bars, "with the cost of measuring each operator", path, SHOWN_OPERATORS)
