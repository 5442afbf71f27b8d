"""The command itself, in a process of its own where that is the point."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, start
from phones.fake_phone import FakePhone, write_binary
from refusals import check_command

from android_bench import devices, run
from mnv3_tf.measuring.phone.measure import Phones
from mnv3_tf.measuring.phone.plan import PhoneSettings
from mnv3_tf.tflite import inspection
from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import read


@pytest.fixture
def words(binary, model_files, tmp_path) -> Callable[..., list[str]]:
    """What follows the command's name."""

    def make(
        phones: Sequence[FakePhone], *more: str, program: Path = binary, count: int = 2
    ) -> list[str]:
        return [
            f"--models={','.join(map(str, model_files[:count]))}",
            f"--serial={','.join(phone.serial for phone in phones)}",
            f"--benchmark_binary={program}",
            "--rounds=2",
            "--num_runs=3",
            "--cooldown=none",
            f"--out={tmp_path / 'out'}",
            *more,
        ]

    return make


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """(the arguments of `run`) -> exit status, standard output, standard error.

    Every file is taken whole by XNNPACK.
    """
    whole = {"nodes": 5, "delegated": 5, "partitions": 1, "outside": {}, "error": None}
    monkeypatch.setattr(inspection, "inspect", lambda path: {"xnnpack": whole})

    def of(arguments: Sequence[str], command: Any = run) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["android_bench", "run", *arguments])
        status = cli.call(command.main, command.define_flags, ["run", *arguments])
        return status, *capsys.readouterr()

    return of


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def meant(arguments: Sequence[str]) -> tuple[Any, ...]:
    """What these words ask for, in whatever order and notation."""
    values = run.flags.FlagValues()
    run.define_flags(values)
    values(["run", *arguments])
    return values.models, values.out, read(values, PhoneSettings), read(values, Phones)


def test_two_phones_at_once(plug_in, words, call, tmp_path) -> None:
    phones = [plug_in(), plug_in()]
    for phone in phones:
        phone.inference_us = lambda command: 1000.0 * (1 + ("--num_threads=2" in command))
    arguments = words(phones, "--json", "--threads=1,2", "--rounds=1", count=1)
    status, stdout, stderr = call(arguments)
    assert status == 0, stderr
    found = json.loads(stdout.splitlines()[-1])
    out = tmp_path / "out"
    assert found == json.loads((out / "results.json").read_text())
    begin, again = shlex.split(found["command"])[:4], shlex.split(found["command"])[4:]
    assert begin == ["python", "-m", "android_bench", "run"]
    assert meant(again) == meant(arguments)
    assert [device["serial"] for device in found["devices"]] == [p.serial for p in phones]
    assert len(found["rows"]) == 2 * 2
    assert all((row["status"], row["rejected"]) == ("ok", None) for row in found["rows"])
    assert [(line["serial"], line["threads"]) for line in found["summary"]] == [
        (phone.serial, threads) for phone in phones for threads in (1, 2)
    ]
    for line in found["summary"]:
        assert line["median_us"] == 1000 * line["threads"]
        assert (line["rounds"], line["ratio"], line["peak_mb"]) == (1, 1.0, 40)
    with (out / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(found["rows"])
    for name in ("report.md", "report.html"):
        assert "Pixel 6" in (out / name).read_text()
    for row in found["rows"]:
        assert "Inference timings in us" in (out / row["log"]).read_text()
    assert f"Report: {out / 'report.html'}" in stdout


@pytest.mark.usefixtures("undrawn")
def test_killed_and_run_again_it_goes_on(phone, words, call, tmp_path) -> None:
    again = words([phone], "--rounds=5", count=1)
    process = subprocess.Popen(
        [sys.executable, "-m", "android_bench", "run", *again],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    journal = tmp_path / "out" / "journal.jsonl"
    wait_for(lambda: journal.exists() and len(journal.read_text().splitlines()) >= 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = journal.read_text().splitlines()
    assert len(kept) < 6
    status, _, stderr = call(again)
    assert status == 0, stderr
    entries = journal.read_text().splitlines()
    assert entries[: len(kept)] == kept
    assert len(entries) == 6
    before = len(phone.runs)
    assert call(again)[0] == 0
    assert len(phone.runs) == before


@pytest.fixture
def hanging(phone, words, tmp_path) -> Iterator["subprocess.Popen[str]"]:
    """The command, in the middle of a run that does not end."""
    program = write_binary(tmp_path / "hanging", fault="hang")
    arguments = words([phone], "--fixed_performance", program=program, count=1)
    process = start("-m", "android_bench", "run", *arguments)
    try:
        wait_for(lambda: phone.runs)
        yield process
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.usefixtures("undrawn")
def test_a_phone_or_folder_that_is_taken_is_told(phone, words, call, hanging, tmp_path) -> None:
    out = tmp_path / "out"
    for more, taken in (([f"--out={tmp_path / 'second'}"], phone.serial), ([], out)):
        status, _, stderr = call(words([phone], *more))
        assert (status, f"{taken} is in use by another measurement" in stderr) == (1, True)
    hanging.terminate()
    _, stderr = hanging.communicate(timeout=30)
    assert hanging.returncode == 128 + signal.SIGTERM
    assert "Terminated." in stderr
    assert phone.fixed_performance == ["true", "false"]
    left = subprocess.run(["pgrep", "-f", "--", f"--graph={phone.root}"], capture_output=True)
    assert not left.stdout


@pytest.mark.usefixtures("undrawn")
def test_a_model_that_fails_leaves_the_others_results(phone, words, call, tmp_path) -> None:
    asked: list[str] = []

    def inference_us(command: str) -> float:
        asked.append(command)
        if len(asked) == 1:  # the model is gone before its first run
            (phone.root / command.split("--graph=")[1].split()[0].lstrip("/")).unlink()
        return 1000.0

    phone.inference_us = inference_us
    status, stdout, stderr = call(words([phone]))
    assert status == 1
    assert f"one on {phone.serial} failed: model_load_failed." in stderr
    assert "Warning: one on" in stdout
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["model"] for row in found["rows"]] == ["one", "other", "other"]  # not again
    assert [line["rounds"] for line in found["summary"]] == [0, 2]
    assert [line["error_kind"] for line in found["summary"]] == ["model_load_failed", None]


@pytest.mark.usefixtures("undrawn")
def test_what_is_foreseen_is_told_first_and_in_the_results(
    phone, words, call, monkeypatch, tmp_path
) -> None:
    cut = {"nodes": 9, "delegated": 1, "partitions": 9, "outside": {"MEAN": 8}, "error": None}
    monkeypatch.setattr(inspection, "inspect", lambda path: {"xnnpack": cut})
    status, stdout, stderr = call(words([phone], "--rounds=1", count=1))
    assert status == 0
    warning = "one: XNNPACK will run it in 9 pieces, cut by 8 MEAN."
    assert stderr.startswith(f"Warning: {warning}\n")
    assert f"Warning: {warning}" in stdout
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["warnings"] == [warning]
    assert found["summary"][0]["outside"] == {"MEAN": 8}


def test_a_dry_run_prints_commands_and_touches_nothing(
    words, phone, call, binary, model_files, tmp_path
) -> None:
    before = len(phone.commands)
    status, stdout, stderr = call(words([phone], "--dry_run", "--threads=1,2"))
    assert status == 0, stderr
    lines = [shlex.split(line) for line in stdout.splitlines()]
    assert [line[3] for line in lines[:5]] == ["shell", "push", "push", "push", "shell"]
    assert all(line[:3] == ["adb", "-s", phone.serial] for line in lines)
    assert [line[4] for line in lines[1:4]] == [str(binary), *map(str, model_files)]
    program = lines[1][5]
    assert lines[0][4] == f"mkdir -p {program.removesuffix('/benchmark_model')}"
    assert lines[4][4] == f"chmod 755 {program}"
    assert lines[5][4] == (
        f"taskset BIG_MASK {program} --graph={lines[2][5]} --num_threads=1 --num_runs=3 "
        "--use_xnnpack=true"
    )
    assert len(lines) == 5 + 2 * 2 * 2 + 2 * 2
    assert sum("--num_threads=2" in line[-1] for line in lines) == 2 * 2 + 2
    assert sum("--report_peak_memory_footprint=true" in line[-1] for line in lines) == 4
    assert len(phone.commands) == before
    assert not (tmp_path / "out").exists()


def test_a_dry_run_names_what_only_the_phone_can_tell(call, model_files) -> None:
    models = f"--models={model_files[0]}"
    for cores, bound in (("c0", "taskset c0 "), ("default", ""), ("mid", "taskset MID_MASK ")):
        status, stdout, _ = call([models, "--dry_run", f"--cores={cores}", "--adb=client"])
        assert status == 0
        last = shlex.split(stdout.splitlines()[-1])
        assert last[:4] == ["client", "-s", "SERIAL", "shell"]
        assert last[4].startswith(f"{bound}/data/local/tmp/mnv3_tf/SHA256/benchmark_model --graph")


def test_the_flags_are_the_settings(model_files) -> None:
    def settings(*words: str) -> Any:
        values = run.flags.FlagValues()
        run.define_flags(values)
        values(["run", *words])
        return read(values, PhoneSettings)

    assert settings() == PhoneSettings()
    given = settings(
        "--threads=1,2",
        "--rounds=3",
        "--num_runs=4",
        "--cores=mid",
        "--delegate=gpu",
        "--cooldown=1.5",
        "--profile_ops",
        "--fixed_performance",
        "--timeout=7",
        "--reconnect=8",
    )
    assert given == PhoneSettings(
        threads=(1, 2),
        rounds=3,
        num_runs=4,
        cores="mid",
        delegate="gpu",
        cooldown_s=1.5,
        profile_ops=True,
        fixed_performance=True,
        timeout_s=7.0,
        reconnect_s=8.0,
    )
    assert settings("--cooldown=none").cooldown_s == settings("--cooldown=0").cooldown_s == 0.0


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--models="], ("No model to measure", "--models=a.tflite,b.tflite")),
        (["--models=absent.tflite"], "absent.tflite"),
        ([f"--models={ROOT / 'setup.py'}"], "setup.py is no .tflite file"),
        (["--threads=one"], "--threads=one"),
        (["--rounds=0"], "--rounds=0"),
        (["--cooldown=soon"], ("--cooldown=soon", "auto, none, or seconds")),
        (["--cooldown=-1"], "--cooldown=-1"),
        (["--cooldown=inf"], "--cooldown=inf"),
        (["--cores=fast"], "--cores=fast"),
        (["--serial=nobody"], "nobody cannot be used"),
        (["--benchmark_binary=absent"], "Cannot read absent"),
        (["--benchmark_sha256=00"], "not the 00 of --benchmark_sha256"),
        (["--adb=nowhere"], "--adb=nowhere"),
        (["--out="], "--out=DIR"),
    ],
)
def test_bad_input_gets_one_sentence(phone, words, capsys, tmp_path, monkeypatch, more, named):
    monkeypatch.setattr(inspection, "inspect", lambda path: {"xnnpack": None})
    before = len(phone.commands)
    check_command(run, words([phone], *more), named, capsys, tmp_path)
    assert len(phone.commands) == before


def test_it_needs_neither_tensorflow_nor_litert(phone, words, tmp_path) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    for name in ("tensorflow", "tf_keras", "ai_edge_litert"):
        (absent / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
    code = (
        "import importlib, sys; from android_bench import __main__\n"
        "from mnv3_tf.measuring.phone import members\n"
        "for path in __main__.COMMANDS.values(): importlib.import_module(path)\n"
        "assert [member.spec for member in members.choose([])]\n"
        "assert not {'tensorflow', 'tf_keras', 'matplotlib', 'ai_edge_litert'} & set(sys.modules)\n"
        "__main__.cli.dispatch('android_bench', __main__.COMMANDS)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", *words([phone], "--rounds=1", count=1)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(absent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [line["median_us"] for line in found["summary"]] == [1000]
    assert all(line["outside"] is None for line in found["summary"])


def test_devices_shows_what_a_phone_tells_and_what_not(phone, call) -> None:
    phone.deny("scaling_governor")
    phone.charging = False
    status, stdout, stderr = call(["--json"], devices)
    assert status == 0, stderr
    lines = stdout.splitlines()
    found = json.loads(lines[-1])["devices"]
    assert [cluster["mask"] for cluster in found[0]["clusters"]] == ["f", "30", "c0"]
    assert found[0]["now"]["battery_percent"] == 87
    assert found[0]["now"]["current_khz"] == 1401000
    assert found[0]["state"] == "device"
    told = dict(
        devices.rows(devices.look(phone.client, devices.Attached(phone.serial, "device", None)))
    )
    assert told["cores 30"] == "cpu 4,5: 2253 MHz, governor not readable"
    assert told["memory"] == "7456 MB, free 4005 MB"
    assert (told["temperature"], told["battery"]) == ("28.0 C", "87 %")
    assert (told["charging"], told["thermal status"]) == ("False", "0")
    assert (told["model"], told["SoC"]) == ("Google Pixel 6", "Google GS101")
    assert "governor not readable" in stdout


def test_devices_that_cannot_be_used_have_their_state_alone(call, phone, monkeypatch) -> None:
    offline = devices.look(phone.client, devices.Attached("X1", "offline", None))
    assert offline.as_json() == {"serial": "X1", "state": "offline"}
    assert devices.rows(offline) == [("state", "offline")]
    gone = devices.look(phone.client, devices.Attached("X2", "device", None))
    assert gone.as_json() == {"serial": "X2", "state": "device_lost"}
    monkeypatch.setattr(devices.adb, "attached", lambda client: [])
    assert "No phone is attached" in call([], devices)[1]
