"""The documentation's generated parts: tables and pictures, from docs/results/*.json."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmark import paper_lines, paper_plots, profile
from benchmark.paper import (
    DescribedRow,
    MeasuredTable,
    PaperRow,
    PaperTable,
    describe,
    read_table,
    with_accuracy,
)
from benchmark.paper_tables import TABLES, TableRow
from benchmark.profile import ProfileResults, ProfileRow
from benchmark.result_files import Cell, Column, Kind, ResultFile, markdown, read, write
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.measuring.machine import Conditions, Machine
from mnv3_tf.measuring.statistics import half_width
from mnv3_tf.networks.cost import cost
from mnv3_tf.search.latency_model import LatencyTable

TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

NETWORK, KIND = Column("network"), Column("kind")
MS = Column("ms", "measured", 2)
HALF_WIDTH = Column("± %", "measured", 1)
RATIO = Column("ratio", "measured", 3)
LOW, HIGH = Column("low, ms", "measured", 3), Column("high, ms", "measured", 3)
SHOWN = (NETWORK, KIND, MS, HALF_WIDTH, RATIO)
"""Of the paper's tables in files; what else the page shows comes from the code. LOW and HIGH, the
interval's ends, are for the pictures; where a file has none they are drawn as far to both sides."""

STATISTIC = (
    "One thread. ms: tenth percentile of all inferences. ± %: half of the 95 % interval. ratio: to "
    "the first network of the table in the same precision, paired by round."
)
DIGEST = "Figures"
"""Name of the text in a picture that says what it was drawn from."""


def pages(docs: Path) -> list[Path]:
    """Raises UserError where no documentation is."""
    if not (docs / "results").is_dir():
        raise UserError(f"{docs} has no results; run this in a clone, or give --docs=DIR.")
    return [docs.parent / "README.md", *sorted(docs.glob("*.md"))]


def write_pages(docs: Path) -> Iterator[Path]:
    """The pages that were not as they must be."""
    for path in pages(docs):
        text = path.read_text()
        made = page(text, docs / "results")
        if made != text:
            with atomic_write(path) as temporary:
                temporary.write_text(made)
            yield path


def page(text: str, results: Path) -> str:
    """The page with its tables as they must be; raises UserError for one of no such file."""
    return TABLE.sub(lambda match: f"{match[1]}{table(match[2], results)}\n{match[3]}", text)


def table(name: str, results: Path) -> str:
    if name in COUNTED:
        return COUNTED[name]()
    file = read(results / f"{name}.json")
    if name not in TABLES:
        return markdown(file.columns, file.lines())
    result = paper_result(name, file)
    names = paper_lines.columns(result["task"])
    ours: list[Kind | None] = [*(column.kind for column in SHOWN), "counted", "counted"]
    columns = [
        Column(name, ours[place] if place < len(ours) else "published")
        for place, name in enumerate(names)
    ]
    return markdown(columns, [paper_lines.line(row, result["task"]) for row in result["rows"]])


def paper_result(name: str, file: ResultFile) -> PaperTable:
    """As `benchmark paper` has it, with counted and published figures of the code."""
    known = {(row["name"], kind_of(row)): row for row in map(describe, TABLES[name].rows())}
    rows: list[PaperRow] = []
    for cells in file.named_rows():
        key = (cells["network"], cells["kind"])
        if key not in known:
            raise UserError(
                f"{name}.json has {' '.join(key)}, which the table does not; remove it."
            )
        us, part = 1e3 * cells["ms"], cells["± %"] / 100
        ends = [1e3 * cells[end.name] for end in (LOW, HIGH) if end.name in cells]
        ends = ends or [us * (1 - part), us * (1 + part)]
        rows.append({**known[key], "full_pace_us": us, "ci_us": ends, "ratio": cells["ratio"]})
    with_accuracy(rows, {})
    assert file.machine
    whole = TABLES[name]
    return {
        "title": whole.title,
        "task": whole.task,
        "first": whole.first,
        "machine": file.machine,
        "rows": rows,
    }


def kind_of(row: DescribedRow) -> str:
    return paper_lines.KINDS[row["quantize"]]


DENSE = (
    ("SSDLite Large, 320x320, 90 classes", "detection", "large"),
    ("... half tail", "detection", "large half"),
    ("SSDLite Small", "detection", "small"),
    ("... half tail", "detection", "small half"),
    ("LR-ASPP Large RF2 128, 1024x2048, 19 classes", "segmentation_full", "large LR 128"),
    ("LR-ASPP Small RF2 128", "segmentation_full", "small LR 128"),
    ("R-ASPP Large 256", "segmentation_full", "large full R 256"),
)
"""Networks by the names that docs/detection_segmentation.md gives them: of which table, and row."""


def dense_counts() -> str:
    columns = [
        Column("network"),
        Column("params", "counted"),
        Column("MAdds", "counted"),
        Column("the paper's", "published"),
    ]
    lines = []
    for name, where, label in DENSE:
        row = _row(where, label)
        total = cost(row.spec)
        paper = f"{row.published['params_m']:.2f} M, {row.published['madds_b']:.2f} B"
        lines.append([name, f"{total.params:,}", f"{total.madds:,}", paper])
    return markdown(columns, lines)


def _row(where: str, label: str) -> TableRow:
    return next(row for row in TABLES[where].rows() if row.label == label)


COUNTED: Mapping[str, Callable[[], str]] = {"dense_counts": dense_counts}
"""Tables of which the code knows all."""


def draw_pictures(docs: Path) -> Iterator[Path]:
    """The pictures that did not show the figures of docs/results."""
    for name, (shown, draw) in pictures(docs / "results").items():
        path, source = docs / "images" / name, digest(shown)
        if drawn_from(path) != source:
            draw(path)
            _mark(path, source)
            yield path


DRAWN = ("networks", "hard_swish", "redesigns", "detection", "segmentation")
"""Tables of the paper with a picture of their own."""


def pictures(results: Path) -> dict[str, tuple[object, Callable[[Path], None]]]:
    """What each picture shows, and what draws it, by its file's name."""
    tables = {
        name: paper_result(name, read(results / f"{name}.json")) for name in (*DRAWN, "multipliers")
    }
    drawn: dict[str, tuple[object, Callable[[Path], None]]] = {
        f"results_{name}.png": (tables[name], partial(paper_plots.PLOTS[name], tables[name]))
        for name in DRAWN
    }
    both = tables["networks"], tables["multipliers"]
    drawn["results_frontier.png"] = (both, partial(paper_plots.plot_frontiers, *both))
    rows = profile_rows(read(results / "profile.json"))
    drawn["results_profile.png"] = (rows, partial(profile.plot, rows))
    return drawn


def profile_rows(file: ResultFile) -> list[ProfileRow]:
    """As `benchmark profile` has them."""
    quantize = {kind: key for key, kind in paper_lines.KINDS.items()}
    by_operators = list(file.named_rows())
    rows: list[ProfileRow] = []
    for column in file.columns[1:]:
        network, _, kind = column.name.rpartition(" ")
        us = {row["operators"]: 1e3 * row[column.name] for row in by_operators}
        whole = us.pop("whole")
        del us["sum"]
        rows.append({"network": network, "quantize": quantize[kind], "us": us, "whole_us": whole})
    return rows


def digest(shown: object) -> str:
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def drawn_from(path: Path) -> str | None:
    """The digest of what a picture shows; None where there is none or it does not say."""
    if not path.exists():
        return None
    with Image.open(path) as picture:
        return picture.info.get(DIGEST)


def _mark(path: Path, source: str) -> None:
    texts = PngInfo()
    texts.add_text(DIGEST, source)
    with Image.open(path) as picture, atomic_write(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=texts, optimize=True)


def take_results(bench: Path, docs: Path) -> Iterator[Path]:
    """Copies what `make bench` measured into the result files, in place of what they had."""
    results = docs / "results"
    measured = {name: read_table(bench / "paper" / f"{name}.json") for name in TABLES}
    files = {name: paper_file(result) for name, result in measured.items() if result}
    if profiled := profile.read(bench / "profile" / "profile.json"):
        files["profile"] = profile_file(profiled, read(results / "profile.json"))
    if (path := bench / "latency_table.json").exists():
        before = read(results / "latency_table.json")
        files["latency_table"] = latency_table_file(LatencyTable.read(path), before)
        shutil.copyfile(
            bench / "latency_table.png", docs / "images" / str(files["latency_table"].picture)
        )
    if not files:
        raise UserError(f"--results={bench} has nothing to take; make bench leaves it there.")
    for name, file in files.items():
        write(results / f"{name}.json", file)
        yield results / f"{name}.json"


def paper_file(result: MeasuredTable) -> ResultFile:
    columns: Sequence[Column] = (*SHOWN, LOW, HIGH)
    rows: list[list[Cell]] = []
    for row in result["rows"]:
        us, (low, high) = row["full_pace_us"], row["ci_us"]
        figures = (us / 1e3, half_width(us, row["ci_us"]), row["ratio"], low / 1e3, high / 1e3)
        rows.append([row["name"], kind_of(row), *_rounded(figures, columns[2:])])
    made = (result["machine"], result["command"], result["date"])
    return ResultFile(result["title"], STATISTIC, columns, rows, *made)


def profile_file(result: ProfileResults, before: ResultFile) -> ResultFile:
    names, lines = profile.table(result["rows"])
    columns = [Column(names[0]), *(Column(name, "measured", 2) for name in names[1:])]
    rows: list[list[Cell]] = [[line[0], *map(float, line[1:])] for line in lines]
    return replace(before, columns=columns, rows=rows, machine=_device(result["conditions"]))


def latency_table_file(measured: LatencyTable, before: ResultFile) -> ResultFile:
    rows: list[list[Cell]] = []
    for quantize, errors in measured.errors.items():
        parts = (errors["median"], errors["p95"], errors["sum_of_parts"]["median"])
        median, p95, plain = (100 * part for part in parts)
        figures = (errors["networks"], median, p95, errors["spearman"], plain)
        rows.append([paper_lines.KINDS[quantize], *_rounded(figures, before.columns[1:])])
    return replace(before, rows=rows, machine=_device(measured.conditions))


def _device(conditions: Conditions) -> Machine:
    return {"cpu": conditions["device"]}


def _rounded(figures: Sequence[float], columns: Sequence[Column]) -> list[float]:
    return [round(x, column.digits) for x, column in zip(figures, columns, strict=True)]
