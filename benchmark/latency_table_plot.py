"""Predicted against measured latency of networks that the table was not fitted to."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mnv3_tf.measuring.machine import Conditions
from mnv3_tf.measuring.plots import LEGEND
from mnv3_tf.ui import figures

if TYPE_CHECKING:
    from benchmark.latency_table import Predictions


def plot_errors(
    predictions: Mapping[str, "Predictions"], conditions: Conditions, path: Path
) -> None:
    """A panel for each precision: dots on the line are right, grey ones are plain sums."""
    figure = figures.new(9, 4.6)
    panels = figure.subplots(1, len(predictions), squeeze=False)[0]
    for axes, (quantize, found) in zip(panels, predictions.items(), strict=True):
        measured = found.measured_us / 1e3
        axes.scatter(measured, found.sum_us / 1e3, s=14, color="#bbbbbb", label="sum of parts")
        axes.scatter(measured, found.predicted_us / 1e3, s=14, color="C0", label="corrected")
        ends = [0, 1.05 * max(measured)]
        axes.plot(ends, ends, color="black", linewidth=0.8)
        errors = found.errors
        text = f"median error {errors['median']:.1%}\n95 % below {errors['p95']:.1%}\nSpearman "
        axes.annotate(
            f"{text}{errors['spearman']:.3f}", (0.04, 0.96), xycoords="axes fraction", va="top"
        )
        axes.set_title(LEGEND.get(quantize, quantize), loc="left", fontsize=10)
        axes.set_xlabel("measured (ms)")
        axes.set_ylabel("predicted (ms)")
        axes.set_xlim(ends)
        axes.set_ylim(ends)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(loc="lower right", frameon=False, fontsize=8)
    figure.suptitle(f"{conditions['device']}, {conditions['threads']} thread(s)", fontsize=10)
    figures.save(figure, path)
