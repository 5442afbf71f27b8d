"""From runs to rows, summaries and warnings."""

import csv
import io
import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest
from sessions import Finished

from mnv3_tf.journal import Journal
from mnv3_tf.measuring.phone import models, results
from mnv3_tf.measuring.phone.session import RunFacts

GOOD_US = [1000, 1010, 1020, 1030, 1040]


@pytest.fixture
def collect(finished: Finished, tmp_path, monkeypatch) -> Callable[..., dict]:
    """The results of the session, if its journal held what `edit` makes of it."""

    def run(edit: Callable[[list[dict]], list[dict]] = list, **settings) -> dict:
        journal = Journal(tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl")
        journal.add(*edit(finished.session.journal.entries()))
        session = replace(finished.session, journal=journal)
        session.settings = replace(session.settings, **settings)
        return results.collect([session], session.settings, "the command", "29")

    monkeypatch.setattr(models.Model, "xnnpack", None)
    return run


def test_the_whole_tells_how_it_was_measured(finished: Finished, collect) -> None:
    found = collect()
    phone, session, *_ = finished
    assert (found["schema_version"], found["command"]) == (1, "the command")
    assert found["devices"] == [found["device"]]
    device = found["device"]
    assert (device["serial"], device["model"], device["mask"]) == (phone.serial, "Pixel 6", "c0")
    assert device["memory_mb"] == 7635656 // 1024
    assert [(c["mask"], c["capacity"], c["max_khz"]) for c in device["clusters"]] == [
        ("f", 160, 1803000),
        ("30", 498, 2253000),
        ("c0", 1024, 2802000),
    ]
    assert device["identity"] == f"{phone.serial} {device['build']}"
    assert device["binary"] == {
        "sha256": session.ready.binary.sha256,
        "source": str(session.ready.binary.path),
        "flavour": "tflite",
    }
    assert found["conditions"] == {
        "cores": "big",
        "delegate": "xnnpack",
        "threads": [1],
        "rounds": 5,
        "num_runs": 3,
        "cooldown": 10.0,
        "fixed_performance": False,
        "adb": "29",
    }
    assert collect(cooldown_s=None)["conditions"]["cooldown"] == "auto"


def test_a_phone_that_did_not_answer_is_left_out(finished: Finished, collect) -> None:
    expected = collect()
    sessions = [replace(finished.session, prepared=None), finished.session]
    found = results.collect(sessions, finished.session.settings, "the command", "29")
    assert found | {"date": expected["date"]} == expected
    nothing = results.collect(sessions[:1], finished.session.settings, "", "29")
    assert nothing["device"] is None
    assert nothing["devices"] == nothing["rows"] == nothing["summary"] == []


def test_a_row_is_a_timed_run(finished: Finished, collect) -> None:
    rows = collect()["rows"]
    assert len(rows) == 11
    row = rows[0]
    entry = finished.session.journal.entries()[0]
    assert {key: row[key] for key in RunFacts.__annotations__} == {
        key: entry[key] for key in RunFacts.__annotations__
    }
    assert {key: row[key] for key in row if key not in RunFacts.__annotations__} == {
        "inference_us": 1000,
        "inference_avg_us": 1050,
        "init_us": 20000,
        "first_us": 2000,
        "warmup_avg_us": 2000,
        "p95_us": 1200,
        "std_us": 20,
        "count": 3,
        "celsius_before": 27.5,
        "celsius_after": 28.5,
        "thermal_status": 0,
        "current_khz": 1401000,
        "battery_percent": 87,
        "free_mb": 4005,
    }
    assert [row["rejected"] is None for row in rows].count(False) == 1


def test_rows_of_runs_that_failed_have_no_time(collect) -> None:
    (row, *_) = collect(lambda entries: [entries[0] | {"status": "error"}])["rows"]
    assert (row["status"], row["inference_us"]) == ("error", None)


def test_a_summary_is_of_the_rounds_that_count(finished: Finished, collect) -> None:
    one, other = collect()["summary"]
    task = finished.session.ready.runs[0]
    low, high = one.pop("ci_us")
    assert 1000 <= low < 1020 < high <= 1040
    delegate = {"name": "xnnpack", "replaced": 4, "total": 5, "partitions": 3}
    assert one.pop("ops") == finished.session.journal.entries()[-2]["result"]["ops"]
    assert one == {
        "serial": finished.phone.serial,
        "model": task.model.name,
        "path": str(task.model.path),
        "sha256": task.model.sha256,
        "bytes": task.model.bytes,
        "quantize": None,
        "top1": None,
        "images": None,
        "threads": 1,
        "rounds": 5,
        "set_aside": 1,
        "error_kind": None,
        "median_us": 1020,
        "ratio": 1.0,
        "ratio_ci": [1.0, 1.0],
        "p95_us": 1224,
        "first_us": 2040,
        "init_us": 20000,
        "drift_percent": pytest.approx(4.0),
        "delegate": delegate,
        "outside": {"HARD_SWISH": 1},
        "peak_mb": 40,
        "memory_mb": 20,
    }
    assert (other["rounds"], other["set_aside"], other["median_us"]) == (5, 0, 2060)
    # Paired by round: 2.1 in the third, which the medians' own ratio would not tell.
    assert other["ratio"] == pytest.approx(2.0)
    assert other["ratio_ci"] == pytest.approx([2.0, 2.1])


def test_fewer_than_five_rounds_have_no_interval(collect) -> None:
    one, other = collect(lambda entries: [e for e in entries if e["round"] < 5])["summary"]
    assert (one["rounds"], one["median_us"], one["ci_us"]) == (4, 1015, None)
    assert (other["ratio"], other["ratio_ci"]) == (pytest.approx(2.0), None)


def test_what_was_set_aside_does_not_count(finished: Finished, collect) -> None:
    first = finished.session.models[0].sha256

    def edit(entries: list[dict]) -> list[dict]:
        return [e for e in entries if (e["sha256"], e["round"]) != (first, 5) or e["rejected"]]

    (one, _) = collect(edit)["summary"]
    assert (one["rounds"], one["set_aside"], one["median_us"]) == (4, 1, 1015)


def test_rounds_that_were_not_asked_for_do_not_count(finished: Finished, collect) -> None:
    def edit(entries: list[dict]) -> list[dict]:
        return [*entries, entries[0] | {"round": 6}]

    assert collect(edit)["summary"][0]["rounds"] == 5
    assert collect(edit)["summary"][0]["median_us"] == statistics.median(GOOD_US)


def test_of_a_round_that_was_measured_twice_the_last_counts(collect) -> None:
    def edit(entries: list[dict]) -> list[dict]:
        again = entries[0]["result"] | {
            "inference": entries[0]["result"]["inference"] | {"median": 1035}
        }
        return [*entries, entries[0] | {"result": again}]

    (one, _) = collect(edit)["summary"]
    assert (one["rounds"], one["median_us"]) == (5, statistics.median([1035, *GOOD_US[1:]]))


def test_of_several_runs_for_the_memory_the_last_counts(collect) -> None:
    def edit(entries: list[dict]) -> list[dict]:
        asked = next(entry for entry in entries if entry["purpose"] == "memory")
        return [*entries, asked | {"result": {"memory": {"peak_mb": 50, "overall_mb": 30}}}]

    one, other = collect(edit)["summary"]
    assert [(line["peak_mb"], line["memory_mb"]) for line in (one, other)] == [(50, 30), (40, 20)]


def test_a_model_whose_runs_all_failed_has_no_result(finished: Finished, collect) -> None:
    first = finished.session.models[0].sha256

    def edit(entries: list[dict]) -> list[dict]:
        failed = {"status": "error", "error_kind": "crashed", "rejected": None}
        return [e | failed if e["sha256"] == first else e for e in entries]

    found = collect(edit)
    one, other = found["summary"]
    assert (one["rounds"], one["median_us"], one["error_kind"]) == (0, None, "crashed")
    assert one["p95_us"] is one["drift_percent"] is one["peak_mb"] is one["ops"] is None
    # There is nothing that the other could be compared with.
    assert (other["ratio"], other["ratio_ci"], other["error_kind"]) == (None, None, None)
    name = f"{one['model']} on {one['serial']}"
    assert results.failures(found["summary"]) == [f"{name} failed: crashed."]
    assert found["warnings"] == [f"{name} failed: crashed."]


def test_one_failure_among_good_runs_is_no_failed_model(collect) -> None:
    def edit(entries: list[dict]) -> list[dict]:
        return [entries[0] | {"status": "error", "error_kind": "crashed"}, *entries[1:]]

    (one, _) = collect(edit)["summary"]
    assert (one["rounds"], one["error_kind"]) == (4, None)


def test_what_the_delegate_leaves_is_foreseen_without_a_profile(collect, monkeypatch) -> None:
    share = {"outside": {"MEAN": 2}, "error": None, "partitions": 3}
    monkeypatch.setattr(models.Model, "xnnpack", share)

    def timed(entries: list[dict]) -> list[dict]:
        return [entry for entry in entries if entry["purpose"] == "timing"]

    assert collect(timed)["summary"][0]["outside"] == {"MEAN": 2}
    assert collect(timed, delegate="none")["summary"][0]["outside"] is None
    assert collect()["summary"][0]["outside"] == {"HARD_SWISH": 1}
    monkeypatch.setattr(models.Model, "xnnpack", None)
    assert collect(timed)["summary"][0]["outside"] is None


@pytest.mark.parametrize(
    ("times", "percent"),
    [
        ([1000, 1000, 1100], 10.0),
        ([1000, 1000, 5000, 5000, 900, 900], -10.0),
        ([1000, 1010, 5000, 5000, 5000, 1100, 1100, 1100], 100 * (1100 / 1005 - 1)),
        ([1000, 2000], None),
    ],
)
def test_drift_is_from_the_first_third_to_the_last(times, percent) -> None:
    assert results.drift_percent(times) == (percent if percent is None else pytest.approx(percent))


def line(**facts) -> dict:
    common = {"serial": "s", "model": "m", "rounds": 5, "set_aside": 0, "error_kind": None}
    return common | {"top1": None, "images": None, "drift_percent": None} | facts


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, None),
        ({"rounds": 0}, "m on s has no run that the phone did not spoil."),
        ({"rounds": 0, "error_kind": "timeout"}, "m on s failed: timeout."),
        ({"drift_percent": 5.0}, None),
        ({"drift_percent": 5.6}, "m on s drifted by +6 % from the first rounds to the last; let "),
        ({"drift_percent": -5.6}, "m on s drifted by -6 % from the first rounds to the last; let "),
        ({"set_aside": 1}, "m on s: 1 run was set aside."),
        ({"set_aside": 2}, "m on s: 2 runs were set aside."),
    ],
)
def test_reasons_to_trust_the_figures_less(facts, said) -> None:
    found = results.find_warnings([line(**facts)])
    assert len(found) == bool(said)
    assert all(text.startswith(said) for text in found)


def test_accuracies_of_other_pictures_are_told() -> None:
    one, other = line(model="a", top1=0.8, images=200), line(model="b", top1=0.8, images=1000)
    assert results.find_warnings([one, one | {"model": "b"}, line(images=7)]) == []
    (said,) = results.find_warnings([one, other])
    assert said == "Accuracies are not of the same pictures (a on 200, b on 1000)."


def test_csv_has_a_line_for_each_row(collect) -> None:
    found = collect()
    lines = list(csv.DictReader(io.StringIO(results.as_csv(found))))
    assert len(lines) == len(found["rows"]) == 11
    assert list(lines[0]) == list(found["rows"][0])
    assert (lines[0]["inference_us"], lines[0]["p95_us"]) == ("1000.0", "1200")
    assert results.as_csv(found | {"rows": []}) == ""
