"""Plots of the paper's tables: bars of each, and accuracy against latency (Figures 1 and 7)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.paper import PaperRow, PaperTable
from benchmark.paper_tables import accuracy
from mnv3_tf.measuring.plots import COLOURS, LEGEND
from mnv3_tf.tasks import TASKS
from mnv3_tf.ui import figures
from mnv3_tf.ui.label_placement import write_names

Rows = Sequence[PaperRow]
SHADES = {"fused": "#4c72b0", "composite": "#dd8452", "naive": "#8c8c8c"}
PRECISIONS = (("none", "float"), ("int8", "int8"))


def plot_bars(result: PaperTable, path: Path) -> None:
    """Milliseconds of every network, float and int8 beside each other."""
    labels = list(dict.fromkeys(row["name"] for row in result["rows"]))
    figure = figures.new(8, 1.3 + 0.42 * len(labels))
    axes = figure.subplots()
    _draw_bars(axes, labels, result["rows"])
    axes.set_title(f"{result['title']} ({result['machine']['cpu']})", loc="left", fontsize=10)
    figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    figures.save(figure, path)


def _draw_bars(axes: Any, labels: Sequence[str], rows: Rows) -> None:
    for offset, (quantize, _) in zip((-0.2, 0.2), PRECISIONS, strict=True):
        label: str | None = LEGEND.get(quantize, quantize)
        for row in rows:
            if row["quantize"] == quantize:
                y = labels.index(row["name"]) + offset
                _bar(axes, y, 0.38, row, COLOURS[quantize], label)
                label = None
    _ticks(axes, labels, rows)


def plot_task(result: PaperTable, path: Path) -> None:
    """Milliseconds of every network, and under them the published accuracy against them."""
    labels = list(dict.fromkeys(row["name"] for row in result["rows"]))
    figure = figures.new(8, 5.3 + 0.42 * len(labels))
    bars, points = figure.subplots(2, 1, height_ratios=[0.42 * len(labels), 3.6])
    _draw_bars(bars, labels, result["rows"])
    bars.set_title(f"{result['title']} ({result['machine']['cpu']})", loc="left", fontsize=10)
    score = TASKS[result["task"]].score
    scores = [accuracy(row["published"], score.key) for row in result["rows"]]
    scored = [
        (row, value) for row, value in zip(result["rows"], scores, strict=True) if value is not None
    ]
    places = [(row["full_pace_us"] / 1e3, value) for row, value in scored]
    families = [row["label"].split()[0] for row, _ in scored]
    colours = [f"C{list(dict.fromkeys(families)).index(family)}" for family in families]
    points.scatter(*zip(*places, strict=True), s=22, c=colours)
    points.set_xlim(0, 1.2 * max(ms for ms, _ in places))
    points.set_xlabel("milliseconds, float, measured here")
    points.set_ylabel(f"{score.title} (%, published)")
    points.grid(alpha=0.3)
    points.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    write_names(figure, points, places, [row["label"] for row, _ in scored])
    figures.save(figure, path)


def plot_hard_swish(result: PaperTable, path: Path) -> None:
    """Like Figure 8: one panel for each precision, and what each placement costs over ReLU."""
    labels = list(dict.fromkeys(row["label"] for row in result["rows"]))
    figure = figures.new(8, 6)
    panels = figure.subplots(2, 1)
    for axes, (quantize, name) in zip(panels, PRECISIONS, strict=True):
        rows = [row for row in result["rows"] if row["quantize"] == quantize]
        for row in rows:
            alone = row["label"] == result["first"]
            place = 0 if alone else list(SHADES).index(row["hard_swish"]) - 1
            y = labels.index(row["label"]) + 0.27 * place
            colour = COLOURS["bound"] if alone else SHADES[row["hard_swish"]]
            text = "" if alone else f"  {100 * (row['ratio'] - 1):+.0f} %"
            _bar(axes, y, 0.25, row, colour, None, text)
        axes.set_title(name, loc="left", fontsize=10)
        _ticks(axes, labels, rows)
    handles = [_patch(colour, name) for name, colour in SHADES.items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=3, frameon=False, fontsize=8)
    figures.save(figure, path)


def plot_frontiers(networks: PaperTable, multipliers: PaperTable, path: Path) -> None:
    """Accuracy against computed multiply-adds and against latency measured here.

    Widths and resolutions of Large and Small are lines (Figure 7), other networks are points.
    """
    figure = figures.new(9, 7)
    panels = figure.subplots(2, 1)
    sides: Mapping[str, Callable[[PaperRow], float]] = {
        "multiply-adds (millions, computed)": lambda row: row["madds"] / 1e6,
        "milliseconds, float, measured here": lambda row: row["full_pace_us"] / 1e3,
    }
    for axes, (label, cost) in zip(panels, sides.items(), strict=True):
        _draw_frontier(axes, networks["rows"], multipliers["rows"], cost)
        axes.set_xlabel(label)
        axes.set_xscale("log")
        axes.set_xticks(_round_ticks(axes), [f"{tick:g}" for tick in _round_ticks(axes)])
        axes.minorticks_off()
        axes.set_ylabel("top-1 (%, published if not said)")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figures.save(figure, path)


def _draw_frontier(
    axes: Any, networks: Rows, multipliers: Rows, cost: Callable[[PaperRow], float]
) -> None:
    known = [row for row in multipliers if row["top1"] is not None and row["quantize"] == "none"]
    for colour, network in (("C0", "large"), ("C1", "small")):
        own = [row for row in known if row["label"].startswith(f"{network} ")]
        full = next(row for row in own if row["label"] == f"{network} 1")
        by_width = [row for row in own if " at " not in row["label"]]
        by_resolution = [*(row for row in own if " at " in row["label"]), full]
        for style, rows, what in (
            ("o-", by_width, "widths 0.35 to 1.25"),
            ("s:", by_resolution, "resolutions 96 to 256"),
        ):
            points = sorted((cost(row), row["top1"]) for row in rows)
            label = f"V3-{network.title()}, {what}"
            axes.plot(*zip(*points, strict=True), style, color=colour, label=label, markersize=4)
    for row in networks:
        drawn = row["label"].split()[0] in ("large", "small") and row["top1_origin"] == "published"
        if row["quantize"] == "none" and row["top1"] is not None and not drawn:
            x, y = cost(row), row["top1"]
            axes.plot(x, y, "^", color="#55a868")
            # MobileNetV2 lies right of them.
            left = "minimalistic" in row["label"]
            place = {
                "textcoords": "offset points",
                "fontsize": 8,
                "ha": "right" if left else "left",
            }
            origin = "" if row["top1_origin"] == "published" else f" ({row['top1_origin']})"
            axes.annotate(row["label"] + origin, (x, y), (-6 if left else 5, -9), **place)


def _round_ticks(axes: Any) -> list[float]:
    low, high = axes.get_xlim()
    steps = [digit * 10.0**power for power in range(-3, 5) for digit in (1, 2, 5)]
    return [step for step in steps if low <= step <= high]


def _bar(
    axes: Any,
    y: float,
    height: float,
    row: PaperRow,
    colour: str,
    label: str | None,
    text: str = "",
) -> None:
    value, (low, high) = row["full_pace_us"] / 1e3, (bound / 1e3 for bound in row["ci_us"])
    axes.barh(y, value, height, color=colour, label=label)
    error = [[max(value - low, 0)], [max(high - value, 0)]]
    axes.errorbar(value, y, xerr=error, color="black", capsize=2, linewidth=1)
    place = {"textcoords": "offset points", "va": "center", "fontsize": 8}
    axes.annotate(f"{value:.2f}{text}", (max(value, high), y), (5, 0), **place)


def _ticks(axes: Any, labels: Sequence[str], rows: Rows) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * max(row["ci_us"][1] for row in rows) / 1e3)
    axes.set_xlabel("milliseconds per inference, measured here")
    axes.spines[["top", "right"]].set_visible(False)


def _patch(colour: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)


PLOTS: Mapping[str, Callable[[PaperTable, Path], None]] = {
    "networks": plot_bars,
    "hard_swish": plot_hard_swish,
    "multipliers": plot_bars,
    "redesigns": plot_bars,
    "detection": plot_task,
    "segmentation": plot_task,
    "segmentation_full": plot_task,
}
