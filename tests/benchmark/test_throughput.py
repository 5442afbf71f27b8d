"""Turns, ratios, and the commands that measure training."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmark import input_pipeline, memory, throughput, train_step
from mnv3_tf import cli


def test_ratios_are_of_speed_and_to_the_first(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now[0])

    def nap(seconds: float) -> None:
        now[0] += seconds

    turns = {
        name: lambda s=seconds: throughput.timed(lambda: nap(s), 1)
        for name, seconds in {"first": 0.002, "slow": 0.004}.items()
    }
    first, slow = throughput.compare(turns, 8)
    assert first["ratio"] == 1.0
    assert slow["ratio"] == pytest.approx(0.5)
    assert slow["ratio_ci"][0] <= slow["ratio"] <= slow["ratio_ci"][1]
    assert first["images_per_s"] == pytest.approx(500)
    assert first["images_per_s_ci"][0] <= first["images_per_s"] <= first["images_per_s_ci"][1]


def run(module, *flags):
    return cli.call(module.main, module.define_flags, ["benchmark", *flags])


def test_input_pipeline(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in range(8):
        pixels = rng.integers(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.jpg")
    flags = ["--resolution=32", "--batch_size=4", "--batches=2", "--rounds=5", "--json"]
    assert run(input_pipeline, f"--pictures={tmp_path}", f"--out={tmp_path}", *flags) == 0
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["name"] for row in results["rows"]][:2] == ["bound: decode whole", "view"]
    assert all(row["images_per_s"] > 0 for row in results["rows"])
    assert "cost_percent" in results["rows"][-1]
    assert json.loads((tmp_path / "results.json").read_text()) == results


def test_input_pipeline_without_pictures(tmp_path, capsys):
    assert run(input_pipeline) == 2
    assert "--pictures is missing" in capsys.readouterr().err
    assert run(input_pipeline, f"--pictures={tmp_path}") == 2
    assert "holds no .jpg" in capsys.readouterr().err


@pytest.mark.slow
def test_train_step(capsys):
    flags = ["--resolution=32", "--batch_size=2", "--steps=1", "--rounds=5", "--json"]
    assert run(train_step, "--models=small", *flags) == 0
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    names = [row["name"] for row in results["rows"]]
    assert names == ["tf_keras MobileNetV3Small", "mnv3_tf small"]


@pytest.mark.slow
def test_both_networks_of_a_train_step_are_the_same_size():
    import tf_keras

    from mnv3_tf import create_model

    for name, peer in train_step.PEERS.items():
        theirs = getattr(tf_keras.applications, peer)(weights=None)
        assert create_model(name).count_params() == pytest.approx(theirs.count_params(), rel=0.02)


def test_a_network_that_keras_does_not_have(capsys):
    assert run(train_step, "--models=mnasnet_a1") == 2
    assert "no 'mnasnet_a1'; choose of large" in capsys.readouterr().err


@pytest.mark.slow
def test_memory(tmp_path, capsys):
    flags = ["--resolution=32", "--batch_size=4", "--steps=400", f"--out={tmp_path}"]
    assert run(memory, *flags, "--json") == 0
    said = capsys.readouterr().out.splitlines()
    assert "400 steps: " in said[0]
    results = json.loads(said[-1])
    assert len(results["seconds"]) == len(results["megabytes"]) > 2
    assert results["begin_mb"] > 100
    assert (tmp_path / "memory.png").stat().st_size > 1000


@pytest.mark.slow
def test_memory_of_a_training_that_fails(capsys):
    assert run(memory, "--model=nonsense", "--steps=2") == 1
    assert "Training failed: Unknown model 'nonsense'" in capsys.readouterr().err
