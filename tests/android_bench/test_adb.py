"""The thin layer over the real client, against a phone that misbehaves."""

import shlex
import subprocess
import threading
import time

import pytest

from android_bench import adb
from android_bench.adb import Adb, PhoneError
from mnv3_tf.errors import Terminated, UserError


@pytest.fixture
def connection(adb_client, phone) -> Adb:
    return Adb(adb_client, phone.serial)


def test_output_and_status_come_apart(connection) -> None:
    ended = connection.script("echo out; echo err >&2; (exit 3)")
    assert (ended.stdout, ended.stderr, ended.status) == ("out\n", "err\n", 3)


def test_a_phone_without_shell_v2_tells_its_status_too(adb_client, plug_in) -> None:
    old = plug_in(shell_v2=False)
    ended = Adb(adb_client, old.serial).script("echo out; echo err >&2; (exit 3)")
    assert ended.status == 3
    assert sorted(ended.stdout.split()) == ["err", "out"]


@pytest.mark.parametrize("name", ["a b", "a'b", 'a"b', "$(touch x)", "a;touch x", "`touch x`", "*"])
def test_words_reach_the_program_as_they_are(connection, phone, name) -> None:
    before = sorted(phone.root.rglob("x"))
    assert connection.shell("echo", name).stdout == f"{name}\n"
    assert sorted(phone.root.rglob("x")) == before


def test_files_arrive_whole(connection, phone, tmp_path) -> None:
    file = tmp_path / "a b;$(c).bin"
    file.write_bytes(bytes(range(256)) * 12_000)
    connection.push(file, "/data/local/tmp/x")
    assert (phone.root / "data/local/tmp/x").read_bytes() == file.read_bytes()


def test_a_full_disk_is_told(adb_client, plug_in, tmp_path) -> None:
    full = plug_in(disk_free=1000)
    file = tmp_path / "file"
    file.write_bytes(bytes(300_000))
    with pytest.raises(PhoneError, match="No space left on device"):
        Adb(adb_client, full.serial).push(file, "/data/local/tmp/x")


def test_a_cable_pulled_in_the_middle_is_a_lost_phone(connection, phone) -> None:
    phone.unplug_at = "sleep"
    with pytest.raises(PhoneError) as caught:
        connection.script("echo begun; sleep 5")
    assert caught.value.kind == "device_lost"


def test_a_phone_comes_back(connection, phone) -> None:
    phone.unplug()
    threading.Timer(1.0, phone.plug_in).start()
    assert connection.wait_until_back(20)
    assert connection.shell("echo", "again").stdout == "again\n"


def test_a_phone_that_stays_away_is_given_up(connection, phone) -> None:
    phone.unplug()
    assert not connection.wait_until_back(1.5)


def test_a_command_has_a_limit_of_time(connection) -> None:
    began = time.monotonic()
    with pytest.raises(PhoneError, match="did not answer within 1 s") as caught:
        connection.shell("sleep", "30", timeout_s=1)
    assert caught.value.kind == "timeout"
    assert time.monotonic() - began < 10


def test_stopping_ends_what_runs(connection) -> None:
    threading.Timer(0.5, connection.stop.set).start()
    with pytest.raises(Terminated):
        connection.shell("sleep", "30")


def test_the_recorded_command_can_be_pasted(connection) -> None:
    command = shlex.join(connection.shell_words(shlex.join(["echo", "a b", "$HOME"])))
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("a b $HOME\n")


def test_phones_are_chosen_by_serial(adb_client, plug_in) -> None:
    one, other = plug_in(), plug_in()
    assert adb.choose(adb_client, [other.serial]) == [other.serial]
    assert sorted(adb.choose(adb_client, ["all"])) == sorted([one.serial, other.serial])
    with pytest.raises(UserError, match=r"2 phones are attached .*; choose with --serial"):
        adb.choose(adb_client, [])
    with pytest.raises(UserError, match="nobody cannot be used: it is not attached; adb sees"):
        adb.choose(adb_client, ["nobody"])


def test_no_phone_is_said_plainly(adb_client) -> None:
    with pytest.raises(UserError, match="No phone is attached"):
        adb.choose(adb_client, [])


def test_the_client_is_searched_for_in_order(tmp_path) -> None:
    def program(name: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return str(path)

    given, named, found = program("given"), program("named"), program("bin/adb")
    sdk = program("sdk/platform-tools/adb")
    environment = {
        "ADB": named,
        "PATH": str(tmp_path / "bin"),
        "ANDROID_HOME": str(tmp_path / "sdk"),
    }
    assert adb.find_adb(given, environment) == given
    assert adb.find_adb(None, environment) == named
    del environment["ADB"]
    assert adb.find_adb(None, environment) == found
    environment["PATH"] = ""
    assert adb.find_adb(None, environment) == sdk
    with pytest.raises(UserError, match="--adb=nowhere is no program"):
        adb.find_adb("nowhere", environment)
