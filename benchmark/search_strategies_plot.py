"""The best reward so far against the number of evaluations, for each strategy."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mnv3_tf.ui import figures

if TYPE_CHECKING:
    from benchmark.search_strategies import StrategyResults


def plot_runs(results: "StrategyResults", path: Path) -> None:
    """A line for the median of a strategy's runs, in a band from the worst of them to the best."""
    figure = figures.new(8, 4.6)
    axes = figure.subplots()
    counts = np.unique(np.geomspace(1, results["budget"], 200).astype(int))
    lowest = []
    for number, (name, runs) in enumerate(results["strategies"].items()):
        best = np.array([_best_at(run["improvements"], counts) for run in runs])
        best /= results["best"]["reward"]
        colour = f"C{number}"
        axes.fill_between(counts, best.min(0), best.max(0), color=colour, alpha=0.15, linewidth=0)
        axes.plot(counts, np.median(best, 0), color=colour, label=name)
        lowest.append(best[:, counts >= min(8, counts[-1])].min())
    axes.axhline(0.99, color="black", linewidth=0.8, linestyle="--")
    axes.annotate("99 %", (1, 0.99), (2, 3), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    axes.set_ylim(max(min(lowest), 0.5), 1.005)
    axes.set_xlabel("architectures evaluated")
    axes.set_ylabel("best reward, as a part of the space's")
    axes.set_title(
        f"{results['size']} architectures, {len(next(iter(results['strategies'].values())))} runs "
        f"of each strategy; {results['within']:.3%} are above 99 %",
        loc="left",
        fontsize=10,
    )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    figures.save(figure, path)


def _best_at(improvements: list[tuple[int, float]], counts: np.ndarray) -> np.ndarray:
    """The best reward after each number of evaluations."""
    at, best = np.array(improvements).T
    return best[np.searchsorted(at, counts, side="right") - 1]
