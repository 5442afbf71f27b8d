"""Figures of one style, drawn without a display and written atomically."""

from pathlib import Path
from typing import Any

from mnv3_tf.files import atomic_write


def new(width: float, height: float) -> Any:
    """An empty matplotlib figure, in inches."""
    # Not pyplot: it would choose a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: str | Path, dpi: int = 110) -> None:
    """A PNG, whatever the path ends in."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png")
