"""The command itself, in processes of its own, as a user runs it."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fake_phone import FakePhone, write_binary

REPOSITORY = Path(__file__).parents[2]


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "android_bench", *map(str, words)]


def call(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*words), cwd=REPOSITORY, capture_output=True, text=True)


@pytest.fixture
def words(binary, model_files, tmp_path) -> Callable[..., list[str]]:
    def make(phones: Sequence[FakePhone], *more: str, program: Path = binary) -> list[str]:
        return [
            "run",
            f"--models={','.join(map(str, model_files))}",
            f"--serial={','.join(phone.serial for phone in phones)}",
            f"--benchmark_binary={program}",
            "--rounds=5",
            "--num_runs=3",
            "--cooldown=none",
            f"--out={tmp_path / 'out'}",
            *more,
        ]

    return make


def runs(phone: FakePhone) -> int:
    return sum("--graph=" in text and "pkill" not in text for text in phone.commands)


def test_two_phones_at_once(plug_in, words, tmp_path) -> None:
    phones = [plug_in(), plug_in()]
    done = call(*words(phones, "--json"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["schema_version"] == 1
    assert {device["serial"] for device in found["devices"]} == {p.serial for p in phones}
    assert found["device"]["model"] == "Pixel 6"
    assert sum(row["rejected"] is None for row in found["rows"]) == 2 * 2 * 5
    assert {row["model"] for row in found["rows"]} == {"one", "other"}
    assert all(row["status"] == "ok" for row in found["rows"])
    assert len(found["summary"]) == 4
    for line in found["summary"]:
        low, high = line["ci_us"]
        assert low <= line["median_us"] <= high
        assert line["rounds"] == 5
        assert line["p95_us"] > 0
        assert line["peak_mb"] > 0
    assert {line["ratio"] for line in found["summary"] if line["model"] == "one"} == {1.0}
    with (tmp_path / "out" / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(found["rows"])
    for name in ("report.md", "report.html"):
        assert "Pixel 6" in (tmp_path / "out" / name).read_text()
    for row in found["rows"]:
        assert "Inference timings in us" in (tmp_path / "out" / row["log"]).read_text()


def test_killed_and_run_again_it_goes_on(phone, words, tmp_path) -> None:
    again = words([phone], "--rounds=3")
    process = subprocess.Popen(
        command(*again),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    journal = tmp_path / "out" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while not journal.exists() or len(journal.read_text().splitlines()) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = journal.read_text().splitlines()
    assert len(kept) < 8
    done = call(*again)
    assert done.returncode == 0, done.stderr
    entries = journal.read_text().splitlines()
    assert entries[: len(kept)] == kept
    assert len(entries) == 8
    before = runs(phone)
    assert call(*again).returncode == 0
    assert runs(phone) == before


def test_sigterm_ends_it_at_once_and_keeps_the_phone_clean(phone, words, tmp_path) -> None:
    hanging = write_binary(tmp_path / "hanging", hang=1)
    process = subprocess.Popen(
        command(*words([phone], "--fixed_performance", program=hanging)),
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not runs(phone):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Terminated." in stderr
    assert phone.fixed_performance == ["true", "false"]
    left = subprocess.run(["pgrep", "-f", "--", f"--graph={phone.root}"], capture_output=True)
    assert not left.stdout


def test_a_phone_or_folder_that_is_taken_is_told(phone, words, tmp_path) -> None:
    hanging = write_binary(tmp_path / "hanging", hang=1)
    first = subprocess.Popen(
        command(*words([phone], program=hanging)),
        cwd=REPOSITORY,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not runs(phone):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        done = call(*words([phone], f"--out={tmp_path / 'second'}"))
        assert done.returncode == 1
        assert f"{phone.serial} is in use by another measurement" in done.stderr
        done = call(*words([phone]))
        assert done.returncode == 1
        assert f"{tmp_path / 'out'} is in use by another measurement" in done.stderr
    finally:
        first.terminate()
        first.wait()


def test_a_model_that_fails_leaves_the_others_results(phone, words, model_files, tmp_path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(model_files[0].read_bytes()[:20_000])
    done = call(*words([phone], f"--models={broken},{model_files[0]}"))
    assert done.returncode == 1
    assert "broken on" in done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [line["rounds"] for line in found["summary"]] == [0, 5]
    assert found["summary"][0]["error_kind"]


def test_a_dry_run_prints_commands_and_touches_nothing(words, phone, tmp_path) -> None:
    before = len(phone.commands)
    done = call(*words([phone], "--dry_run", "--threads=1,2"))
    assert done.returncode == 0, done.stderr
    lines = [shlex.split(line) for line in done.stdout.splitlines()]
    assert [line[3] for line in lines[:5]] == ["shell", "push", "push", "push", "shell"]
    assert all(line[:2] == ["adb", "-s"] for line in lines)
    assert sum("--num_threads=2" in line[-1] for line in lines) == 2 * 5 + 2
    assert len(phone.commands) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--models="], "No model to measure"),
        (["--models=absent.tflite"], "Cannot read the model absent.tflite"),
        (["--models=setup.py"], "setup.py is no .tflite file"),
        (["--threads=one"], "--threads=one is no list of numbers"),
        (["--cooldown=soon"], "--cooldown=soon is unknown"),
        (["--cores=fast"], "--cores=fast is unknown"),
        (["--cores=mid", "--serial=nobody"], "nobody cannot be used"),
        (["--benchmark_binary=absent"], "Cannot read absent"),
        (["--benchmark_sha256=00"], "not the 00 of --benchmark_sha256"),
        (["--adb=nowhere"], "--adb=nowhere is no program"),
    ],
)
def test_bad_input_gets_one_sentence(phone, words, more, message) -> None:
    done = call(*words([phone], *more))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["run", "devices", "parse", "compare", "paper"])
def test_nothing_imports_tensorflow(name) -> None:
    code = (
        "import sys; from mnv3_tf import cli; from android_bench.__main__ import COMMANDS; "
        f"import importlib; importlib.import_module(COMMANDS[{name!r}]); "
        "assert not {'tensorflow', 'tf_keras', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_it_runs_where_there_is_neither_tensorflow_nor_litert(phone, words, tmp_path) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    for name in ("tensorflow", "tf_keras", "ai_edge_litert"):
        (absent / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
    # The stand-in on the phone needs ai-edge-litert, and has no such path.
    done = subprocess.run(
        command(*words([phone], "--rounds=1")),
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(absent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert all(line["median_us"] > 0 for line in found["summary"])
    assert all(line["outside"] is None for line in found["summary"])


def test_devices_shows_what_a_phone_tells_and_what_not(phone) -> None:
    phone.deny("scaling_governor")
    done = call("devices", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["devices"]
    assert [cluster["mask"] for cluster in found[0]["clusters"]] == ["f", "30", "c0"]
    assert found[0]["now"]["battery_percent"] == 87
    assert "governor not readable" in done.stdout
