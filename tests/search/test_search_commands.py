"""Both searches as a user meets them: processes of their own, on pictures of three colours."""

import importlib
import json
import os
import signal
import time
from pathlib import Path

import pytest
import tiny
from commands import run, start
from making import colours, trained, written
from refusals import check_command, refused

from mnv3_tf import cost
from mnv3_tf.networks.cost import cost as networks_cost
from mnv3_tf.networks.named import resolve
from mnv3_tf.search import nas_command, netadapt_command
from mnv3_tf.search.__main__ import COMMANDS
from mnv3_tf.search.latency_sources import CountedLatency
from mnv3_tf.search.report import width_of_latency
from mnv3_tf.search.searches import read_rewards, read_space
from mnv3_tf.search.settings import NasSettings, NetAdaptSettings
from mnv3_tf.search.space import Space
from mnv3_tf.search.starting_point import load_starting_point
from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import read, words

SEARCH = ("-m", "mnv3_tf.search")


@pytest.fixture(scope="module")
def start_run(made) -> Path:
    return made(trained) / "run"


def call(command, *arguments: object) -> int:
    words = [command.__name__, *map(str, arguments)]
    return cli.call(command.main, command.define_flags, words)


def netadapt(start_run: Path, out: Path, *more: str) -> list[str]:
    return [
        f"--run={start_run}",
        "--latency=madds",
        "--device=none",
        "--target=0.88",
        "--delta=0.06",
        "--steps=2",
        "--workers=1",
        "--retrain=inherited",
        "--retrain_recipe=quick",
        f"--out={out}",
        *more,
    ]


@pytest.mark.slow
def test_netadapt_killed_and_gone_on_with(start_run, tmp_path, capsys, monkeypatch):
    out = tmp_path / "search"
    process = start(*SEARCH, "netadapt", *netadapt(start_run, out))
    journal = out / "journal.jsonl"
    while not journal.exists() or journal.read_text().count('"judged"') < 1:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = journal.read_bytes()

    # Trained at the end as briefly as can be.
    from mnv3_tf.training.recipe import Recipe

    monkeypatch.setattr("mnv3_tf.training.recipe.load", lambda name: Recipe(1, 8, 0.01))
    assert call(netadapt_command, *netadapt(start_run, out, "--json")) == 0
    assert journal.read_bytes().startswith(before.rpartition(b"\n")[0])
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    first, last, *_ = summary["networks"]
    assert last["madds"] == last["predicted"] <= summary["target"] == 0.88 * first["madds"]
    # The same proposal is never evaluated twice.
    judged = [e for line in journal.read_text().splitlines() if "judged" in (e := json.loads(line))]
    names = [(entry["step"], entry["judged"]["hash"]) for entry in judged]
    assert len(names) == len(set(names)) == summary["proposals"]
    for name in ("path.png", "channels.png", "network.png", "report.html"):
        assert (out / name).stat().st_size > 1000
    # What it wrote is what the rest takes.
    assert json.loads((out / "run" / "summary.json").read_text())["val_top1"] > 0.5
    assert json.loads((out / "run" / "run.json").read_text())["settings"]["seed"] == 3
    assert call(netadapt_command, *netadapt(start_run, out)) == 0
    assert "is finished" in capsys.readouterr().out


@pytest.mark.slow
def test_nas_gone_on_with(made, tmp_path, capsys):
    (tmp_path / "space.json").write_text(json.dumps({"layers": [0], "operators": [1.0, 0.5]}))

    def arguments(samples: int) -> list[str]:
        return [
            f"--model={made(written, tiny.SHALLOW) / 'spec.json'}",
            f"--dataset=folder:{made(colours)}",
            f"--space={tmp_path / 'space.json'}",
            "--latency=madds",
            "--device=none",
            "--target=0.8",
            "--strategy=evolution",
            f"--samples={samples}",
            "--batch=2",
            "--batch_size=8",
            "--steps=3",
            "--workers=1",
            "--retrain=none",
            f"--out={tmp_path / 'search'}",
            "--json",
        ]

    assert call(nas_command, *arguments(2)) == 0
    before = (tmp_path / "search" / "journal.jsonl").read_bytes()
    status, told, error = run(*SEARCH, "nas", *arguments(3))
    assert status == 0, error
    assert (tmp_path / "search" / "journal.jsonl").read_bytes().startswith(before)
    summary = json.loads(told.splitlines()[-1])
    assert summary["samples"] == 3 >= summary["trained"]
    rewards = read_rewards(str(tmp_path / "search"))
    assert summary["best_reward"] == max(rewards)
    capsys.readouterr()
    assert call(cost, f"--model={tmp_path / 'search' / 'spec.json'}") == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["netadapt"], "--out is missing"),
        (["netadapt", "--out={}/file", "--run=x"], "/file is a file"),
        (["netadapt", "--out=x"], "as --run=FOLDER, or as --model with --weights"),
        (["netadapt", "--out=x", "--model=small"], "--model needs --weights and --dataset"),
        (["netadapt", "--out=x", "--delta=0"], "--delta=0.0 is no part of a latency"),
        (["netadapt", "--out=x", "--delta=1"], "--delta=1.0 is no part of a latency"),
        (["netadapt", "--out=x", "--run=a", "--model=small"], "one of both"),
        (["netadapt", "--out=x", "--run=nowhere"], "nowhere is not the folder of a run"),
        (["nas", "--out=x"], "--dataset is missing"),
        (["nas", "--out=x", "--dataset=shapes", "--task=detect"], "Searches take classifiers"),
        (["nas", "--out=x", "--dataset=shapes", "--beside=y"], "--beside=y holds no rewards.json"),
        (["inherit"], "--run is missing"),
        (["inherit", "--run=x", "--out=y"], "--out=y must be a .weights.h5 file"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    command, *words = (word.format(tmp_path) for word in arguments)
    check_command(importlib.import_module(COMMANDS[command]), words, sentence, capsys, tmp_path)


def test_a_search_from_nothing_inherits_nothing(capsys):
    assert call(nas_command, "--out=x", "--retrain=inherited") == 2
    assert "--retrain=inherited is not one of scratch, none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        (
            netadapt_command,
            NetAdaptSettings(
                out="a b",
                model="large",
                width=0.75,
                resolution=96,
                weights="w",
                dataset="shapes",
                target="0.5",
                rule="least_loss",
                retrain="inherited",
                delta=0.05,
            ),
        ),
        (
            nas_command,
            NasSettings(
                out="x",
                dataset="shapes",
                strategy="random",
                strength=-0.07,
                beside=("y", "z"),
                early_stopping=False,
                quantize="int8",
                batch_size=4,
            ),
        ),
    ],
)
def test_what_python_asked_is_a_command_that_asks_the_same(command, settings):
    values = cli.flags.FlagValues()
    command.define_flags(values)
    values(["x", *words(settings)])
    assert read(values, type(settings)) == settings


def test_the_start_is_a_run_with_its_data_and_recipe(start_run, made):
    settings = NetAdaptSettings(out="x", run=str(start_run), seed=7)
    point = load_starting_point(settings)
    assert (point.spec, point.dataset) == (tiny.SHALLOW, f"folder:{made(colours)}")
    assert (point.seed, point.held_out, point.data_dir) == (3, 0.0, None)
    assert (point.recipe.optimizer, point.recipe.batch_size) == ("sgd", 8)


def test_starts_and_tables_that_do_not_fit(start_run, tmp_path, capsys):
    """Told before anything is trained."""
    empty = {"schema_version": 1, "conditions": {"device": "a phone"}, "grids": {"none": []}}
    (tmp_path / "phone.json").write_text(json.dumps(empty | {"weights": {}, "errors": {}}))
    (tmp_path / "old.json").write_text('{"schema_version": 0}')
    table, counted = f"--latency_table={tmp_path}/phone.json", "--latency=madds"
    for more, named in (
        ([], "--latency_table is missing; make one with"),
        ([f"--latency_table={tmp_path}/old.json"], "is no latency table of version 1 but of 0"),
        ([table], "The latency table has no conv 3x3"),
        ([table, "--quantize=int8"], "no 'int8' but 'none'"),
        ([table, "--device=host"], "was measured with device 'a phone', but --device=host is"),
        (["--latency=measured"], "--latency=measured needs a --device"),
        ([counted, "--target=1.5"], "not below the start's"),
        ([counted, "--target=0.01"], "cannot be reached"),
        ([counted, "--held_out=1"], "--held_out=1 is no part"),
        ([counted, "--held_out=0"], "--held_out=0 is no part"),
        ([counted, "--workers=none"], "--workers=none is no number"),
    ):
        flags = netadapt(start_run, tmp_path / "out")
        flags.remove("--latency=madds")
        check_command(netadapt_command, [*flags, *more], named, capsys, tmp_path)


def test_spaces_from_files(tmp_path):
    seed, path = resolve("mnasnet_a1"), tmp_path / "space.json"
    assert read_space(None, seed) == Space(seed)
    path.write_text('{"squeeze_of_input": true, "layers": [0, 2]}')
    space = read_space(str(path), seed)
    assert space == Space(seed, layers=(0, 2), squeeze_of_input=True)
    assert space.decode(space.encode(seed)).hash == seed.hash
    for text, message in (
        ("[]", "must be a JSON object of choices"),
        ('{"start": {}}', "without a starting point"),
        ('{"seed": {}}', "must be a JSON object of choices, without a starting point"),
        ('{"depths": [1]}', "unknown field 'depths'"),
        ('{"layers": [0.5]}', "must be int, not 0.5"),
        ("{", "Cannot read the space"),
    ):
        path.write_text(text)
        with refused(message):
            read_space(str(path), seed)


def test_beside_a_report_stands_the_width_of_the_same_latency():
    small = resolve("small")
    for width in (0.3, 0.75, 0.99):
        narrow = small.with_width(width)
        latency = float(networks_cost(narrow).madds)
        assert width_of_latency(small, latency, CountedLatency()).hash == narrow.hash


def test_rewards_that_are_none(tmp_path):
    (tmp_path / "rewards.json").write_text("[0.5, 1]")
    assert read_rewards(str(tmp_path)) == [0.5, 1.0]
    for text in ("{", "[null]", "3"):
        (tmp_path / "rewards.json").write_text(text)
        with refused(f"--beside={tmp_path} holds no rewards.json of a finished search"):
            read_rewards(str(tmp_path))
