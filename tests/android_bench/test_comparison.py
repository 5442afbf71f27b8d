"""Slower or not, between two measurements."""

import copy
import json
import random
from pathlib import Path

import pytest

from android_bench import compare
from mnv3_tf.measuring.phone.results import SCHEMA_VERSION
from mnv3_tf.ui import cli


def results(us: float, rounds: int = 10, seed: int = 0, sha256: str = "a") -> dict:
    """Of one model on one phone, with times that spread by a percent."""
    noise = random.Random(seed)
    times = [us * (1 + noise.gauss(0, 0.01)) for _ in range(rounds)]
    run = {"serial": "s", "sha256": sha256, "threads": 1, "status": "ok", "rejected": None}
    summary = {"serial": "s", "model": "m", "sha256": sha256, "threads": 1, "rounds": rounds}
    device = {"serial": "s", "model": "Pixel 6", "soc": "GS101", "build": "b", "mask": "c0"}
    return {
        "schema_version": SCHEMA_VERSION,
        "devices": [device | {"binary": {"sha256": "x"}}],
        "conditions": {"delegate": "xnnpack", "num_runs": 50, "fixed_performance": False},
        "rows": [run | {"round": n, "inference_us": time} for n, time in enumerate(times)],
        "summary": [summary | {"median_us": sorted(times)[rounds // 2]}],
    }


@pytest.fixture
def call(tmp_path, capsys):
    def run(before: dict, after: dict, *words: str) -> tuple[int, str, str]:
        paths = []
        for name, found in (("a", before), ("b", after)):
            path = tmp_path / name / "results.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(found))
            paths.append(str(path.parent))
        status = cli.call(
            compare.main, compare.define_flags, ["compare", *paths, *words], compare.BARE
        )
        return status, *capsys.readouterr()

    return run


def test_the_same_is_no_difference(call) -> None:
    status, out, _ = call(results(1000), results(1000, seed=1, sha256="b"))
    assert status == 0
    assert "no difference" in out


def test_slower_beyond_the_bound_fails(call) -> None:
    status, out, err = call(results(1000), results(1100, seed=1))
    assert status == 1
    assert "slower" in out
    assert "Worse by more than 5 %: m (slower)." in err


def test_slower_within_the_bound_passes(call) -> None:
    status, out, _ = call(results(1000), results(1100, seed=1), "--bound=20")
    assert status == 0
    assert "slower" in out


def test_faster_passes(call) -> None:
    status, out, _ = call(results(1000), results(800, seed=1), "--json")
    assert status == 0
    change = json.loads(out.splitlines()[-1])["changes"][0]
    assert change["verdict"] == "faster"
    assert change["low"] < 0.8 < change["high"] or abs(change["ratio"] - 0.8) < 0.02


def test_runs_that_were_set_aside_do_not_count(call) -> None:
    after = results(1000, seed=1)
    for row in list(after["rows"]):
        after["rows"].append(row | {"inference_us": 9e9, "rejected": "hot"})
        after["rows"].append(row | {"inference_us": None, "status": "error"})
    assert call(results(1000), after)[0] == 0


def test_each_number_of_threads_is_compared_with_its_own(call) -> None:
    def both(one_us: float, two_us: float) -> dict:
        found, two = results(one_us), results(two_us, seed=1)
        for part in ("rows", "summary"):
            found[part] += [line | {"threads": 2} for line in two[part]]
        return found

    status, out, _ = call(both(1000, 500), both(1000, 600), "--json")
    assert status == 1
    same, slower = json.loads(out.splitlines()[-1])["changes"]
    assert (same["threads"], same["verdict"], same["ratio"]) == (1, "no difference", 1.0)
    assert (slower["threads"], slower["verdict"]) == (2, "slower")
    assert slower["ratio"] == pytest.approx(1.2)
    assert (slower["before_us"], slower["after_us"]) == pytest.approx((500, 600), rel=0.01)


def test_a_model_that_fails_now_fails(call) -> None:
    after = results(1000)
    after["summary"][0]["median_us"] = None
    assert "m (fails now)" in call(results(1000), after)[2]
    after["summary"] = []
    status, _, err = call(results(1000), after)
    assert status == 1
    assert "m (is missing)" in err


@pytest.mark.parametrize(
    "where",
    ["model", "soc", "build", "mask", "binary", "delegate", "num_runs", "fixed_performance"],
)
def test_other_conditions_are_refused_unless_forced(call, where) -> None:
    after = copy.deepcopy(results(1000, seed=1))
    if where == "binary":
        after["devices"][0]["binary"]["sha256"] = "other"
    elif where in after["devices"][0]:
        after["devices"][0][where] = "other"
    else:
        after["conditions"][where] = "other"
    status, _, err = call(results(1000), after)
    assert status == 2
    assert f"{where} is " in err
    assert "and other" in err
    status, out, _ = call(results(1000), after, "--force")
    assert status == 0
    assert f"Warning: {where} is" in out


def test_another_schema_is_refused(call) -> None:
    status, _, err = call(results(1000), results(1000) | {"schema_version": 99})
    assert status == 2
    assert "has schema version 99" in err


def test_another_number_of_phones_is_refused(call) -> None:
    after = results(1000, seed=1)
    after["devices"].append(after["devices"][0] | {"serial": "t"})
    status, _, err = call(results(1000), after)
    assert status == 2
    assert "number of phones is 1 and 2" in err


def test_what_holds_no_runs_is_refused(call) -> None:
    host = {"schema_version": SCHEMA_VERSION, "models": []}
    status, _, err = call(results(1000), host)
    assert status == 2
    assert "is damaged or not of `python -m android_bench run`" in err
    without = results(1000)
    without["rows"] = []
    status, _, err = call(results(1000), without)
    assert status == 2
    assert "m has no rounds" in err
    without["summary"] = []
    status, _, err = call(without, results(1000))
    assert status == 2
    assert "holds no model to guard" in err


def test_one_result_is_not_enough(tmp_path: Path, capsys) -> None:
    assert cli.call(compare.main, compare.define_flags, ["compare", "a"], compare.BARE) == 2
    assert "1 results given; give two" in capsys.readouterr().err
