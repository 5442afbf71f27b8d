"""report.html: a search on one page that needs nothing but itself."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mnv3_tf.files import atomic_write
from mnv3_tf.ui import page


def write_report(
    folder: str | Path,
    title: str,
    facts: Iterable[tuple[str, str]],
    table: tuple[Sequence[str], Sequence[Sequence[object]]],
    images: Iterable[tuple[Path, str]],
    commands: Sequence[str],
) -> Path:
    """The page's path.

    `facts` are names and what they are; `table` has its columns' names and its rows, and is left
    out without rows; `images` are PNG files with their captions; `commands` make it all again.
    """
    columns, rows = table
    parts = [
        page.facts(facts),
        *(page.image(path, caption) for path, caption in images),
        *([page.table(columns, rows, wrap=False)] if rows else []),
        page.heading("Again"),
        page.preformatted("\n".join(commands)),
    ]
    path = Path(folder) / "report.html"
    with atomic_write(path) as temporary:
        temporary.write_text(page.document(title, parts), encoding="utf-8")
    return path
