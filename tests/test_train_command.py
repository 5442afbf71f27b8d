"""train.py as a user meets it: a process of its own."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from commands import run, start

FLAGS = [
    "--dataset=shapes",
    "--model=small",
    "--width=0.35",
    "--resolution=32",
    "--steps=130",
    "--batch_size=64",
    "--recipe=quick",
    "--seed=5",
    "--deterministic",
    "--checkpoint_every=20",
]


def test_help_answers_at_once():
    begin = time.perf_counter()
    status, out, _ = run("train.py", "--help")
    assert time.perf_counter() - begin < 1.5
    assert status == 0
    for name in ("task", "recipe", "deterministic", "checkpoint_every", "strategy", "overwrite"):
        assert f"--{name}" in out or f"--[no]{name}" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--dataset is missing"),
        (["--dataset=shapes"], "--out is missing"),
        (["--dataset=shapes", "--out=x", "--task=dance"], "Unknown task 'dance'"),
        (["--dataset=folder:x", "--out=x", "--task=segment"], "--task=segment needs masks"),
        (["--dataset=shapes", "--out=x", "--strategy=many"], "Unknown --strategy=many"),
        (["--dataset=shapes", "--out=x", "--epochs=many"], "many"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, sentence):
    status, out, err = run("train.py", *arguments)
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


def contents(folder: Path) -> tuple[dict[str, np.ndarray], list[dict]]:
    """All weights of a finished run, best and last, and its metrics without times."""
    import h5py
    import tensorflow as tf

    weights = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            weights[f"best/{name}"] = np.asarray(item)

    with h5py.File(folder / "best.weights.h5") as file:
        file.visititems(collect)
    reader = tf.train.load_checkpoint(str(folder / "checkpoints"))
    for name in reader.get_variable_to_shape_map():
        if name.startswith(("model/", "all_optimizer/")):
            weights[f"last/{name}"] = reader.get_tensor(name)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return weights, [{k: v for k, v in row.items() if k != "images_per_s"} for row in rows]


def train_with_kills(out: Path) -> int:
    """Kills the run in each of its two epochs, lets it end, returns the number of kills."""
    kills = 0
    for checkpoints in (2, 7):
        process = start("train.py", *FLAGS, f"--out={out}")
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            index = out / "checkpoints" / "checkpoint"
            if index.exists() and f"ckpt-{checkpoints}" in index.read_text():
                time.sleep(0.1)
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.01)
        process.communicate(timeout=300)
    status, _, err = run("train.py", *FLAGS, f"--out={out}")
    assert status == 0, err
    return kills


@pytest.mark.slow
def test_a_run_that_was_killed_twice_ends_with_the_bits_of_an_undisturbed_one(tmp_path):
    status, _, err = run("train.py", *FLAGS, f"--out={tmp_path / 'undisturbed'}")
    assert status == 0, err
    assert train_with_kills(tmp_path / "killed") == 2
    weights, rows = contents(tmp_path / "killed")
    wanted_weights, wanted_rows = contents(tmp_path / "undisturbed")
    assert [row["step"] for row in rows] == [93, 130]
    assert rows == wanted_rows
    assert weights.keys() == wanted_weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(value, wanted_weights[name], err_msg=name)
