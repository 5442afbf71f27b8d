"""The documentation's generated parts: tables and pictures, from docs/results/*.json."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark import paper_lines, paper_plots, profile
from benchmark.paper import describe, with_accuracy
from benchmark.paper_tables import TABLES, Row
from benchmark.result_files import Cell, Column, ResultFile, markdown, read, write
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.networks.cost import cost

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
    return TABLE.sub(lambda found: f"{found[1]}{table(found[2], results)}\n{found[3]}", text)


def table(name: str, results: Path) -> str:
    if name in COUNTED:
        return COUNTED[name]()
    found = read(results / f"{name}.json")
    if name not in TABLES:
        return markdown(found.columns, found.lines())
    result = paper_result(name, found)
    names = paper_lines.columns(result["task"])
    kinds: list[Any] = [column.kind for column in SHOWN]
    kinds += ["counted", "counted"] + ["published"] * (len(names) - len(SHOWN) - 2)
    columns = [Column(name, kind) for name, kind in zip(names, kinds, strict=True)]
    return markdown(columns, [paper_lines.line(row, result["task"]) for row in result["rows"]])


def paper_result(name: str, found: ResultFile) -> dict[str, Any]:
    """As `benchmark paper` has it, with counted and published figures of the code."""
    known = {(row["name"], kind_of(row)): row for row in map(describe, TABLES[name].rows())}
    rows = []
    for cells in found.named_rows():
        key = (cells["network"], cells["kind"])
        if key not in known:
            raise UserError(
                f"{name}.json has {' '.join(key)}, which the table does not; remove it."
            )
        us, part = 1e3 * cells["ms"], cells["± %"] / 100
        ends = [1e3 * cells[end.name] for end in (LOW, HIGH) if end.name in cells]
        timed = {"full_pace_us": us, "ci_us": ends or [us * (1 - part), us * (1 + part)]}
        rows.append(known[key] | timed | {"ratio": cells["ratio"]})
    with_accuracy(rows, {})
    whole = TABLES[name]
    return {
        "title": whole.title,
        "task": whole.task,
        "first": whole.first,
        "machine": found.machine,
        "rows": rows,
    }


def kind_of(row: Mapping[str, Any]) -> str:
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
        total, told = cost(row.spec), row.published
        paper = f"{told['params_m']:.2f} M, {told['madds_b']:.2f} B"
        lines.append([name, f"{total.params:,}", f"{total.madds:,}", paper])
    return markdown(columns, lines)


def _row(where: str, label: str) -> Row:
    return next(row for row in TABLES[where].rows() if row.label == label)


COUNTED: Mapping[str, Callable[[], str]] = {"dense_counts": dense_counts}
"""Tables of which the code knows all."""


def draw_pictures(docs: Path) -> Iterator[Path]:
    """The pictures that did not show the figures of docs/results."""
    for name, (shown, draw) in pictures(docs / "results").items():
        path, wanted = docs / "images" / name, digest(shown)
        if drawn_from(path) != wanted:
            draw(shown, path)
            _mark(path, wanted)
            yield path


DRAWN = ("networks", "hard_swish", "redesigns", "detection", "segmentation")
"""Tables of the paper with a picture of their own."""


def pictures(results: Path) -> dict[str, tuple[Any, Callable[[Any, Path], None]]]:
    """What each picture shows, and what draws it, by its file's name."""
    found = {
        name: paper_result(name, read(results / f"{name}.json")) for name in (*DRAWN, "multipliers")
    }
    drawn: dict[str, tuple[Any, Callable[[Any, Path], None]]] = {
        f"results_{name}.png": (found[name], paper_plots.PLOTS[name]) for name in DRAWN
    }
    both = found["networks"], found["multipliers"]
    drawn["results_frontier.png"] = (both, draw_frontiers)
    drawn["results_profile.png"] = (profile_rows(read(results / "profile.json")), profile.plot)
    return drawn


def draw_frontiers(both: tuple[paper_plots.Result, paper_plots.Result], path: Path) -> None:
    paper_plots.plot_frontiers(*both, path)


def profile_rows(found: ResultFile) -> list[dict[str, Any]]:
    """As `benchmark profile` has them."""
    quantize = {kind: key for key, kind in paper_lines.KINDS.items()}
    by_operators = list(found.named_rows())
    rows = []
    for column in found.columns[1:]:
        network, _, kind = column.name.rpartition(" ")
        us = {row["operators"]: 1e3 * row[column.name] for row in by_operators}
        whole = us.pop("whole")
        del us["sum"]
        rows.append({"network": network, "quantize": quantize[kind], "us": us, "whole_us": whole})
    return rows


def digest(shown: Any) -> str:
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def drawn_from(path: Path) -> str | None:
    """The digest of what a picture shows; None where there is none or it does not say."""
    from PIL import Image

    if not path.exists():
        return None
    with Image.open(path) as picture:
        return picture.info.get(DIGEST)


def _mark(path: Path, wanted: str) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text(DIGEST, wanted)
    with Image.open(path) as picture, atomic_write(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=told, optimize=True)


def take_results(bench: Path, results: Path) -> Iterator[Path]:
    """Copies what `make bench` measured into the files, in place of what they had."""
    taken = {name: _read_json(bench / "paper" / f"{name}.json") for name in TABLES}
    made = {name: paper_file(tree) for name, tree in taken.items() if tree}
    if tree := _read_json(bench / "profile" / "profile.json"):
        made["profile"] = profile_file(tree, read(results / "profile.json"))
    if not made:
        raise UserError(f"--results={bench} has nothing to take; make bench leaves it there.")
    for name, found in made.items():
        write(results / f"{name}.json", found)
        yield results / f"{name}.json"


def paper_file(tree: Mapping[str, Any]) -> ResultFile:
    columns, rows = (*SHOWN, LOW, HIGH), []
    for row in tree["rows"]:
        us, (low, high) = row["full_pace_us"], row["ci_us"]
        figures = (us / 1e3, 50 * (high - low) / us, row["ratio"], low / 1e3, high / 1e3)
        rounded = [round(x, column.digits) for x, column in zip(figures, columns[2:], strict=True)]
        rows.append([row["name"], kind_of(row), *rounded])
    return ResultFile(
        tree["title"], STATISTIC, columns, rows, tree["machine"], tree["command"], tree["date"]
    )


def profile_file(tree: Mapping[str, Any], before: ResultFile) -> ResultFile:
    names, lines = profile.table(tree["rows"])
    columns = [Column(names[0]), *(Column(name, "measured", 2) for name in names[1:])]
    rows: list[list[Cell]] = [[line[0], *map(float, line[1:])] for line in lines]
    machine = {"cpu": tree["conditions"]["device"]}
    return replace(before, columns=columns, rows=rows, machine=machine, date=None)


def _read_json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None
