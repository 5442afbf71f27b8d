"""Plots of what metrics.jsonl holds: of one run (curves.png), and of several."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnv3_tf.training.run_folder import EpochRow, best_row, by_column, score_of
from mnv3_tf.training.run_groups import Group, mean, score_of_all
from mnv3_tf.ui import figures


def draw(rows: list[EpochRow], title: str, path: Path) -> None:
    """Loss, accuracy and learning rate over the epochs of one run."""
    figure = figures.new(12, 3.6)
    figure.suptitle(title)
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]
    style = {"marker": "o", "markersize": 3.0}

    loss.plot(epochs, [row["train_loss"] for row in rows], label="train", **style)
    score = score_of(rows[-1])
    column = score.column
    for axes, name, colour in ((loss, "val_loss", None), (accuracy, column, "tab:orange")):
        scale = 100 if axes is accuracy else 1
        known = [
            (row["epoch"], scale * value)
            for row in rows
            if (value := by_column(row).get(name)) is not None
        ]
        if known:
            axes.plot(*zip(*known, strict=True), color=colour, label="val", **style)
    best = best_row(rows)
    if best and (highest := by_column(best)[column]) is not None:
        accuracy.plot(
            best["epoch"],
            100 * highest,
            "*",
            color="tab:red",
            markersize=12,
            label=f"best: {100 * highest:.1f}% in epoch {best['epoch']}",
        )
        accuracy.legend(loc="lower right")
    rate.plot(epochs, [row["lr"] for row in rows], color="tab:green", **style)
    loss.legend()
    titles = ("loss", f"{score.title} (%)", "learning rate")
    for panel, name in zip((loss, accuracy, rate), titles, strict=True):
        _over_epochs(panel, name)
    figures.save(figure, path)


def draw_groups(groups: Sequence[Group], path: Path) -> None:
    """Accuracy and losses over the epochs: a line for a group's mean, a band for its spread."""
    figure = figures.new(13, 4.5)
    score = score_of_all(groups)
    panels = {
        score.column: f"val {score.title} (%)",
        "val_loss": "val loss",
        "train_loss": "train loss",
    }
    for axes, (name, title) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for group in groups:
            epochs = min(len(run.rows) for run in group.runs)
            curves = [[by_column(row).get(name) for row in run.rows[:epochs]] for run in group.runs]
            scale = 100 if name == score.column else 1
            known = [[scale * v for v in curve if v is not None] for curve in curves]
            if not epochs or any(len(curve) < epochs for curve in known):
                continue
            by_epoch = list(zip(*known, strict=True))
            places = range(1, epochs + 1)
            (line,) = axes.plot(places, [mean(v) for v in by_epoch], label=_label(group))
            if len(group.runs) > 1:
                low, high = [min(v) for v in by_epoch], [max(v) for v in by_epoch]
                axes.fill_between(places, low, high, color=line.get_color(), alpha=0.2)
        _over_epochs(axes, title)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if not handles:
        handles, labels = figure.axes[2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    figures.save(figure, path)


def draw_accuracies(groups: Sequence[Group], path: Path) -> None:
    """A line for each group, the best on top: a dot for each run, a tick for their mean."""
    figure = figures.new(8, 1.2 + 0.35 * len(groups))
    axes = figure.subplots()
    for y, group in enumerate(groups):
        scores = [100 * value for value in group.scores]
        if not scores:
            continue
        axes.plot([min(scores), max(scores)], [y, y], color="#4c72b0", alpha=0.3, linewidth=6)
        axes.plot(scores, [y] * len(scores), "o", color="#4c72b0")
        axes.plot(mean(scores), y, "|", color="black", markersize=16)
        axes.annotate(
            f"{mean(scores):.1f}", (max(scores), y), (8, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(groups)), [group.name for group in groups])
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set(xlabel=f"val {score_of_all(groups).title} (%), best epoch")
    axes.grid(axis="x", alpha=0.3)
    figures.save(figure, path)


def _over_epochs(axes: Any, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="epoch", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def _label(group: Group) -> str:
    return f"{group.name} ({len(group.runs)} seeds)" if len(group.runs) > 1 else group.name
