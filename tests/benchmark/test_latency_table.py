"""The latency table, filled here for a space of tiny networks, from times that are made up."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmark import latency_table, latency_table_plot
from benchmark.latency_table_plot import plot_errors
from mnv3_tf.measuring.timers import HostTimer
from mnv3_tf.measuring.timings import TimingJob, Timings
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import latency_model
from mnv3_tf.search.latency_model import LatencyTable, fit
from mnv3_tf.search.proposals import shrunk
from mnv3_tf.search.space import Space
from mnv3_tf.ui import cli

SPACE = Space(resolve("small_minimalistic", resolution=32))
TINY = (
    "--seeds=small_minimalistic",
    "--resolution=32",
    "--networks=2",
    "--plane=2",
    "--line=3",
    "--rounds=1",
)


def run(*flags: object) -> int:
    argv = ["benchmark", *map(str, flags)]
    return cli.call(latency_table.main, latency_table.define_flags, argv)


def a_byte_a_channel(job: TimingJob) -> bytes:
    """Instead of `content`, which takes long to make; a network is more than its parts."""
    if isinstance(job.what, NetworkSpec):
        return b"x" * (2 * sum(op.input[2] + op.output[2] for op in operators(job.what)) + 500)
    return b"x" * (job.what.input[2] + job.what.output[2])


def a_nanosecond_a_byte(self, paths, burst_ms) -> list[float]:
    """Instead of `HostTimer.time`."""
    return [path.stat().st_size / 1e3 for path in paths]


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> tuple[Path, str]:
    """The folder of table.json, and what the command printed."""
    folder, printed = tmp_path_factory.mktemp("table"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(TimingJob, "content", a_byte_a_channel)
        patch.setattr(HostTimer, "time", a_nanosecond_a_byte)
        assert run(*TINY, f"--out={folder / 'table.json'}", "--json") == 0
    return folder, printed.getvalue()


@pytest.fixture
def folder(filled, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(filled[0], tmp_path / "table"))


@pytest.fixture
def timed(monkeypatch) -> list[float]:
    """The turns, in ms, of the files that were timed from now on; nothing is plotted."""
    turns: list[float] = []

    def time(self, paths, burst_ms):
        turns.extend([burst_ms] * len(paths))
        return a_nanosecond_a_byte(self, paths, burst_ms)

    monkeypatch.setattr(TimingJob, "content", a_byte_a_channel)
    monkeypatch.setattr(HostTimer, "time", time)
    monkeypatch.setattr(latency_table_plot, "plot_errors", lambda *_: None)
    return turns


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
    # The correction has learned what a sum of parts lacks.
    assert table.errors[quantize]["median"] < 0.2 < told["median"]


def test_grids_hold_what_was_timed(filled):
    table, timings = LatencyTable.read(filled[0] / "table.json"), entries(filled[0])
    for quantize in ("none", "int8"):
        key, grid = next(iter(table.grids[quantize].items()))
        ends = tuple(axis[-1] for axis in grid.knots)
        assert grid.at(ends) == timings[f"{quantize} {key} {ends}"]


def test_grids_are_as_fine_as_asked_for(filled):
    grids = LatencyTable.read(filled[0] / "table.json").grids["none"]
    finest = {
        kind: max(
            len(axis) for key, grid in grids.items() if key.kind == kind for axis in grid.knots
        )
        for kind in ("conv", "depthwise")
    }
    assert finest == {"conv": 2, "depthwise": 3}


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
    assert timed == [60.0] * 2 * 2  # two more to draw, in two precisions


def test_a_cut_last_line_is_timed_again(folder, timed):
    file = folder / "table.timings.jsonl"
    whole, before = file.read_text(), (folder / "table.json").read_text()
    file.write_text(whole[:-9])
    assert run(*TINY, f"--out={folder / 'table.json'}") == 0
    assert timed == [60.0]
    assert (file.read_text(), (folder / "table.json").read_text()) == (whole, before)


def test_operators_have_shorter_turns_than_networks(timed, tmp_path):
    plans = latency_model.plan_grids([SPACE.start], 2, 2)
    (key, plan), *_ = plans.items()
    timings = Timings(tmp_path / "t.jsonl", HostTimer(1, 1))
    grids = latency_table.measure_grids({key: plan}, "int8", timings)
    assert timed == [4.0] * grids[key].values.size
    _, knots = plan
    assert grids[key].knots == knots
    # In the order of the grid: the more channels, the longer.
    assert grids[key].values.shape == tuple(map(len, knots))
    for axis in range(len(knots)):
        assert (np.diff(grids[key].values, axis=axis) > 0).all()


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
    assert table.network_us(SPACE.start.replace(num_classes=classes), "int8") > 0


def test_any_number_of_classes_is_spanned():
    space = Space(SPACE.start.replace(num_classes=10))
    spanned = {spec.num_classes for spec in latency_table.spanning([space], None)}
    assert spanned == {2, 10, 1000}


def test_smallest_spans_what_netadapt_makes_and_what_it_is_compared_with():
    plans = {
        smallest: latency_model.plan_grids(latency_table.spanning([SPACE], smallest), 2, 2)
        for smallest in (None, 0.25)
    }

    def lacking(small: NetworkSpec, smallest: float | None) -> bool:
        return any(
            channels < axis[0]
            for op in operators(small)
            for channels, axis in zip(
                latency_model.channels_of(op),
                plans[smallest][latency_model.key_of(op)][1],
                strict=True,
            )
        )

    for small in (shrunk(SPACE.start, 0.25), SPACE.start.with_width(0.4)):
        assert lacking(small, None)
        assert not lacking(small, 0.25)


def test_a_line_is_in_percent():
    errors = {
        "networks": 40,
        "median": 0.0123,
        "p95": 0.0456,
        "spearman": 0.98765,
        "sum_of_parts": {"median": 0.2, "p95": 0.9},
    }
    assert latency_table.line("none", errors) == ("float", "40", "1.2%", "4.6%", "0.988", "20.0%")
    assert latency_table.line("int8", errors)[0] == "int8"
    assert latency_table.COLUMNS == (
        "kind",
        "networks",
        "median error",
        "95 % below",
        "Spearman",
        "sum of parts",
    )


def test_errors_are_plotted_in_milliseconds(drawn, tmp_path):
    us = ([1000.0, 2000.0], [1100.0, 1900.0], [700.0, 1500.0])
    found = latency_table.Predictions(*map(np.array, us))
    conditions = {"device": "A phone", "threads": 2}
    plot_errors({"none": found, "int8": found}, conditions, tmp_path / "t.png")
    (figure,) = drawn
    assert figure.get_suptitle() == "A phone, 2 thread(s)"
    for axes, title in zip(figure.axes, ("float32", "int8"), strict=True):
        assert axes.get_title(loc="left") == title
        sums, predicted = (points.get_offsets().tolist() for points in axes.collections)
        assert sums == [[1.0, 0.7], [2.0, 1.5]]
        assert predicted == [[1.0, 1.1], [2.0, 1.9]]
        (line,) = axes.lines
        assert list(line.get_xdata()) == list(line.get_ydata())  # on it, predictions are right
        assert axes.get_xlim() == axes.get_ylim() == pytest.approx((0, 2.1))
        assert axes.texts[0].get_text() == "median error 7.5%\n95 % below 10.0%\nSpearman 1.000"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("measured (ms)", "predicted (ms)")


def test_a_network_without_a_space_is_spanned_at_its_widths():
    space = latency_table.space_around(resolve("v4_conv_small", resolution=64))
    assert isinstance(latency_table.space_around(SPACE.start), Space)
    plans = latency_model.plan_grids(latency_table.spanning([space], 0.35), 4, 5)
    drawn = latency_table.draw([space], 6, seed=0)
    assert len({spec.hash for spec in drawn}) > 3
    for spec in (*drawn, space.start, shrunk(space.start, 0.5)):
        for op in operators(spec):
            _, knots = plans[latency_model.key_of(op)]
            channels = latency_model.channels_of(op)
            for axis, channel in zip(knots, channels, strict=True):
                assert axis[0] <= channel <= axis[-1], op
