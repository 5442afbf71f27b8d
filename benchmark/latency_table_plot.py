"""Predicted against measured latency of networks that the table was not fitted to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnv3_tf.measuring.plots import LEGEND
from mnv3_tf.ui import figures


def plot_errors(
    judged: Mapping[str, Mapping[str, Any]], conditions: Mapping[str, Any], path: Path
) -> None:
    """A panel for each precision: dots on the line are right, grey ones are plain sums."""
    figure = figures.new(9, 4.6)
    panels = figure.subplots(1, len(judged), squeeze=False)[0]
    for axes, (quantize, found) in zip(panels, judged.items(), strict=True):
        measured = [us / 1e3 for us in found["measured_us"]]
        for key, style in (("sum_us", "#bbbbbb"), ("predicted_us", "C0")):
            predicted = [us / 1e3 for us in found[key]]
            label = "sum of parts" if key == "sum_us" else "corrected"
            axes.scatter(measured, predicted, s=14, color=style, label=label)
        ends = [0, 1.05 * max(measured)]
        axes.plot(ends, ends, color="black", linewidth=0.8)
        errors = found["errors"]
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
