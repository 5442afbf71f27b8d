"""Figures of a search that are legible on a phone."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.candidates import Candidate, pareto
from mnv3_tf.search.latency_sources import shown
from mnv3_tf.ui import figures

WIDTH = 6.4
"""Inches; wider ones would shrink their letters too much on a phone."""
GREY = "#b0b0b0"
NAMES = {"widest": "expansion", "filters": "bottleneck"}
MARKERS = "s^Dvph"
AXES = {"µs": (1e3, "latency (ms)"), "MAdds": (1e6, "multiply-adds (millions)")}
"""What a unit of latency is divided by to be drawn, and the axis' name."""


def path_figure(
    steps: Sequence[Sequence[Candidate]], chosen: Sequence[Candidate], target: float, unit: str
) -> Any:
    """NetAdapt's way from the starting point, the first of `chosen`, to the target latency.

    `steps` has the proposals of each step. Latencies are in `unit`.
    """
    figure = figures.new(WIDTH, 4.8)
    axes = figure.subplots()
    proposals = [one for step in steps for one in step]
    axes.plot(*_places(proposals, unit), "o", color=GREY, markersize=4, label="proposals")
    axes.plot(*_places(chosen, unit), "o-", color="C0", markersize=4, label="kept after each step")
    _mark(axes, chosen[0], "s", "C2", "start", unit)
    if count := len(chosen) - 1:
        _mark(axes, chosen[-1], "*", "C3", f"after {count} step{'s' * (count > 1)}", unit)
    _finish(figure, axes, target, unit)
    return figure


def channels_figure(before: NetworkSpec, after: NetworkSpec) -> Any:
    """What became of each block's channels; both networks have the same number of blocks."""
    figure = figures.new(WIDTH, 5.4)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, field in zip(panels, ("widest", "filters"), strict=True):
        was, now = ([getattr(b, field) for b in spec.blocks] for spec in (before, after))
        axes.bar(range(len(now)), now, 0.8, color="C0", label=f"after: {after.name}")
        outline = {"facecolor": "none", "edgecolor": "black", "linewidth": 0.8}
        axes.bar(range(len(was)), was, 0.8, label=f"before: {before.name}", **outline)
        for block, (old, new) in enumerate(zip(was, now, strict=True)):
            if new < old:
                place = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
                axes.annotate(f"{100 * new / old:.0f}%", (block, old), (0, 3), **place)
        axes.set_ylim(0, 1.12 * max(*was, *now))
        axes.set_title(f"channels of each block's {NAMES[field]}", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[1].set_xticks(range(len(before.blocks)))
    panels[1].set_xlabel("block; above it, how much was kept")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="outside lower center", ncols=2, frameon=False, fontsize=9
    )
    return figure


def frontier_figure(
    candidates: Sequence[Candidate],
    best: Candidate,
    target: float,
    unit: str,
    others: Mapping[str, Candidate] = {},
) -> Any:
    """All candidates of a search, and its choice. Latencies are in `unit`.

    `others`, by their names, are networks to compare with, as the starting point.
    """
    figure = figures.new(WIDTH, 5)
    axes = figure.subplots()
    trained = [one for one in candidates if not one.stopped]
    stopped = [one for one in candidates if one.stopped]
    dots: dict[str, Any] = {"marker": "o", "markersize": 5, "linestyle": "none"}
    axes.plot(*_places(trained, unit), color=GREY, label="candidates", **dots)
    if stopped:
        dots |= {"markerfacecolor": "none", "markeredgecolor": GREY}
        axes.plot(*_places(stopped, unit), label="stopped early", **dots)
    # Networks that were trained for less are no measure of what can be reached.
    frontier = _places(pareto(trained), unit)
    axes.plot(*frontier, drawstyle="steps-post", color="C0", label="Pareto frontier")
    for (name, one), marker in zip(others.items(), itertools.cycle(MARKERS), strict=False):
        _mark(axes, one, marker, "C2", name, unit)
    _mark(axes, best, "*", "C3", "chosen", unit)
    _finish(figure, axes, target, unit)
    return figure


def rewards_figure(series: Mapping[str, Sequence[float]]) -> Any:
    """The rewards of each named run in the order of its evaluations, with a moving mean."""
    from matplotlib.ticker import MaxNLocator

    figure = figures.new(WIDTH, 4.4)
    axes = figure.subplots()
    window = max(5, max(map(len, series.values())) // 10)
    for number, (name, rewards) in enumerate(series.items()):
        evaluations, colour = range(1, len(rewards) + 1), f"C{number}"
        axes.plot(evaluations, rewards, "o", color=colour, markersize=3, alpha=0.3)
        axes.plot(evaluations, moving_mean(rewards, window), color=colour, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"evaluation; a line is the mean of the last {window}")
    axes.set_ylabel("reward")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def moving_mean(values: Sequence[float], window: int) -> list[float]:
    """Of each value and those before it, `window` in all or as many as there are."""
    ends = range(1, len(values) + 1)
    return [float(np.mean(values[max(0, end - window) : end])) for end in ends]


def _places(candidates: Sequence[Candidate], unit: str) -> tuple[list[float], list[float]]:
    scale, _ = AXES[unit]
    return [one.latency / scale for one in candidates], [100 * one.accuracy for one in candidates]


def _mark(axes: Any, one: Candidate, marker: str, colour: str, name: str, unit: str) -> None:
    label = f"{name}: {one.accuracy:.1%}, {shown(one.latency, unit)}"
    style = {"color": colour, "linestyle": "none", "markeredgecolor": "white"}
    size = 15 if marker == "*" else 8
    axes.plot(*_places([one], unit), marker=marker, markersize=size, label=label, **style)


def _finish(figure: Any, axes: Any, target: float, unit: str) -> None:
    scale, name = AXES[unit]
    label = f"target: {shown(target, unit)}"
    axes.axvline(target / scale, color="black", linestyle="--", linewidth=1, label=label)
    axes.set_xlabel(name)
    axes.set_ylabel("top-1 on held-out training data (%)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
