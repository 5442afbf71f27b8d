"""curves.png: loss, accuracy and learning rate over the epochs."""

from pathlib import Path

from mnv3_tf.training.run_folder import SCORES, Row, best_row, score_of
from mnv3_tf.ui import figures


def draw(rows: list[Row], title: str, path: Path) -> None:
    """Three panels side by side from the rows of metrics.jsonl."""
    from matplotlib.ticker import MaxNLocator

    figure = figures.new(12, 3.6)
    figure.suptitle(title)
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]
    style = {"marker": "o", "markersize": 3.0}

    loss.plot(epochs, [row["train_loss"] for row in rows], label="train", **style)
    score = score_of(rows[-1])
    if rows[-1].get("val_loss") is not None:
        loss.plot(epochs, [row["val_loss"] for row in rows], label="val", **style)
    if rows[-1][score] is not None:
        percent = [100 * row[score] for row in rows]
        accuracy.plot(epochs, percent, color="tab:orange", label="val", **style)
        best = best_row(rows)
        assert best is not None
        accuracy.plot(
            best["epoch"],
            100 * best[score],
            "*",
            color="tab:red",
            markersize=12,
            label=f"best: {best[score]:.1%} in epoch {best['epoch']}",
        )
        accuracy.legend(loc="lower right")
    rate.plot(epochs, [row["lr"] for row in rows], color="tab:green", **style)
    loss.legend()
    titles = ("loss", f"{SCORES[score]} (%)", "learning rate")
    for panel, name in zip((loss, accuracy, rate), titles, strict=True):
        panel.set(xlabel="epoch", title=name)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
    figures.save(figure, path)
