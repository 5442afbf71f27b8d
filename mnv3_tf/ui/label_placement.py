"""Names of points in a plot that do not lie on one another."""

from collections.abc import Sequence
from typing import Any

PLACES = (
    *((7, 0, "left"), (-7, 0, "right"), (7, 8, "left"), (7, -8, "left")),
    *((-7, 8, "right"), (-7, -8, "right"), (0, 11, "center"), (0, -11, "center")),
    *((7, 16, "left"), (7, -16, "left"), (-7, 16, "right"), (-7, -16, "right")),
)
"""Beside a point, in printer's points, in the order in which they are tried."""
MARKER = 4.0


def write_names(
    figure: Any, axes: Any, points: Sequence[tuple[float, float]], names: Sequence[str]
) -> None:
    """Each name at the first of PLACES that is free and inside; limits must be set before."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # only now is it known where things are
    centres = axes.transData.transform(points)
    taken = [Bbox([centre - MARKER, centre + MARKER]) for centre in centres]
    frame = axes.get_window_extent()
    for point, name in zip(points, names, strict=True):
        for x, y, side in PLACES:
            text = axes.annotate(
                name, point, (x, y), textcoords="offset points", ha=side, va="center", fontsize=8
            )
            text.set_in_layout(False)
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        else:
            text = axes.annotate(name, point, PLACES[0][:2], textcoords="offset points", fontsize=8)
            box = text.get_window_extent()
        taken.append(box)
