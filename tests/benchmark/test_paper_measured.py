"""The command that measures the paper's tables."""

import contextlib
import dataclasses
import io
import json
import shutil
from functools import partial
from pathlib import Path

import commands
import numpy as np
import pytest
import tiny

from benchmark import paper, paper_plots, paper_tables, report
from benchmark.paper_tables import TABLES, TableRow
from mnv3_tf.measuring import latency, machine, statistics, turns
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.named import resolve
from mnv3_tf.tflite import runtime, skeleton

run = partial(commands.call, paper)
QUICK = ("--tables=redesigns", "--rounds=5", "--burst_ms=1")


class Scripted:
    """A loaded file: the network number k of its table takes 100 (k + 1) microseconds.

    The second turn is half as long again, and the first inference of a turn four times as long.
    """

    loaded: list["Scripted"]

    def __init__(self, path: Path, threads: int) -> None:
        self.us, self.turns = 100.0 * (len(self.loaded) + 1), 0
        self.path, self.threads = path, threads
        self.loaded.append(self)

    def invoke(self) -> None:
        pass

    def take(self, count: int) -> np.ndarray:
        if count == turns.UNTIMED_INVOKES:
            return np.full(count, 1e9)
        times = np.full(count, self.us * (1.5 if self.turns == 1 else 1.0))
        times[0] *= 4
        self.turns += 1
        return times


@contextlib.contextmanager
def scripted():
    """What was made: (spec, precision, lowering) by the file's name."""
    made = {}

    def network(spec, quantize, hard_swish):
        content = f"{spec.hash} {quantize} {hard_swish}".encode()
        made[content] = (spec, quantize, hard_swish)
        return content

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scripted, "loaded", [], raising=False)
        patch.setattr(skeleton, "network", network)
        patch.setattr(runtime, "TFLiteModel", Scripted)
        patch.setattr(runtime, "warm_up", lambda invoke: invoke.__self__.us)
        patch.setattr(runtime, "sample", lambda invoke, count: invoke.__self__.take(count))
        patch.setattr(machine, "cores_in_use", lambda: 0.0)
        patch.setattr(statistics, "RESAMPLES", 200)
        yield made


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> tuple[Path, str]:
    """The folder with the redesigns, and what was printed."""
    folder, printed = tmp_path_factory.mktemp("paper"), io.StringIO()
    with scripted(), contextlib.redirect_stdout(printed):
        assert run(*QUICK, f"--out={folder}", "--json") == 0
    return folder, printed.getvalue()


@pytest.fixture
def folder(measured, tmp_path) -> Path:
    """A copy to change, whose measurement was long ago."""
    copy = Path(shutil.copytree(measured[0], tmp_path / "paper"))
    result = read(copy) | {"date": "long ago"}
    (copy / "redesigns.json").write_text(json.dumps(result))
    return copy


@pytest.fixture
def made_up(monkeypatch) -> list[str]:
    """The tables that were measured from now on, by figures that are made up."""
    from mnv3_tf.measuring.machine import describe_machine

    names: list[str] = []
    machine = {"cores": 2, "clock_mhz": None, "platform": "made up", "versions": {}}
    machine |= {"load_before": [0.0], "load_after": [0.0]}

    def measure(name, settings, files):
        names.append(name)
        rows = [
            paper.describe(row)
            | {
                "bytes": 1,
                "full_pace_us": 1e-5 * cost(row.spec).madds,
                "ci_us": [0.9e-5 * cost(row.spec).madds, 1.1e-5 * cost(row.spec).madds],
                "ratio": 1.5,
            }
            for row in TABLES[name].rows()
        ]
        return {
            "schema_version": paper.SCHEMA_VERSION,
            "title": TABLES[name].title,
            "note": TABLES[name].note,
            "task": TABLES[name].task,
            "first": TABLES[name].first,
            "command": "made up",
            "date": "just now",
            "machine": machine | {"cpu": describe_machine(())["cpu"]},
            "settings": TABLES[name].settings(settings).recorded,
            "rows": rows,
            "warnings": ["the figures are made up."],
        }

    monkeypatch.setattr(paper, "measure_table", measure)
    return names


def read(folder: Path) -> dict:
    return json.loads((folder / "redesigns.json").read_text())


def accuracies(folder: Path) -> dict[tuple[str, str], tuple]:
    return {
        (row["label"], row["quantize"]): (row["top1"], row["top1_origin"])
        for row in read(folder)["rows"]
    }


def test_every_row_is_measured_and_says_where_its_figures_are_from(measured):
    folder, _ = measured
    result = read(folder)
    asked = list(paper_tables.redesigns())
    assert [(row["label"], row["quantize"]) for row in result["rows"]] == [
        (row.label, row.quantize) for row in asked
    ]
    assert result["origins"] == {
        "params": "computed",
        "madds": "computed",
        "bytes": "measured here",
        "full_pace_us": "measured here",
        "median_us": "measured here",
        "ratio": "measured here",
        "published": "published",
    }
    for number, (row, of) in enumerate(zip(result["rows"], asked, strict=True)):
        us = 100.0 * (number + 1)
        assert result["origins"].keys() <= row.keys()
        assert (row["full_pace_us"], row["median_us"]) == (us, us)
        assert row["ci_us"] == [us, us]
        assert row["p95_us"] == 4 * us
        assert row["rounds_us"] == [us, 1.5 * us, us, us, us]
        assert row["spread"] == pytest.approx(0.3)
        first = 100.0 if row["quantize"] == "none" else 500.0
        assert row["ratio"] == pytest.approx(us / first)
        assert row["ratio_ci"] == pytest.approx([us / first] * 2)
        assert row["bytes"] == len(f"{of.spec.hash} {of.quantize} None")
        assert row["hard_swish"] == {"none": "fused", "int8": "composite"}[of.quantize]
        assert row["resolution"] == 224
    large = result["rows"][0]
    assert (large["params"], large["madds"]) == (5_483_032, cost(resolve("large")).madds)
    assert large["spec_hashes"] == [
        resolve("large", num_classes=classes).hash for classes in (1000, 1001)
    ]
    assert (folder / "redesigns.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "frontier.png").exists()


def test_a_table_says_what_it_is_and_how_to_make_it_again(measured):
    result = read(measured[0])
    table = TABLES["redesigns"]
    told = {
        "schema_version": 1,
        "table": "redesigns",
        "task": "classify",
        "title": table.title,
        "note": table.note,
        "first": "large",
        "command": "python -m benchmark paper --tables=redesigns --rounds=5 --burst_ms=1",
        "settings": {"threads": 1, "rounds": 5, "burst_ms": 1, "seed": 0, "delegate": True},
    }
    assert {key: result[key] for key in told} == told
    (warning,) = result["warnings"]
    assert warning.startswith("rounds of large differ by 30%")


def test_networks_are_made_and_run_as_asked_for(tmp_path):
    settings = latency.HostSettings(threads=3, rounds=5, burst_ms=1)
    with scripted() as made:
        found = paper.measure_table("hard_swish", settings, tmp_path)
        assert {model.threads for model in Scripted.loaded} == {3}
        files = [model.path for model in Scripted.loaded]
    rows = list(paper_tables.hard_swish())
    assert files == [tmp_path / f"{row.name}.tflite" for row in rows]
    assert [made[file.read_bytes()] for file in files] == [
        (row.spec, row.quantize, row.hard_swish) for row in rows
    ]
    assert rows[3].name == "h-swish_from_112_float_naive"
    assert (found["rows"][3]["name"], found["rows"][3]["hard_swish"]) == (
        "h-swish from 112, naive",
        "naive",
    )
    assert found["rows"][0]["name"] == "relu only"
    assert found["rows"][3]["ratio"] == 4.0


def test_a_real_network_is_measured(tmp_path, monkeypatch):
    """A tiny one in both precisions, by the real runtime."""
    rows = [TableRow("tiny", tiny.SHALLOW, quantize) for quantize in paper_tables.PRECISIONS]
    table = dataclasses.replace(TABLES["redesigns"], rows=lambda: iter(rows), first="tiny")
    monkeypatch.setitem(TABLES, "redesigns", table)
    monkeypatch.setattr(runtime, "warm_up", lambda run: float(np.median(runtime.sample(run, 3))))
    monkeypatch.setattr(machine, "cores_in_use", lambda: 0.0)
    monkeypatch.setattr(statistics, "RESAMPLES", 200)
    found = paper.measure_table("redesigns", latency.HostSettings(1, 5, 1), tmp_path)["rows"]
    assert [row["ratio"] for row in found] == [1.0, 1.0]
    for row in found:
        low, high = row["ci_us"]
        assert 0 < low <= row["full_pace_us"] <= high
        assert row["full_pace_us"] <= row["median_us"] <= row["p95_us"]
        assert row["bytes"] > row["params"]
        assert len(row["rounds_us"]) == 5


def test_the_table_fits_and_the_last_line_is_json(measured):
    folder, printed = measured
    *lines, last = printed.splitlines()
    assert json.loads(last) == {"redesigns": read(folder)}
    assert printed.count("Warning: rounds of large differ by 30%") == 1
    table = [line for line in lines if not line.startswith(("Warning", "ms, "))]
    assert max(map(len, table)) <= 80
    assert sum("squeeze-excite" in line for line in table) == 3  # the title, float and int8
    assert sum(" float " in line for line in table) == 4


@pytest.fixture(autouse=True)
def unseen(request, monkeypatch):
    """Where plots are not what is asked for, nothing is plotted."""
    if "folder" in request.fixturenames:
        monkeypatch.setitem(paper_plots.PLOTS, "redesigns", lambda *_: None)


def test_what_is_there_is_not_measured_again(folder, made_up):
    assert run(*QUICK, f"--out={folder}") == 0
    assert (made_up, read(folder)["date"]) == ([], "long ago")


@pytest.mark.parametrize("more", ["--overwrite", "--rounds=6", "--burst_ms=2", "--threads=2"])
def test_overwriting_and_other_settings_measure_again(folder, made_up, more):
    assert run(*QUICK, more, f"--out={folder}") == 0
    assert (made_up, read(folder)["date"]) == (["redesigns"], "just now")


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["machine"].update(cpu="Other 9"),
        lambda found: found["rows"][0].update(spec_hashes=[]),
        lambda found: found["rows"].pop(),
        lambda found: found.update(schema_version=99),
        lambda found: found.pop("settings"),
    ],
    ids=["cpu", "network", "rows", "version", "damaged"],
)
def test_another_machine_or_network_is_measured_again(folder, made_up, change):
    result = read(folder)
    change(result)
    (folder / "redesigns.json").write_text(json.dumps(result))
    assert run(*QUICK, f"--out={folder}") == 0
    assert made_up == ["redesigns"]


@pytest.mark.parametrize("classes", [1000, 1001])
def test_a_report_gives_the_accuracy_of_its_network_and_precision(
    folder, made_up, tmp_path, capsys, classes
):
    report = {
        "spec_hash": resolve("large", num_classes=classes).hash,
        "quantize": "int8",
        "images": 500,
        "top1": {"float": 0.75, "exported": 0.625},
    }
    file = tmp_path / "large.report.json"
    file.write_text(json.dumps(report))
    assert run(*QUICK, f"--out={folder}", f"--reports={file}") == 0
    found = accuracies(folder)
    assert found.pop(("large", "int8")) == (62.5, "measured on 500 pictures")
    assert set(found.values()) == {(None, None)}
    assert "62.5*" in capsys.readouterr().out
    assert run(*QUICK, f"--out={folder}") == 0
    assert set(accuracies(folder).values()) == {(None, None)}
    assert made_up == []


def test_a_network_of_other_classes_is_not_compared_with_imagenet(folder, made_up, tmp_path):
    file = tmp_path / "flowers.report.json"
    spec = resolve("large", num_classes=5)
    found = {"spec_hash": spec.hash, "quantize": "none", "images": 9, "top1": {"exported": 1.0}}
    file.write_text(json.dumps(found))
    assert run(*QUICK, f"--out={folder}", f"--reports={file}") == 0
    assert set(accuracies(folder).values()) == {(None, None)}


def test_a_report_without_accuracy_changes_nothing(folder, made_up, tmp_path):
    file = tmp_path / "large.report.json"
    found = {"spec_hash": resolve("large").hash, "quantize": "none", "images": None, "top1": None}
    file.write_text(json.dumps(found))
    assert run(*QUICK, f"--out={folder}", f"--reports={file}") == 0
    assert set(accuracies(folder).values()) == {(None, None)}


def test_all_tables_are_plotted_with_the_frontiers(made_up, drawn, tmp_path, capsys):
    assert run(f"--out={tmp_path}") == 0
    assert len(drawn) == len(made_up) + 1
    assert made_up == [name for name in TABLES if name != "segmentation_full"]
    for name in (*made_up, "frontier"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    rows = json.loads((tmp_path / "networks.json").read_text())["rows"]
    large = next(row for row in rows if row["name"] == "large")
    assert (large["top1"], large["top1_origin"]) == (75.2, "published")
    out = capsys.readouterr().out
    assert "Warning: the figures are made up." in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("ms, ")) <= 80


def test_tables_of_other_tasks_are_kept_and_are_on_the_page(made_up, monkeypatch, tmp_path, capsys):
    asked = ["detection", "segmentation", "segmentation_full"]
    for name in asked:
        monkeypatch.setitem(paper_plots.PLOTS, name, lambda _, path: path.write_bytes(b"plot"))
    for _ in range(2):
        assert run(f"--tables={','.join(asked)}", f"--out={tmp_path / 'paper'}") == 0
    assert made_up == asked
    out = capsys.readouterr().out
    assert "Detection: MAdds in billions" in out
    assert "top-1" not in out
    assert commands.call(report, f"--results={tmp_path}") == 0
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png") == 3
    for told in (
        "Tables 7 and 8: segmentation at 1024x2048",
        "<th>mAP</th><th>P-1</th>",
        "<th>mIoU</th><th>test</th><th>P-3</th>",
        "<td>0.51 (0.51)</td><td>3.25 (3.22)</td><td>22.0</td><td>119</td>",
        "<td>9.37 (9.74)</td><td>1.51 (1.51)</td><td>72.4</td><td>72.6</td><td>657</td>",
        "<td>9.37 (9.74)</td><td>1.51 (1.51)</td><td>-</td><td>-</td><td>-</td>",
        "<td>72.4</td><td>72.6</td><td>2470</td>",
        "<td>7.45 (7.74)</td><td>1.51 (-)</td><td>-</td><td>72.0</td><td>534</td>",
    ):
        assert told in page


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tables=redesigns"], "Where to? Give --out=DIR."),
        (["--tables=redesigns,table7", "--out=a"], "--tables=table7 is unknown; choose from net"),
        (["--reports=absent.json", "--out=a"], "--reports=absent.json is no report of an export"),
        (["--reports=list.json", "--out=a"], "--reports=list.json is no report of an export"),
        (["--reports=other.json", "--out=a"], "--reports=other.json is no report of an export"),
        (["--reports=nested.json", "--out=a"], "--reports=nested.json is no report of an export"),
        (["--reports=cut.json", "--out=a"], "--reports=cut.json is no report of an export"),
        (["--rounds=4", "--out=a"], "--rounds=4 is too small; give at least 5."),
    ],
)
def test_bad_input_leaves_with_2_and_one_sentence(
    flags, said, made_up, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("list.json").write_text("[1]")
    Path("other.json").write_text('{"models": []}')
    Path("nested.json").write_text('{"spec_hash": ["a"], "quantize": {}}')
    Path("cut.json").write_text('{"spec_hash": "a", ')
    assert run(*flags) == 2
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert made_up == []
    assert not Path("a").exists()
