"""What a classifier's answers class by class look like: on a terminal, as a plot, as a page."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mnv3_tf.files import atomic_write
from mnv3_tf.tasks.answers import ByClass, Mistake
from mnv3_tf.ui import figures, page, tables

MOST_ROWS = 20
"""Of a table on the terminal."""

MOST_COUNTS = 25
"""Classes up to which a plot has room for numbers."""

MOST_NAMES = 60
"""Classes up to which it has room for names."""

COLUMNS = ("class", "images", "precision", "recall")


# -- on the terminal -------------------------------------------------------------------------


def show(found: ByClass, title: str = "By class") -> None:
    """Tables: the classes, where they are many those with pictures of the lowest recall, and what
    was taken for what; then the balanced accuracy, and the classes of which nothing was recognised.
    """
    if found.balanced_accuracy is None:
        return
    shown: Sequence[int] = range(len(found.names))
    if len(shown) > MOST_ROWS:
        recall = {k: part for k, part in enumerate(found.recall) if part is not None}
        shown = sorted(recall, key=lambda k: (recall[k], k))[:MOST_ROWS]
        title += f": the {len(shown)} of {len(recall)} that are recognised least"
    tables.show(title, COLUMNS, _rows(found, shown))
    _show_confusion(found)
    print(f"Balanced accuracy {found.balanced_accuracy:.4f}, the mean recall of the classes.")
    if found.missed:
        listed = [f"{found.names[k]} (0 of {found.images[k]})" for k in found.missed[:MOST_ROWS]]
        more = ["..."] * (len(found.missed) > MOST_ROWS)
        print(f"Never recognised: {', '.join([*listed, *more])}.")


def _show_confusion(found: ByClass) -> None:
    """All of the matrix where it fits, else its largest numbers off the diagonal."""
    counts = [[str(count) for count in row] for row in found.matrix.tolist()]
    columns = ("true class", *found.names)
    rows = [(name, *row) for name, row in zip(found.names, counts, strict=True)]
    if tables.fits(columns, rows):
        tables.show("Pictures by true class (rows) and answer (columns)", columns, rows)
    elif confusions := found.confusions():
        tables.show(
            "What is most often taken for what",
            ("true class", "taken for", "pictures"),
            [
                (found.names[truth], found.names[answer], count)
                for truth, answer, count in confusions[:MOST_ROWS]
            ],
        )


def _rows(found: ByClass, shown: Sequence[int]) -> list[tuple[object, ...]]:
    return [
        (
            found.names[index],
            found.images[index],
            tables.figure(found.precision[index]),
            tables.figure(found.recall[index]),
        )
        for index in shown
    ]


# -- files -----------------------------------------------------------------------------------


def write(found: ByClass, title: str, paths: Sequence[str] | None, plot: Path, html: Path) -> None:
    """The plot of the matrix as a PNG, and the page that has it beside the surest mistakes.

    `paths` are the files of the pictures in their order, where they have some.
    """
    draw(found, title, plot)
    accuracy = tables.figure(found.balanced_accuracy)
    parts = [
        page.paragraph(
            f"{sum(found.images)} pictures, {int(found.matrix.trace())} of them recognised. "
            f"Balanced accuracy, the mean recall of the classes: {accuracy}."
        ),
        page.table(COLUMNS, _rows(found, range(len(found.names)))),
        page.image(plot, "Pictures by true class (rows) and answer (columns)."),
        page.heading("Wrong, and surest of it"),
    ]
    if found.mistakes:
        shown = (page.image(_png(one), _caption(one, found.names, paths)) for one in found.mistakes)
        parts += [
            page.paragraph("As the network saw them, the surest first."),
            page.gallery(shown),
        ]
    else:
        parts.append(page.paragraph("Nothing is wrong."))
    with atomic_write(html) as temporary:
        temporary.write_text(page.document(title, parts), encoding="utf-8")


def _caption(one: Mistake, names: Sequence[str], paths: Sequence[str] | None) -> str:
    where = paths[one.place] if paths else f"picture {one.place}"
    return f"{names[one.truth]}, taken for {names[one.answer]} ({one.confidence:.3f}): {where}"


def _png(one: Mistake) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(one.picture).save(buffer, "PNG")
    return buffer.getvalue()


def draw(found: ByClass, title: str, path: Path) -> None:
    """The matrix, each row by its own sum, so that a rare class is seen as a frequent one is: blue
    for what is recognised, red for what is not.
    """
    count = len(found.names)
    side = min(14.0, 3.2 + 0.45 * count)
    drawing = figures.new(side + 1, side)
    axes = drawing.subplots()
    totals = np.maximum(found.matrix.sum(1, keepdims=True), 1)
    signs = 2 * np.eye(count) - 1
    image = axes.imshow(signs * found.matrix / totals, cmap="RdBu", vmin=-1, vmax=1)
    label = "part of the true class: right (blue), wrong (red)"
    bar = drawing.colorbar(image, ax=axes, label=label, shrink=0.8)
    bar.set_ticks([-1, -0.5, 0, 0.5, 1], labels=["100 %", "50 %", "0", "50 %", "100 %"])
    axes.set(xlabel="answer", ylabel="true class", title=title)
    if count <= MOST_NAMES:
        rows = zip(found.names, found.images, strict=True)
        axes.set_xticks(range(count), found.names, rotation=90)
        axes.set_yticks(range(count), [f"{name} ({images})" for name, images in rows])
    if count <= MOST_COUNTS:
        for (row, column), number in np.ndenumerate(found.matrix):
            if number:
                dark = number > totals[row, 0] / 2
                axes.text(
                    column,
                    row,
                    str(number),
                    ha="center",
                    va="center",
                    color="white" if dark else "black",
                    fontsize="small",
                )
    figures.save(drawing, path)
