"""One page with every table and plot that a folder of results holds; it needs nothing but itself.

    python -m benchmark report --results=bench --out=bench/report.html

Read are paper/ (of `benchmark paper`), profile/ (of `benchmark profile`) and latency_table.json
(of `benchmark latency_table`), whichever are there.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from absl import flags

from benchmark.paper import MeasuredTable, read_table
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.ui import page

TITLE = "MobileNetV3 on this machine"


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("results", "bench", "Folder of the results.", flag_values=values)
    flags.DEFINE_string("out", None, "The page; report.html in --results.", flag_values=values)


def main(args: flags.FlagValues) -> None:
    folder = Path(args.results)
    parts = [*paper_parts(folder / "paper"), *profile_parts(folder), *table_parts(folder)]
    if not parts:
        raise UserError(
            f"{folder} holds no results; make some with python -m benchmark paper --out="
            f"{folder / 'paper'}, or give --results=DIR."
        )
    out = Path(args.out or folder / "report.html")
    made = f"Made on {datetime.now(UTC):%d %B %Y}. Every figure says where it is from."
    with atomic_write(out) as temporary:
        temporary.write_text(page.document(TITLE, [page.paragraph(made), *parts]))
    print(f"Report: {out}")


def paper_parts(folder: Path) -> Iterator[str]:
    from benchmark import paper_lines
    from benchmark.paper_tables import TABLES

    found = [(name, read_table(folder / f"{name}.json")) for name in TABLES]
    results = [(name, result) for name, result in found if result]
    if results:
        yield page.heading("The machine")
        yield page.facts(machine_rows(results[0][1]))
        yield page.paragraph(paper_lines.explanation(TABLES[name].task for name, _ in results))
    for name, result in results:
        task = TABLES[name].task
        yield page.heading(result["title"])
        if result["note"]:
            yield page.paragraph(result["note"])
        yield page.image(folder / f"{name}.png", result["title"])
        lines = [paper_lines.line(row, task) for row in result["rows"]]
        yield page.table(paper_lines.columns(task), lines)
        changes = [row for row in result["rows"] if "change" in row["published"]]
        if changes:
            yield page.facts(
                (row["label"], f"published: {row['published']['change']}") for row in changes
            )
        for text in result["warnings"]:
            yield page.paragraph(f"Warning: {text}")
        yield page.preformatted(result["command"])
    if (folder / "frontier.png").is_file():
        caption = "Accuracy against computed multiply-adds and latency measured here"
        yield page.heading("Figures 1 and 7: the frontiers")
        yield page.image(folder / "frontier.png", caption)


def profile_parts(folder: Path) -> Iterator[str]:
    from benchmark import profile

    result = profile.read(folder / "profile" / "profile.json")
    if result:
        yield page.heading("Where the time goes")
        yield page.image(folder / "profile" / "profile.png", "Operators timed alone, by type")
        yield page.table(*profile.table(result["rows"]))


def table_parts(folder: Path) -> Iterator[str]:
    from benchmark import latency_table
    from mnv3_tf.search.latency_model import LatencyTable

    file = folder / "latency_table.json"
    if file.exists():
        measured = LatencyTable.read(file)
        yield page.heading("The latency table")
        yield page.paragraph(
            "Predictions of networks that the table was not fitted to, beside what they take."
        )
        yield page.image(folder / "latency_table.png", "Predicted against measured latency")
        lines = (latency_table.line(*errors) for errors in measured.errors.items())
        yield page.table(latency_table.COLUMNS, lines)


def machine_rows(result: MeasuredTable) -> list[tuple[str, str]]:
    machine, settings = result["machine"], result["settings"]
    return [
        ("processor", f"{machine['cpu']}, {machine['cores']} cores"),
        ("clock", f"{machine['clock_mhz']:.0f} MHz" if machine["clock_mhz"] else "not told"),
        ("load", f"{machine['load_before'][0]:.2f} before, {machine['load_after'][0]:.2f} after"),
        ("system", machine["platform"]),
        ("versions", ", ".join(f"{k} {v}" for k, v in machine["versions"].items())),
        ("threads", str(settings["threads"])),
        ("rounds", f"{settings['rounds']} of {settings['burst_ms']} ms"),
        ("measured", result["date"]),
    ]
