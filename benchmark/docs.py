"""Writes the tables and pictures of the documentation from the result files in docs/results.

    python -m benchmark docs
    python -m benchmark docs --results=bench          after `make bench`: its figures first

A page names a table where it stands, and what is between the two lines is written anew:

    <!-- table: networks -->
    <!-- end -->

Multiply-adds, parameters and published figures of the paper's tables come from the code. A picture
is drawn again when what it shows has changed.
"""

from dataclasses import dataclass
from pathlib import Path

from absl import flags

from mnv3_tf.ui.settings import define, read, setting


@dataclass(frozen=True)
class DocsSettings:
    docs: str = setting("docs", "Folder of the pages.")
    results: str | None = setting(
        None, "Folder of new results, as `make bench` leaves it, to take into DOCS/results."
    )


def define_flags(values: flags.FlagValues) -> None:
    define(values, DocsSettings)


def main(args: flags.FlagValues) -> None:
    from benchmark import doc_pages

    settings = read(args, DocsSettings)
    folder = Path(settings.docs)
    if settings.results:
        for path in doc_pages.take_results(Path(settings.results), folder):
            print(f"Taken: {path}")
    for path in (*doc_pages.write_pages(folder), *doc_pages.draw_pictures(folder)):
        print(f"Written: {path}")
