"""Result files, the tables and pictures that are made of them, and taking in new results."""

import json
import shutil
from pathlib import Path

import pytest

from benchmark import doc_pages, docs, paper, result_files
from benchmark.doc_pages import SHOWN
from benchmark.paper_tables import TABLES
from benchmark.result_files import Column, ResultFile
from mnv3_tf.errors import UserError
from mnv3_tf.search.latency_model import LatencyTable
from mnv3_tf.ui import cli

DOCS = Path(__file__).parents[2] / "docs"
PAGE = "# A page\n\nAbove.\n\n<!-- table: {} -->\n{}\n<!-- end -->\n\nBelow.\n"
FOUND = ResultFile(
    "A title",
    "Medians.",
    [Column("file"), Column("ms", "measured", 2), Column("change", "measured", signed=True)],
    [["a", 1.5, 2], ["b", None, -1234], ["c", [3.0, 2.5, 4.125], "does not load"]],
    {"cpu": "A processor"},
    "make it",
)


def run(*flags: object) -> int:
    return cli.call(docs.main, docs.define_flags, ["docs", *map(str, flags)])


def test_a_file_is_read_as_it_was_written(tmp_path):
    result_files.write(tmp_path / "a.json", FOUND)
    assert result_files.read(tmp_path / "a.json") == FOUND
    text = (tmp_path / "a.json").read_text()
    assert '\n  ["a", 1.5, 2],\n' in text
    assert list(json.loads(text)) == [
        *("title", "statistic", "machine", "command", "columns", "rows"),
    ]


@pytest.mark.parametrize("path", sorted(DOCS.glob("results/*.json")), ids=lambda path: path.stem)
def test_files_of_the_documentation_are_as_they_would_be_written(path, tmp_path):
    result_files.write(tmp_path / path.name, result_files.read(path))
    assert (tmp_path / path.name).read_text() == path.read_text()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rows": [["a", 1.0]]}, "every row must have 3 cells"),
        ({"columns": [{"name": "a", "kind": "guessed"}], "rows": []}, "guessed"),
        ({"columns": None}, "no table of results"),
        ({"more": 1}, "no table of results"),
    ],
)
def test_what_is_no_result_file_is_refused(change, told, tmp_path):
    result_files.write(tmp_path / "a.json", FOUND)
    tree = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(tree | change))
    with pytest.raises(UserError, match=told):
        result_files.read(tmp_path / "a.json")


def test_a_table_in_markdown():
    assert result_files.markdown(FOUND.columns, FOUND.lines()).splitlines() == [
        "| file | ms | change |",
        "|---|---:|---:|",
        "| a | 1.50 | +2 |",
        "| b | - | -1,234 |",
        "| c | 3.00 (2.50 to 4.125) | does not load |",
    ]


def test_a_page_keeps_all_but_its_tables(tmp_path):
    result_files.write(tmp_path / "a.json", FOUND)
    made = doc_pages.page(PAGE.format("a", "| old |"), tmp_path)
    assert made == PAGE.format("a", result_files.markdown(FOUND.columns, FOUND.lines()))
    assert doc_pages.page(made, tmp_path) == made


def test_counts_and_published_figures_come_from_the_code(tmp_path):
    rows = [["large", "int8", 8.0, 0.9, 1.0]]
    found = ResultFile("Networks", "", SHOWN, rows, {"cpu": "A processor"})
    result_files.write(tmp_path / "networks.json", found)
    *_, line = doc_pages.table("networks", tmp_path).splitlines()
    assert line == (
        "| large | int8 | 8.00 | 0.9 | 1.000 | 216.6 | 5.48 | 73.8 | 44 | 42.5 | 31.7 |"
    )
    (row,) = doc_pages.paper_result("networks", found)["rows"]
    assert row["ci_us"] == pytest.approx([7928, 8072])


def test_a_row_of_no_network_is_refused():
    found = ResultFile("Networks", "", SHOWN, [["vgg", "int8", 80.0, 0.9, 1.0]])
    with pytest.raises(UserError, match="vgg int8"):
        doc_pages.paper_result("networks", found)


@pytest.fixture
def copy(tmp_path) -> Path:
    """A documentation of its own, with a page of one table."""
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "README.md").write_text(PAGE.format("profile", ""))
    return tmp_path / "docs"


def test_new_results_change_the_pages_and_the_pictures(copy, tmp_path, capsys):
    rows = [
        paper.describe(row) | {"full_pace_us": 1234.5, "ci_us": [1200.0, 1300.0], "ratio": 1.0}
        for row in TABLES["redesigns"].rows()
    ]
    told = {"title": "Ours", "machine": {"cpu": "Another"}, "command": "make", "date": "today"}
    paths = [
        tmp_path / "bench" / name
        for name in ("paper/redesigns.json", "profile/profile.json", "latency_table.json")
    ]
    errors = {"networks": 20, "median": 0.0123, "p95": 0.04, "spearman": 0.9876}
    trees = [
        told | {"rows": rows},
        {
            "conditions": {"device": "Another"},
            "rows": [
                {"network": "v2", "quantize": "none", "us": {"stem": 2000.0}, "whole_us": 3000.0}
            ],
        },
        json.loads(
            LatencyTable(
                {"device": "Another"}, errors={"int8": errors | {"sum_of_parts": {"median": 0.2}}}
            ).to_json()
        ),
    ]
    for path, tree in zip(paths, trees, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(tree))
    paths[-1].with_suffix(".png").write_bytes(b"a plot")
    assert run(f"--docs={copy}", f"--results={tmp_path / 'bench'}") == 0
    changed = {line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()}
    assert changed == {
        *("redesigns.json", "profile.json", "latency_table.json", "README.md", "results.md"),
        *("results_redesigns.png", "results_profile.png"),
    }
    found = result_files.read(copy / "results" / "redesigns.json")
    assert found.date == "today"
    assert found.rows[0] == ["large", "float", 1.23, 4.1, 1.0, 1.2, 1.3]
    assert (
        "| old last stage | float | 1.23 | 4.1 | 1.000 | 250.9 |"
        in (copy / "results.md").read_text()
    )
    assert "| int8 | 20 | 1.2 | 4.0 | 0.988 | 20.0 |" in (copy / "results.md").read_text()
    assert (copy / "images" / "results_latency_table.png").read_bytes() == b"a plot"
    assert "| operators | v2 float |" in (copy.parent / "README.md").read_text()
    assert run(f"--docs={copy}") == 0
    assert capsys.readouterr().out == ""


def test_nothing_to_take_is_said(copy, tmp_path, capsys):
    assert run(f"--docs={copy}", f"--results={tmp_path}") == 2
    assert "has nothing to take" in capsys.readouterr().err


def test_a_folder_that_is_no_documentation_is_refused(tmp_path, capsys):
    assert run(f"--docs={tmp_path}") == 2
    assert "run this in a clone, or give --docs=DIR" in capsys.readouterr().err
