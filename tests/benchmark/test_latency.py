"""Interleaved latencies, of models whose times are scripted; one file is really timed."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from foreign_files import colour_classifier, written
from looking import in_process
from refusals import check_command, refused

from benchmark import latency as command
from mnv3_tf.measuring import latency, machine, turns
from mnv3_tf.tflite import inspection, loading, runtime, skeleton
from mnv3_tf.ui import cli

ROUNDS = [100.0, 110.0, 120.0, 130.0, 140.0]
"""Microseconds of an inference of the model "light" in each round, but for the first tenth of a
turn, which takes ten times as long.

Of five rounds drawn with replacement, three or more are the first in 5.8 of 100 draws: the 95 %
interval of their median goes from the first to the last.
"""


class Scripted:
    """A loaded file, whose inferences take `factor` times ROUNDS, one after the other."""

    loaded: list["Scripted"]

    def __init__(self, path, threads=1, delegate=True, shape=None):
        self.name, self.threads, self.delegate = Path(path).stem, threads, delegate
        self.factor = {"light": 1, "heavy": 3}[self.name]
        self.rounds = iter(ROUNDS)
        self.loaded.append(self)

    def invoke(self):
        pass


@pytest.fixture
def scripted(monkeypatch):
    """What was timed, in order: (name, how many inferences); files need not be there."""
    timed: list[tuple[str, int]] = []

    def sample(invoke, count):
        model = invoke.__self__
        timed.append((model.name, count))
        if count == turns.UNTIMED_INVOKES:
            return np.full(count, 1e9)
        times = np.full(count, model.factor * next(model.rounds))
        times[: max(1, count // 10)] *= 10
        return times

    def inspect(path, reading=None):
        share = {"nodes": 9, "delegated": 8, "partitions": 2, "error": None}
        size = 1_234_567 if "light" in path else 12_340_000
        return {"sha256": f"of {path}", "bytes": size, "quantize": "int8", "xnnpack": share}

    monkeypatch.setattr(Scripted, "loaded", [], raising=False)
    monkeypatch.setattr(runtime, "TFLiteModel", Scripted)
    monkeypatch.setattr(runtime, "warm_up", lambda invoke: 1000.0 * invoke.__self__.factor)
    monkeypatch.setattr(runtime, "sample", sample)
    monkeypatch.setattr(
        loading, "check_loads", lambda path, delegate, shape: 12.6 if delegate else None
    )
    monkeypatch.setattr(inspection, "inspect", inspect)
    monkeypatch.setattr(machine, "cores_in_use", lambda: 0.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    return timed


def run(*arguments: str) -> int:
    return cli.call(command.main, command.define_flags, ["latency", *arguments])


BOTH = "--models=a/light.tflite,heavy.tflite"


def test_rows_tell_what_was_measured(scripted, tmp_path, capsys):
    flags = ("--rounds=5", "--burst_ms=21", "--seed=3")
    assert run(BOTH, *flags, f"--out={tmp_path / 'out'}", "--json") == 0
    printed = capsys.readouterr().out
    results = json.loads(printed.splitlines()[-1])
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    assert (tmp_path / "out" / "latency.png").read_bytes().startswith(b"\x89PNG")
    light, heavy = results["models"]
    assert light == {
        "name": "light",
        "path": "a/light.tflite",
        "sha256": "of a/light.tflite",
        "bytes": 1_234_567,
        "quantize": "int8",
        "nodes": 9,
        "delegated": 8,
        "partitions": 2,
        "median_us": 120.0,
        "ci_us": [100.0, 140.0],
        "p95_us": pytest.approx(1180.0),  # of ten slow ones among 105, between the 4th and 5th
        "min_us": 100.0,
        "samples": 5 * 21,
        "full_pace_us": 100.0,
        "full_pace_ci_us": [100.0, 120.0],
        "full_pace_ratio": 1.0,
        "full_pace_ratio_ci": [1.0, 1.0],
        "ratio": 1.0,
        "ratio_ci": [1.0, 1.0],
        "spread": pytest.approx((136 - 104) / 120),
        "rounds_us": ROUNDS,
        "peak_mb": 12.6,
    }
    assert (heavy["name"], heavy["median_us"], heavy["ratio"]) == ("heavy", 360.0, 3.0)
    assert (heavy["ratio_ci"], heavy["samples"]) == ([3.0, 3.0], 5 * 7)
    assert results["schema_version"] == latency.SCHEMA_VERSION == 1
    assert results["settings"] == {
        "threads": 1,
        "rounds": 5,
        "burst_ms": 21,
        "seed": 3,
        "delegate": True,
    }
    assert results["command"] == (
        "python -m benchmark latency --models=a/light.tflite,heavy.tflite --rounds=5 --burst_ms=21 "
        "--seed=3"
    )
    # Each turn is of one model, in the order of the plan; what the caches cost is not counted.
    counts = {"light": 21, "heavy": 7}
    assert scripted == [
        (name, count)
        for order in turns.plan(2, 5, seed=3)
        for name in (("light", "heavy")[turn] for turn in order)
        for count in (turns.UNTIMED_INVOKES, counts[name])
    ]
    table = [line for line in printed.splitlines() if not line.startswith(("{", "Warning"))]
    assert max(map(len, table)) <= 80
    assert f"{results['machine']['cpu']}, 1 thread, XNNPACK" in printed
    cells = [line.split() for line in table]
    assert [
        "model",
        "ms",
        "±",
        "%",
        "median",
        "p95",
        "ratio",
        "±",
        "%",
        "MB",
        "peak",
        "parts",
    ] in cells
    assert ["light", "0.100", "10.0", "0.120", "1.180", "1.000", "0.0", "1.23", "13", "2"] in cells
    assert ["heavy", "0.300", "10.0", "0.360", "3.690", "3.000", "0.0", "12.34", "13", "2"] in cells
    assert "Warning: rounds of light differ by 27%" in printed


def test_threads_and_built_in_kernels(scripted, capsys):
    """Without the delegate there are no partitions."""
    assert run(BOTH, "--delegate=none", "--threads=2", "--rounds=5", "--json") == 0
    printed = capsys.readouterr().out
    light, _ = (results := json.loads(printed.splitlines()[-1]))["models"]
    assert (light["nodes"], light["delegated"], light["partitions"]) == (9, None, None)
    assert {(model.threads, model.delegate) for model in Scripted.loaded} == {(2, False)}
    assert results["command"].endswith("--threads=2 --rounds=5 --delegate=none")
    assert "2 threads, built-in kernels" in printed
    assert ["light", "0.100", "10.0", "0.120", "1.200", "1.000", "0.0", "1.23", "-", "-"] in map(
        str.split, printed.splitlines()
    )


def test_without_a_folder_nothing_is_written(scripted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(BOTH, "--rounds=5") == 0
    assert not capsys.readouterr().out.rstrip().endswith("}")
    assert list(tmp_path.iterdir()) == []


def test_a_real_file_against_itself(tmp_path):
    file = tmp_path / "m.tflite"
    file.write_bytes(skeleton.network(tiny.SHALLOW))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "cores_in_use", lambda: 0.0)
        patch.setattr(runtime, "warm_up", lambda run: float(np.median(runtime.sample(run, 9))))
        results = latency.benchmark_latency(
            [str(file)] * 2, latency.HostSettings(rounds=9, burst_ms=2)
        )
    one, other = results["models"]
    assert (one["name"], other["name"]) == ("m", "m (2)")
    assert other["ratio"] == pytest.approx(1, abs=0.5)
    for row in (one, other):
        assert 0 < row["min_us"] <= row["median_us"] <= row["p95_us"]
        assert row["ci_us"][0] <= row["median_us"] <= row["ci_us"][1]
        assert row["bytes"] == file.stat().st_size
        assert (row["partitions"], row["quantize"]) == (1, "none")
        assert row["peak_mb"] > 0
        assert len(row["rounds_us"]) == 9


def test_nothing_times_one_pixel(tmp_path):
    """A file whose input may have any size is timed at the size that is asked for."""
    free = {"shape": (1, 1, 1, 3), "signature": (-1, -1, -1, 3)}
    path = str(written(tmp_path, colour_classifier([("MUL", 0.5)], **free)))
    with refused(path, "any size (1 x any x any x 3)", "--input_shape=1x224x224x3"):
        latency.benchmark_latency([path], latency.HostSettings(rounds=5))
    medians = []
    with pytest.MonkeyPatch.context() as patch, in_process():
        patch.setattr(runtime, "warm_up", lambda run: float(np.median(runtime.sample(run, 9))))
        for shape in ((1, 8, 8, 3), (1, 512, 512, 3)):
            settings = latency.HostSettings(rounds=5, burst_ms=1, input_shape=shape)
            results = latency.benchmark_latency([path], settings)
            medians.append(results["models"][0]["median_us"])
    assert medians[1] > 20 * medians[0]
    assert "--input_shape=1x512x512x3" in results["command"]
    assert results["settings"]["input_shape"] == (1, 512, 512, 3)


def test_the_plan_gives_everyone_a_turn_in_every_round_in_changing_order():
    plan = turns.plan(3, 40, seed=0)
    assert len(plan) == 40
    assert all(sorted(order) == [0, 1, 2] for order in plan)
    assert len({tuple(order) for order in plan}) == 6
    assert plan == turns.plan(3, 40, seed=0) != turns.plan(3, 40, seed=1)


def test_bursts_have_about_the_length_asked_for():
    assert turns.invokes_per_burst(1000, 50) == 50
    assert turns.invokes_per_burst(3000, 50) == 17
    assert turns.invokes_per_burst(1e6, 50) == turns.FEWEST_INVOKES == 5
    assert turns.invokes_per_burst(0.1, 50) == turns.MOST_INVOKES == 500


def test_names_tell_files_apart():
    assert latency.unique_names(["a/m.tflite", "b.tflite"]) == ["m", "b"]
    assert latency.unique_names(["a/m.tflite", "b/m.tflite"]) == ["a/m", "b/m"]
    assert latency.unique_names(["a/m.tflite", "a/m.tflite"]) == ["m", "m (2)"]


def test_cores_in_use_are_those_that_do_not_idle(monkeypatch):
    """Of four, one and a half idle or wait for a disk: 75 of 100 ticks a second in half of one."""
    idle = iter([(1000, 200), (1050, 225)])

    def stat(path, *_):
        assert str(path) == "/proc/stat"
        return "cpu  9 9 9 {} {} 7 7 7\ncpu0 1 1 1 1 1\n".format(*next(idle))

    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sysconf", {"SC_CLK_TCK": 100}.__getitem__)
    monkeypatch.setattr(os, "getloadavg", lambda: (2.25, 9.0, 9.0))
    monkeypatch.setattr(Path, "read_text", stat)
    assert machine.cores_in_use() == pytest.approx(2.5)
    assert slept == [0.5]
    idle = iter([(1000, 200), (1900, 225)])
    assert machine.cores_in_use(1.0) == 0  # it cannot be less than none

    def absent(path, *_):
        raise OSError

    monkeypatch.setattr(Path, "read_text", absent)
    assert machine.cores_in_use() == 2.25


def test_the_machine_is_described(monkeypatch):
    facts = "model name\t: A processor @ 2 GHz\ncpu MHz\t\t: 1200.5\n"
    facts += facts.replace("1200.5", "1300.25")
    monkeypatch.setattr(machine, "Path", lambda path: SimpleNamespace(read_text=lambda: facts))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 0.25, 0.125))
    found = machine.describe_machine((1.0, 2.0, 3.0))
    assert (found["cpu"], found["clock_mhz"]) == ("A processor @ 2 GHz", 1300.25)
    assert (found["cores"], found["usable_cores"]) == (4, len(os.sched_getaffinity(0)))
    assert (found["load_before"], found["load_after"]) == ([1.0, 2.0, 3.0], [0.5, 0.25, 0.125])
    assert set(found["versions"]) == {"python", "ai-edge-litert", "numpy"}
    assert found["versions"]["numpy"] == np.__version__
    monkeypatch.setattr(machine, "Path", lambda path: SimpleNamespace(read_text=str))
    assert machine.describe_machine(())["clock_mhz"] is None
    assert machine.describe_machine(())["cpu"]


def test_busy_machines_and_uneven_rounds_are_told():
    calm, uneven = {"name": "calm", "spread": 0.1}, {"name": "uneven", "spread": 0.5}
    wide = {"name": "wide", "spread": 0.101}
    assert latency.find_warnings([calm], busy=3.0, cores=10) == []
    (busy,) = latency.find_warnings([calm], busy=3.1, cores=10)
    assert busy == "the machine was busy before the measurement (3.1 of 10 cores in use)."
    (told,) = latency.find_warnings([calm, wide, uneven], 0.1, 2)
    assert told.startswith("rounds of uneven differ by 50%; something else was running")
    (told,) = latency.find_warnings([calm, wide], 0.1, 2)
    assert told.startswith("rounds of wide differ by 10%")


REFUSED = {
    "No model to measure; give --models=a.tflite,b.tflite": [],
    "absent.tflite": ["--models={good},{folder}/absent.tflite"],
    "cut.tflite": ["--models={good},{folder}/cut.tflite"],
    "--rounds=4 is too small; give at least 5": ["--models={good}", "--rounds=4"],
    "--threads=0 is too small; give at least 1": ["--models={good}", "--threads=0"],
    "--burst_ms=0 is too small; give at least 1": ["--models={good}", "--burst_ms=0"],
}


@pytest.mark.parametrize("named", REFUSED)
def test_bad_input_is_refused(named, tmp_path, capsys, monkeypatch):
    """All files are looked at before the first is measured."""
    monkeypatch.setattr(latency, "measure", None)
    content = skeleton.network(tiny.SHALLOW)
    (tmp_path / "good.tflite").write_bytes(content)
    (tmp_path / "cut.tflite").write_bytes(content[:500])
    words = [word.format(good=tmp_path / "good.tflite", folder=tmp_path) for word in REFUSED[named]]
    check_command(command, [*words, f"--out={tmp_path / 'out'}"], named, capsys, tmp_path)
