"""The latency table, filled here for a space of tiny networks."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark import latency_table
from benchmark.timers import HostTimer
from benchmark.timings import Job, Timings
from mnv3_tf import cli
from mnv3_tf.cost import operators
from mnv3_tf.networks import resolve
from mnv3_tf.search import latency_model
from mnv3_tf.search.latency_model import LatencyTable, fit
from mnv3_tf.search.proposals import shrunk
from mnv3_tf.search.space import Space

ROOT = Path(__file__).parents[2]
SPACE = Space(resolve("small_minimalistic", resolution=32))
TINY = (
    "--seeds=small_minimalistic",
    "--resolution=32",
    "--networks=2",
    "--plane=2",
    "--line=2",
    "--rounds=1",
)


def run(*flags: object) -> int:
    argv = ["benchmark", *map(str, flags)]
    return cli.call(latency_table.main, latency_table.define_flags, argv)


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> tuple[Path, str]:
    """The folder of table.json, and what the command printed."""
    folder, printed = tmp_path_factory.mktemp("table"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run(*TINY, f"--out={folder / 'table.json'}", "--json") == 0
    return folder, printed.getvalue()


@pytest.fixture
def folder(filled, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(filled[0], tmp_path / "table"))


@pytest.fixture
def timed(monkeypatch) -> list[Path]:
    """Files that were timed from now on; each takes a microsecond."""
    files: list[Path] = []

    def time(self, paths, burst_ms):
        files.extend(paths)
        return [1.0] * len(paths)

    monkeypatch.setattr(HostTimer, "time", time)
    return files


def entries(folder: Path) -> dict[str, float]:
    lines = map(json.loads, (folder / "table.timings.jsonl").read_text().splitlines())
    return {entry["name"]: entry["us"] for entry in lines if "name" in entry}


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_the_table_predicts_networks_of_its_space(filled, quantize):
    table = LatencyTable.read(filled[0] / "table.json")
    for seed in range(20):
        spec = SPACE.sample_freely(np.random.default_rng(seed))
        assert table.network_us(spec, quantize) > 0
        assert table.sum_us(spec, quantize) > 0
    assert table.conditions["threads"] == table.conditions["rounds"] == 1


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_its_errors_are_of_networks_that_it_was_not_fitted_to(filled, quantize):
    table, timings = LatencyTable.read(filled[0] / "table.json"), entries(filled[0])
    networks = latency_table.draw([SPACE], 4, seed=0)
    us = np.array([timings[f"{quantize} {spec.hash}"] for spec in networks])
    features = np.array([table.features(spec, quantize) for spec in networks[:2]])
    assert table.weights[quantize] == pytest.approx(fit(features, us[:2]))
    held_out, measured = networks[2:], us[2:]
    for predict, told in (
        (table.network_us, table.errors[quantize]),
        (table.sum_us, table.errors[quantize]["sum_of_parts"]),
    ):
        predicted = np.array([predict(spec, quantize) for spec in held_out])
        expected = latency_table.describe_errors(predicted, measured)
        assert {name: told[name] for name in expected} == pytest.approx(expected)


def test_grids_hold_what_was_timed(filled):
    table, timings = LatencyTable.read(filled[0] / "table.json"), entries(filled[0])
    for quantize in ("none", "int8"):
        key, grid = next(iter(table.grids[quantize].items()))
        ends = tuple(axis[-1] for axis in grid.knots)
        assert grid.at(ends) == timings[f"{quantize} {key} {ends}"]


def test_what_is_printed_fits_and_ends_in_json(filled):
    folder, printed = filled
    *lines, last = printed.splitlines()
    assert json.loads(last)["errors"] == json.loads((folder / "table.json").read_text())["errors"]
    assert max(len(line) for line in lines if "Written" not in line) <= 80
    assert any(line.split()[:2] == ["float", "2"] for line in lines)
    assert (folder / "table.png").read_bytes().startswith(b"\x89PNG")


def test_again_nothing_is_timed(folder, timed):
    before = {name: (folder / name).read_text() for name in ("table.json", "table.timings.jsonl")}
    (folder / "table.json").unlink()
    assert run(*TINY, f"--out={folder / 'table.json'}") == 0
    assert timed == []
    assert {name: (folder / name).read_text() for name in before} == before


def test_more_networks_are_timed_and_operators_are_not(folder, timed):
    assert run(*TINY, "--networks=3", f"--out={folder / 'table.json'}") == 0
    assert len(timed) == 2 * 2  # two more to draw, in two precisions


def test_a_cut_last_line_is_timed_again_and_kept(folder, timed):
    file = folder / "table.timings.jsonl"
    whole = entries(folder)
    file.write_bytes(file.read_bytes()[:-9])
    assert run(*TINY, f"--out={folder / 'table.json'}") == 0
    assert len(timed) == 1
    assert run(*TINY, f"--out={folder / 'table.json'}") == 0
    assert len(timed) == 1
    assert "1.0" in file.read_text().splitlines()[-1]
    assert whole.keys() == set(entries_that_are_whole(file))


def entries_that_are_whole(file: Path) -> list[str]:
    names = []
    for line in file.read_text().splitlines():
        with contextlib.suppress(ValueError):
            names.append(json.loads(line).get("name"))
    return [name for name in names if name]


def test_a_cut_first_line_leaves_the_conditions_told(tmp_path):
    class Timer:
        conditions = {"device": "made up"}  # noqa: RUF012

        def time(self, paths, burst_ms):
            return [float(path.stat().st_size) for path in paths]

    file = tmp_path / "table.timings.jsonl"
    file.write_text('{"conditio')
    op = operators(SPACE.seed)[0]
    job = Job("stem", op, "none", 1.0)
    assert Timings(file, Timer()).of([job], "") == [len(job.content())]
    told = list(map(json.loads, file.read_text().splitlines()))
    assert told == [{"conditions": Timer.conditions}, {"name": "stem", "us": len(job.content())}]


def test_timings_of_other_conditions_are_refused(folder, timed, capsys):
    before = (folder / "table.timings.jsonl").read_text()
    assert run(*TINY, "--threads=2", f"--out={folder / 'table.json'}") == 2
    said = capsys.readouterr().err
    assert "'threads': 1" in said.partition(", not ")[0]
    assert "'threads': 2" in said.partition(", not ")[2]
    assert said.endswith("remove it, or give another --out.\n")
    assert said.count("\n") == 1
    assert timed == []
    assert (folder / "table.timings.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--out= is no JSON file; give --out=FILE.json."),
        (["--out=a.json", "--networks=1"], "networks"),
        (["--out=a.json", "--seeds=huge"], "Unknown model 'huge'"),
        (["--out=a.json", "--smallest=2"], "--smallest=2.0 is no part of the channels"),
    ],
)
def test_bad_input_leaves_with_2_and_one_sentence(flags, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*flags) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_errors_are_relative():
    measured = np.array([100.0, 200.0, 300.0, 400.0, 500.0])
    predicted = np.array([110.0, 190.0, 300.0, 480.0, 520.0])
    found = latency_table.describe_errors(predicted, measured)
    assert found == {
        "networks": 5,
        "median": pytest.approx(0.05),
        "p95": pytest.approx(0.2),
        "spearman": pytest.approx(1),
    }


def test_the_95th_percentile_is_an_error_that_was_made():
    measured, predicted = np.full(40, 100.0), 100.0 + np.arange(40.0)
    assert latency_table.describe_errors(predicted, measured)["p95"] == pytest.approx(0.38)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([1, 2, 3, 4, 50], 1.0),
        ([2, 1, 4, 3, 5], 0.8),  # 1 - 6 * 4 / (5 * 24)
        ([9, 8, 7, 6, 5], -1.0),
        ([3, 1, 5, 2, 4], 0.3),  # 1 - 6 * 14 / (5 * 24)
    ],
)
def test_spearman_is_of_ranks(other, expected):
    found = latency_table.spearman(np.array([10.0, 20, 30, 40, 500]), np.array(other))
    assert found == pytest.approx(expected)


def test_networks_are_drawn_of_all_spaces_in_turn():
    spaces = [SPACE, Space(resolve("small", resolution=32))]
    drawn = latency_table.draw(spaces, 4, seed=0)
    assert [spec.blocks[4].activation for spec in drawn] == ["relu", "hard_swish"] * 2
    assert drawn == latency_table.draw(spaces, 4, seed=0) != latency_table.draw(spaces, 4, seed=1)


@pytest.mark.parametrize("classes", [2, 5, 1000])
def test_a_table_is_for_any_number_of_classes(filled, classes):
    table = LatencyTable.read(filled[0] / "table.json")
    assert table.network_us(SPACE.seed.replace(num_classes=classes), "int8") > 0


@pytest.mark.parametrize("small", [shrunk(SPACE.seed, 0.25), SPACE.seed.with_width(0.4)])
def test_smallest_spans_what_netadapt_makes_and_what_it_is_compared_with(small):
    def lacking(smallest: float | None) -> bool:
        plans = latency_model.plan_grids(latency_table.spanning([SPACE], smallest), 2, 2)
        return any(
            channels < axis[0]
            for op in operators(small)
            for channels, axis in zip(
                latency_model.channels_of(op), plans[latency_model.key_of(op)][1], strict=True
            )
        )

    assert lacking(None)
    assert not lacking(0.25)


def test_help_loads_no_runtime_and_no_tensorflow():
    code = (
        "import sys; from mnv3_tf import cli; from benchmark import latency_table as command;"
        "cli.call(command.main, command.define_flags, ['latency_table', '--help']);"
        "heavy = ('tensorflow', 'tf_keras', 'ai_edge_litert', 'matplotlib');"
        "sys.exit(any(m.startswith(heavy) for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("Fills the latency table")
    assert "--plane" in done.stdout
