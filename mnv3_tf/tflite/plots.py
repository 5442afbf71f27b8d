"""Plots of what is inside a file, drawn without a display."""

from collections.abc import Sequence
from pathlib import Path

from mnv3_tf.tflite.compare import EXACT_DB
from mnv3_tf.tflite.reports import LayerRow
from mnv3_tf.ui import figures

PLAIN, WORST, DROP = "#4c72b0", "#c44e52", "#dd8452"


def plot_layers(
    rows: Sequence[LayerRow],
    worst: Sequence[LayerRow],
    drops: Sequence[LayerRow],
    title: str,
    path: str | Path,
) -> None:
    """A bar for each layer's signal-to-noise ratio, in running order.

    `rows` are the "layers" of `compare.compare`; those of `worst` and `drops` are coloured,
    numbered, and named at the side.
    """

    figure = figures.new(14, 5.2)
    axes = figure.subplots()
    colours = {row["index"]: WORST for row in worst} | {row["index"]: DROP for row in drops}
    heights = [min(row["sqnr_db"], EXACT_DB) for row in rows]
    places = [row["index"] for row in rows]
    axes.bar(places, heights, 0.8, color=[colours.get(place, PLAIN) for place in places])
    for place, height in zip(places, heights, strict=True):
        if place in colours:
            axes.annotate(
                str(place),
                (place, max(height, 0)),
                (0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=colours[place],
                rotation=90,
            )
    gaps = " (gaps: the reference has no such layer)" if len(places) <= max(places) else ""
    axes.set_xlabel(f"layer, in running order{gaps}")
    axes.set_ylabel("signal to noise (dB)")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlim(min(places) - 1, max(places) + 1)
    axes.margins(y=0.08)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    side = [
        (DROP, "Largest drops", [(row, row["drop_db"] or 0.0) for row in drops]),
        (WORST, "Lowest", [(row, row["sqnr_db"]) for row in worst]),
    ]
    top = 1.0
    for colour, heading, chosen in side:
        if not chosen:
            continue
        lines = [
            f"{row['index']:>3}  {level:5.1f} dB  {_shorten(row['name'])}" for row, level in chosen
        ]
        axes.annotate(
            "\n".join([heading, *lines]),
            (1.01, top),
            xycoords="axes fraction",
            va="top",
            color=colour,
            fontsize=8,
            family="monospace",
            linespacing=1.4,
        )
        top -= 0.055 * (len(lines) + 2)
    figures.save(figure, path, dpi=130)


def _shorten(name: str, most: int = 40) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 1]}...{name[-most // 2 + 2 :]}"
