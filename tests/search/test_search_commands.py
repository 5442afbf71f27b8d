"""Both searches as a user meets them: processes of their own, on pictures of three colours."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from colour_folder import make_colours
from commands import run, start
from tiny import TINY

SEARCH = ("-m", "mnv3_tf.search")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> str:
    return make_colours(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def seed_run(dataset, tmp_path_factory) -> Path:
    from mnv3_tf.training.run import train
    from mnv3_tf.training.settings import Settings

    folder = tmp_path_factory.mktemp("seed")
    (folder / "tiny.json").write_text(TINY.to_json())
    out = folder / "run"
    model = str(folder / "tiny.json")
    train(
        Settings(
            dataset, str(out), model=model, steps=40, batch_size=8, recipe="quick", held_out=0.2
        )
    )
    return out


def netadapt(seed_run: Path, out: Path, *more: str) -> list[str]:
    return [
        *SEARCH,
        "netadapt",
        f"--run={seed_run}",
        "--latency=madds",
        "--device=none",
        "--target=0.9",
        "--delta=0.03",
        "--steps=4",
        "--workers=2",
        "--retrain=inherited",
        f"--out={out}",
        *more,
    ]


@pytest.mark.slow
def test_netadapt_killed_and_gone_on_with(seed_run, dataset, tmp_path):
    out = tmp_path / "search"
    process = start(*netadapt(seed_run, out))
    journal = out / "journal.jsonl"
    while not journal.exists() or journal.read_text().count('"judged"') < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = journal.read_bytes()

    status, told, error = run(*netadapt(seed_run, out), "--json")
    assert status == 0, error
    assert journal.read_bytes().startswith(before.rpartition(b"\n")[0])
    summary = json.loads(told.splitlines()[-1])
    seed, found, *_ = summary["networks"]
    assert found["madds"] == found["predicted"] <= summary["target"] == 0.9 * seed["madds"]
    # The same proposal is never judged twice.
    judged = [e for line in journal.read_text().splitlines() if "judged" in (e := json.loads(line))]
    names = [(entry["step"], entry["judged"]["hash"]) for entry in judged]
    assert len(names) == len(set(names)) == summary["proposals"]
    for name in ("path.png", "channels.png", "network.png", "report.html", "summary.json"):
        assert (out / name).stat().st_size > 1000 or name == "summary.json"

    # What it wrote is what the rest takes.
    assert json.loads((out / "run" / "summary.json").read_text())["val_top1"] > 0.5
    status, _, error = run(
        "export_tflite.py", f"--run={out / 'run'}", f"--out={tmp_path / 'm.tflite'}"
    )
    assert status == 0, error
    again = time.monotonic()
    status, told, _ = run(*netadapt(seed_run, out))
    assert status == 0
    assert "is finished" in told
    assert time.monotonic() - again < 120


@pytest.mark.slow
def test_nas_gone_on_with(dataset, tmp_path):
    (tmp_path / "tiny.json").write_text(TINY.to_json())
    (tmp_path / "space.json").write_text(json.dumps({"layers": [0], "operators": [1.0, 0.5]}))

    def arguments(samples: int) -> list[str]:
        return [
            *SEARCH,
            "nas",
            f"--model={tmp_path / 'tiny.json'}",
            f"--dataset={dataset}",
            f"--space={tmp_path / 'space.json'}",
            "--latency=madds",
            "--device=none",
            "--target=0.8",
            "--strategy=evolution",
            f"--samples={samples}",
            "--batch=2",
            "--batch_size=8",
            "--steps=6",
            "--workers=2",
            "--retrain=none",
            f"--out={tmp_path / 'search'}",
            "--json",
        ]

    status, _, error = run(*arguments(2))
    assert status == 0, error
    before = (tmp_path / "search" / "journal.jsonl").read_bytes()
    status, told, error = run(*arguments(4))
    assert status == 0, error
    assert (tmp_path / "search" / "journal.jsonl").read_bytes().startswith(before)
    summary = json.loads(told.splitlines()[-1])
    assert summary["samples"] == 4 >= summary["trained"]
    rewards = json.loads((tmp_path / "search" / "rewards.json").read_text())
    assert summary["best_reward"] == max(rewards)
    assert run("-m", "mnv3_tf.cost", f"--model={tmp_path / 'search' / 'spec.json'}")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["netadapt"], "--out is missing"),
        (["netadapt", "--out=x"], "Give the seed as --run=FOLDER, or as --model with --weights"),
        (["netadapt", "--out=x", "--model=small"], "--model needs --weights and --dataset"),
        (["netadapt", "--out=x", "--delta=0"], "--delta=0.0 is no part of a latency"),
        (["netadapt", "--out=x", "--run=nowhere"], "nowhere is not the folder of a run"),
        (["nas", "--out=x"], "--dataset is missing"),
        (["nas", "--out=x", "--dataset=shapes", "--task=detect"], "Searches take classifiers"),
        (["nas", "--out=x", "--dataset=shapes", "--beside=y"], "--beside=y holds no rewards.json"),
        (["nas", "--out=x", "--retrain=inherited"], "should be one of <scratch|none>"),
        (["inherit"], "--run is missing"),
        (["inherit", "--run=x", "--out=y"], "--out=y must be a .weights.h5 file"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    import importlib

    from mnv3_tf import cli
    from mnv3_tf.search.__main__ import COMMANDS

    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(COMMANDS[arguments[0]])
    assert cli.call(module.main, module.define_flags, arguments) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_seeds_and_tables_that_do_not_fit(seed_run, tmp_path, monkeypatch, capsys):
    """Told before anything is trained."""
    from mnv3_tf import cli
    from mnv3_tf.search import netadapt_command as command

    def told(*more: str) -> str:
        _, _, *arguments = netadapt(seed_run, tmp_path / "out")
        arguments = [a for a in arguments if "--latency=" not in a]
        assert cli.call(command.main, command.define_flags, [*arguments, *more]) == 2
        return capsys.readouterr().err

    assert "--latency_table is missing; make one with" in told()
    (tmp_path / "old.json").write_text('{"schema_version": 0}')
    assert "is no latency table of version 1 but of 0" in told(
        f"--latency_table={tmp_path}/old.json"
    )
    empty = {"schema_version": 1, "conditions": {"device": "a phone"}, "grids": {"none": []}}
    (tmp_path / "phone.json").write_text(json.dumps(empty | {"weights": {}, "errors": {}}))
    table = f"--latency_table={tmp_path}/phone.json"
    assert "The latency table has no conv 3x3" in told(table)
    assert "no 'int8' but 'none'" in told(table, "--quantize=int8")
    assert "was measured with device 'a phone', but --device=host is" in told(
        table, "--device=host"
    )
    assert "--latency=measured needs a --device" in told("--latency=measured")
    assert "not below the seed's" in told("--latency=madds", "--target=1.5")
    assert "cannot be reached" in told("--latency=madds", "--target=0.01")
    assert "--held_out=2 is no part" in told("--latency=madds", "--held_out=2")
    assert "--workers=none is no number" in told("--latency=madds", "--workers=none")
    assert not (tmp_path / "out").exists()


def test_spaces_from_files(tmp_path):
    from mnv3_tf.errors import UserError
    from mnv3_tf.networks import resolve
    from mnv3_tf.search.nas_command import read_space
    from mnv3_tf.search.space import Space

    seed, path = resolve("mnasnet_a1"), tmp_path / "space.json"
    assert read_space(None, seed) == Space(seed)
    path.write_text('{"squeeze_of_input": true, "layers": [0, 2]}')
    space = read_space(str(path), seed)
    assert space == Space(seed, layers=(0, 2), squeeze_of_input=True)
    assert space.decode(space.encode(seed)).hash == seed.hash
    for text, message in (
        ("[]", "must be a JSON object of choices"),
        ('{"seed": {}}', "must be a JSON object of choices, without a seed"),
        ('{"depths": [1]}', "unknown field 'depths'"),
        ('{"layers": [0.5]}', "must be int, not 0.5"),
        ("{", "Cannot read the space"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_space(str(path), seed)


def test_a_journal_of_another_search(tmp_path):
    from mnv3_tf.errors import UserError
    from mnv3_tf.search.options import open_journal

    path = tmp_path / "journal.jsonl"
    first = open_journal(path, {"target": "0.75", "delta": 0.01, "crop": (0.35, 1.0)})
    assert open_journal(path, {"target": "0.75", "delta": 0.01, "crop": (0.35, 1.0)})
    path.unlink()
    first = open_journal(path, {"target": "0.75", "delta": 0.01})
    assert open_journal(path, {"target": "0.75", "delta": 0.01}).entries() == first.entries()
    with pytest.raises(UserError, match=r"of a search with target='0.75', not '0.5'; give the"):
        open_journal(path, {"target": "0.5", "delta": 0.01})
    path.write_text('{"schema_version": 7, "settings": {}}\n')
    with pytest.raises(UserError, match="of version 7, not 1"):
        open_journal(path, {})
