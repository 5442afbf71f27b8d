import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark import latency
from mnv3_tf import cli
from mnv3_tf.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[str]:
    """A small convolution, and one of about thirty times the work."""
    import tensorflow as tf
    import tf_keras

    folder, paths = tmp_path_factory.mktemp("models"), []
    for name, filters in (("light", 8), ("heavy", 256)):
        inputs = tf_keras.Input((32, 32, 3), batch_size=1)
        outputs = tf_keras.layers.Conv2D(filters, 5)(inputs)
        converter = tf.lite.TFLiteConverter.from_keras_model(tf_keras.Model(inputs, outputs))
        path = folder / f"{name}.tflite"
        path.write_bytes(converter.convert())
        paths.append(str(path))
    return paths


def run(*arguments: str) -> int:
    return cli.call(latency.main, latency.define_flags, ["latency", *arguments])


QUICK = ("--rounds=5", "--burst_ms=5")


def test_results_have_their_keys_and_files(models, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(f"--models={','.join(models)}", f"--out={out}", "--json", *QUICK) == 0
    printed = capsys.readouterr().out
    results = json.loads(printed.splitlines()[-1])
    assert json.loads((out / "results.json").read_text()) == results
    assert (out / "latency.png").read_bytes().startswith(b"\x89PNG")
    assert {"cpu", "cores", "load_before", "load_after", "versions"} <= set(results["machine"])
    assert results["command"].startswith("python -m benchmark latency --models=")
    light, heavy = results["models"]
    assert (light["name"], heavy["name"]) == ("light", "heavy")
    assert (light["ratio"], light["ratio_ci"]) == (1.0, [1.0, 1.0])
    assert light["partitions"] == light["nodes"] == 1
    assert light["bytes"] == Path(models[0]).stat().st_size
    for row in results["models"]:
        assert row["min_us"] <= row["median_us"] <= row["p95_us"]
        assert row["ci_us"][0] <= row["median_us"] <= row["ci_us"][1]
        assert len(row["rounds_us"]) == 5
        assert row["samples"] >= 5 * latency.FEWEST_INVOKES
    assert heavy["ratio"] > 2
    table = [line for line in printed.splitlines() if not line.startswith(("{", "Warning"))]
    assert max(map(len, table)) <= 80


def test_built_in_kernels_have_no_partitions(models, capsys):
    assert run(f"--models={models[0]}", "--delegate=none", "--json", *QUICK) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])["models"][0]
    assert row["partitions"] is None


def test_bursts_are_interleaved(monkeypatch):
    calls: list[str] = []

    class Model:
        def __init__(self, name):
            self.name = name

        def invoke(self):
            calls.append(self.name)

    import mnv3_tf.export.runtime as runtime

    monkeypatch.setattr(runtime, "warm_up", lambda invoke: 1000.0)
    settings = latency.Settings(rounds=6, burst_ms=7, seed=1)
    timings = latency.measure([Model("a"), Model("b"), Model("c")], settings)
    assert [t.shape for t in timings] == [(6, 7)] * 3
    burst = 7 + latency.UNTIMED_INVOKES
    bursts = ["".join(sorted(set(calls[i : i + burst]))) for i in range(0, len(calls), burst)]
    assert bursts == ["abc"[turn] for turns in latency.plan(3, 6, 1) for turn in turns]


def test_the_plan_gives_everyone_a_turn_in_every_round_in_changing_order():
    plan = latency.plan(3, 40, seed=0)
    assert all(sorted(turns) == [0, 1, 2] for turns in plan)
    assert len({tuple(turns) for turns in plan}) == 6
    assert plan == latency.plan(3, 40, seed=0) != latency.plan(3, 40, seed=1)


def test_bursts_have_about_the_length_asked_for():
    assert latency.invokes_per_burst(1000, 50) == 50
    assert latency.invokes_per_burst(1e6, 50) == latency.FEWEST_INVOKES
    assert latency.invokes_per_burst(0.1, 50) == latency.MOST_INVOKES


def test_names_tell_files_apart():
    assert latency.unique_names(["a/m.tflite", "b.tflite"]) == ["m", "b"]
    assert latency.unique_names(["a/m.tflite", "b/m.tflite"]) == ["a/m", "b/m"]
    assert latency.unique_names(["a/m.tflite", "a/m.tflite"]) == ["m", "m (2)"]


def test_cores_in_use_counts_what_runs():
    spin = "while True: pass"
    quiet = latency.cores_in_use()
    with subprocess.Popen([sys.executable, "-c", spin]) as spinning:
        busy = latency.cores_in_use()
        spinning.kill()
    assert 0 <= quiet <= os.cpu_count()
    assert busy > 0.5


def test_busy_machines_and_uneven_rounds_are_told():
    calm, uneven = {"name": "calm", "spread": 0.01}, {"name": "uneven", "spread": 0.5}
    assert latency.find_warnings([calm], busy=0.1, cores=2) == []
    assert "busy" in latency.find_warnings([calm], busy=1.5, cores=2)[0]
    assert "uneven differ by 50%" in latency.find_warnings([calm, uneven], 0.1, 2)[0]


def test_bad_input_leaves_with_2_and_one_sentence(models, tmp_path, capsys):
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(Path(models[1]).read_bytes()[:500])
    out = tmp_path / "out"
    cases = {
        "No model": [],
        "absent.tflite": [f"--models={models[0]},{tmp_path}/absent.tflite"],
        "cut.tflite": [f"--models={models[0]},{cut}"],
        "--rounds=2": [f"--models={models[0]}", "--rounds=2"],
        "--threads=0": [f"--models={models[0]}", "--threads=0"],
        "nnapi": [f"--models={models[0]}", "--delegate=nnapi"],
    }
    for message, arguments in cases.items():
        assert run(*arguments, f"--out={out}") == 2, message
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""
    assert not out.exists()


def test_settings_say_which_value_is_wrong():
    with pytest.raises(UserError, match="--burst_ms=0 is too small"):
        latency.Settings(burst_ms=0)


def test_help_imports_no_runtime():
    code = (
        "import sys; from mnv3_tf import cli; from benchmark import latency;"
        "cli.call(latency.main, latency.define_flags, ['latency', '--help']);"
        "heavy = ('tensorflow', 'ai_edge_litert', 'matplotlib', 'numpy');"
        "sys.exit(any(m.startswith(heavy) for m in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    listed = subprocess.run(
        [sys.executable, "-m", "benchmark", "--help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "latency" in listed.stdout


def test_a_file_is_about_as_fast_as_itself(models):
    results = latency.benchmark_latency([models[1]] * 2, latency.Settings(rounds=9, burst_ms=10))
    assert [row["name"] for row in results["models"]] == ["heavy", "heavy (2)"]
    assert np.isclose(results["models"][1]["ratio"], 1, atol=0.5)
