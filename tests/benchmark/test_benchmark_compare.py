"""Slower or not, between two results of `benchmark latency` with times made up."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmark import compare
from mnv3_tf.measuring import comparison, latency, machine, statistics
from mnv3_tf.measuring.comparison import Change, Timing
from mnv3_tf.tflite import inspection, loading, runtime
from mnv3_tf.ui import cli

REPORT = {
    "sha256": "a",
    "bytes": 1000,
    "quantize": "int8",
    "xnnpack": {"nodes": 3, "delegated": 3, "partitions": 1},
}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 200)


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """What `latency` writes about models of these medians, with rounds that spread by a percent."""
    monkeypatch.setattr(loading, "check_loads", lambda *_: None)
    monkeypatch.setattr(runtime, "TFLiteModel", lambda *_: None)
    monkeypatch.setattr(inspection, "inspect", lambda *_: REPORT)
    monkeypatch.setattr(machine, "cores_in_use", lambda: 0.0)

    def write(folder: str, seed: int = 0, noise: float = 0.01, rounds: int = 10, **us: float):
        draw = np.random.default_rng(seed).normal
        timings = [
            middle * (1 + noise * draw(size=(rounds, 1)) + 0.001 * draw(size=(rounds, 7)))
            for middle in us.values()
        ]
        monkeypatch.setattr(latency, "measure", lambda *_: timings)
        paths = [f"{name}.tflite" for name in us]
        results = latency.benchmark_latency(paths, latency.HostSettings(rounds=rounds))
        file = tmp_path / folder / "results.json"
        file.parent.mkdir()
        file.write_text(json.dumps(results))
        return file

    return write


@pytest.fixture
def call(capsys):
    def run(*words: object) -> tuple[int, str, str]:
        argv = ["compare", *map(str, words)]
        status = cli.call(compare.main, compare.define_flags, argv, compare.BARE)
        return status, *capsys.readouterr()

    return run


def edit(file: Path, change) -> Path:
    found = json.loads(file.read_text())
    change(found)
    file.write_text(json.dumps(found))
    return file


def changes(out: str) -> dict[str, dict]:
    return {change["model"]: change for change in json.loads(out.splitlines()[-1])["changes"]}


def test_slower_beyond_the_bound_leaves_with_1_and_one_sentence(measured, call):
    old = measured("old", steady=1000, worse=2000)
    new = measured("new", seed=1, steady=1000, worse=2200)
    status, out, err = call(old, new.parent, "--json")
    assert status == 1
    assert err == "Worse by more than 5 %: worse (slower).\n"
    found = changes(out)
    assert json.loads(out.splitlines()[-1])["bound"] == 5.0
    assert found["worse"]["low"] < 1.1 < found["worse"]["high"]
    assert [found[name]["regression"] for name in ("steady", "worse")] == [False, True]
    assert max(map(len, out.splitlines()[:-1])) <= 80


def test_the_table_has_before_after_and_the_change(measured, call):
    old, new = measured("old", noise=0, m=1000), measured("new", noise=0, m=1250)
    _, out, _ = call(old, new)
    row = next(cells for line in out.splitlines() if (cells := line.split())[:1] == ["m"])
    assert " ".join(row[:6]) == "m 1 1.000 1.250 +25.0 %"
    assert [float(row[6]), float(row[8])] == pytest.approx([25, 25], abs=0.5)
    assert row[-2:] == ["%", "slower"]


def test_slower_within_the_bound_passes(measured, call):
    old, new = measured("old", m=1000), measured("new", seed=1, m=1100)
    status, out, err = call(old, new, "--bound=20", "--json")
    assert (status, err) == (0, "")
    assert changes(out)["m"]["verdict"] == "slower"
    assert call(old, new, "--bound=1")[0] == 1


def test_noise_is_no_difference(measured, call):
    old, new = measured("old", noise=0.3, m=1000), measured("new", seed=1, noise=0.3, m=1000)
    status, out, _ = call(old, new, "--bound=0", "--json")
    change = changes(out)["m"]
    assert (status, change["verdict"]) == (0, "no difference")
    assert change["low"] < 1 < change["high"]
    assert change["ratio"] != 1


def test_faster_passes(measured, call):
    status, out, _ = call(measured("old", m=1000), measured("new", m=800), "--json")
    assert (status, changes(out)["m"]["verdict"]) == (0, "faster")


def test_a_missing_model_fails_and_a_new_one_does_not(measured, call):
    old, new = measured("old", kept=1000, gone=1000), measured("new", kept=1000, added=9000)
    status, out, err = call(old, new)
    assert status == 1
    assert err == "Worse by more than 5 %: gone (is missing).\n"
    assert "added" not in out


def test_few_rounds_are_told_and_still_held_to_the_bound(measured, call):
    def cut(found):
        found["models"][0]["rounds_us"] = found["models"][0]["rounds_us"][:4]

    old, new = measured("old", m=1000), edit(measured("new", m=1200), cut)
    status, out, err = call(old, new, "--json")
    assert (status, changes(out)["m"]["verdict"]) == (1, "too few rounds")
    assert "m (too few rounds)" in err
    assert call(old, new, "--bound=30")[0] == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda found: found["machine"].update(cpu="Other 9"), "CPU is {cpu} and Other 9"),
        (lambda found: found["settings"].update(threads=4), "number of threads is 1 and 4"),
        (lambda found: found["settings"].update(delegate=False), "delegate is xnnpack and none"),
        (
            lambda found: found["machine"]["versions"].update({"ai-edge-litert": "0.1"}),
            "LiteRT version is {litert} and 0.1",
        ),
    ],
    ids=["cpu", "threads", "delegate", "litert"],
)
def test_other_conditions_are_refused_unless_forced(measured, call, change, told):
    old, new = measured("old", m=1000), edit(measured("new", m=1000), change)
    machine = json.loads(old.read_text())["machine"]
    told = told.format(cpu=machine["cpu"], litert=machine["versions"]["ai-edge-litert"])
    status, out, err = call(old, new)
    assert (status, out) == (2, "")
    assert err == (
        f"These cannot be compared: {told}; measure again under the same conditions, "
        "or give --force.\n"
    )
    status, out, err = call(old, new, "--force")
    assert (status, err) == (0, "")
    assert f"Warning: {told}\n" in out
    assert call(old, edit(new, lambda found: found["models"].clear()), "--force")[0] == 1


def test_what_differs_without_harm_is_not_refused(measured, call):
    def later(found):
        found["date"] = "2030-01-01"
        found["machine"]["load_before"] = [9, 9, 9]
        found["models"][0]["sha256"] = "b"

    status, out, _ = call(measured("old", m=1000), edit(measured("new", m=1000), later))
    assert status == 0
    assert "Warning" not in out


DAMAGES = {
    "schema version 99, not 1": lambda found: found.update(schema_version=99),
    "no 'models'": lambda found: found.pop("models"),
    "no 'rounds_us'": lambda found: found["models"][0].pop("rounds_us"),
    "m has no rounds": lambda found: found["models"][0].update(rounds_us=[]),
    "a time of nan": lambda found: found["models"][0].update(rounds_us=[1.0, float("nan")]),
    "a time of 0": lambda found: found["models"][0].update(median_us=0),
    "is damaged": lambda found: found.update(machine=[]),
}


@pytest.mark.parametrize("told", DAMAGES)
@pytest.mark.parametrize("which", ["old", "new"])
def test_damaged_results_are_refused_even_by_force(measured, call, told, which):
    files = {name: measured(name, m=1000) for name in ("old", "new")}
    edit(files[which], DAMAGES[told])
    status, out, err = call(*files.values(), "--force")
    assert (status, out) == (2, "")
    assert str(files[which]) in err
    assert told in err
    assert "measure again." in err
    assert err.count("\n") == 1


def test_files_that_cannot_be_read_are_named(measured, call, tmp_path):
    old, cut = measured("old", m=1000), tmp_path / "cut.json"
    cut.write_bytes(old.read_bytes()[:100])
    (tmp_path / "empty").mkdir()
    cases = {
        tmp_path / "absent": "absent: No such file or directory; give what",
        tmp_path / "empty": "empty/results.json: No such file or directory; give what",
        cut: "cut.json: ",
    }
    for path, message in cases.items():
        status, out, err = call(old, path)
        assert (status, out) == (2, "")
        assert message in err
        assert "`python -m benchmark latency` wrote." in err
        assert err.count("\n") == 1


def test_results_without_a_model_guard_nothing(measured, call):
    old = edit(measured("old", m=1000), lambda found: found["models"].clear())
    status, _, err = call(old, measured("new", m=1000))
    assert status == 2
    assert "holds no model to guard" in err


def test_two_results_are_needed(call):
    for words in ((), ("a",), ("a", "b", "c")):
        status, _, err = call(*words)
        assert status == 2
        assert err == f"{len(words)} results given; give two: python -m benchmark compare A B\n"


# -- one change, by hand ---------------------------------------------------------------------


def steady(us: float, rounds: int = 5) -> Timing:
    return Timing("m", 2, us, [us] * rounds)


def test_a_change_has_both_times_and_their_ratio():
    assert comparison.change_between(steady(1000.0), steady(1250.0), 5.0) == Change(
        "m", 2, 1000.0, 1250.0, 1.25, 1.25, 1.25, "slower", regression=True
    )
    assert comparison.change_between(steady(1000.0), steady(1000.0), 0.0) == Change(
        "m", 2, 1000.0, 1000.0, 1.0, 1.0, 1.0, "no difference", regression=False
    )
    assert comparison.change_between(steady(1000.0), steady(500.0), 0.0) == Change(
        "m", 2, 1000.0, 500.0, 0.5, 0.5, 0.5, "faster", regression=False
    )


@pytest.mark.parametrize(("bound", "fails"), [(25.0, False), (24.9, True), (25.1, False)])
@pytest.mark.parametrize(("rounds", "verdict"), [(5, "slower"), (4, "too few rounds")])
def test_a_bound_is_what_may_be_reached(bound, fails, rounds, verdict):
    found = comparison.change_between(steady(1000.0), steady(1250.0, rounds), bound)
    assert (found.verdict, found.regression) == (verdict, fails)
    found = comparison.change_between(steady(1000.0, rounds), steady(1250.0), bound)
    assert (found.verdict, found.regression) == (verdict, fails)


def test_what_failed_has_no_ratio():
    failed = Timing("m", 2, None, [])
    nothing = (None, None, None)
    assert comparison.change_between(failed, steady(9.0), 5.0) == Change(
        "m", 2, None, 9.0, *nothing, "failed before", regression=False
    )
    assert comparison.change_between(failed, None, 5.0).verdict == "failed before"
    assert comparison.change_between(steady(9.0), failed, 5.0) == Change(
        "m", 2, 9.0, None, *nothing, "fails now", regression=True
    )
    assert comparison.change_between(steady(9.0), None, 5.0) == Change(
        "m", 2, 9.0, None, *nothing, "is missing", regression=True
    )


@pytest.mark.parametrize("us", [0.0, -1.0, float("inf"), float("nan")])
def test_what_is_no_time_is_refused(us):
    for median, rounds in ((us, [1.0]), (1.0, [1.0, us])):
        with pytest.raises(ValueError, match=f"m has a time of {us}"):
            Timing("m", 1, median, rounds)


def test_a_faster_model_has_a_sign_too(measured, call):
    old, new = measured("old", noise=0, m=1000), measured("new", noise=0, m=800)
    _, out, _ = call(old, new)
    row = next(cells for line in out.splitlines() if (cells := line.split())[:1] == ["m"])
    assert row[:6] == ["m", "1", "1.000", "0.800", "-20.0", "%"]
    assert row[-1] == "faster"


def test_what_is_missing_has_dashes(measured, call):
    _, out, _ = call(measured("old", gone=1000), measured("new", m=1000))
    row = next(cells for line in out.splitlines() if (cells := line.split())[:1] == ["gone"])
    assert row[3:6] == ["-", "-", "-"]
