"""The thin layer over the real client, against a phone that misbehaves."""

import shlex
import subprocess
import threading
import time

import pytest
from refusals import refused

from mnv3_tf.errors import Failure, Terminated, UserError
from mnv3_tf.measuring.phone import adb
from mnv3_tf.measuring.phone.adb import Adb, Attached, PhoneError

NEVER = 'read -r _ < "$PHONE_ROOT/state/never"'
"""What does not end by itself."""


@pytest.fixture
def connection(phone) -> Adb:
    return phone.adb()


def test_output_and_status_come_apart(connection) -> None:
    ended = connection.script("echo out; echo err >&2; (exit 3)")
    assert (ended.stdout, ended.stderr, ended.status) == ("out\n", "err\n", 3)
    assert ended.text == "out\nerr\n"


def test_a_phone_without_shell_v2_tells_its_status_too(plug_in) -> None:
    ended = plug_in(shell_v2=False).adb().script("echo out; echo err >&2; (exit 3)")
    assert ended.status == 3
    assert ended.text == ended.stdout
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


def test_a_full_disk_is_told(plug_in, tmp_path) -> None:
    full = plug_in(disk_free=1000)
    file = tmp_path / "file"
    file.write_bytes(bytes(300_000))
    with pytest.raises(PhoneError, match="No space left on device"):
        full.adb().push(file, "/data/local/tmp/x")


def test_a_cable_pulled_in_the_middle_is_a_lost_phone(connection, phone) -> None:
    phone.unplug_at = "begun"
    with pytest.raises(PhoneError) as caught:
        connection.script("echo begun; read -r _ < $PHONE_ROOT/state/never")
    assert caught.value.kind == "device_lost"
    assert f"{phone.serial} failed while running 'echo begun;" in str(caught.value)


@pytest.mark.parametrize(
    ("told", "kind", "line"),
    [
        ("", "device_lost", "the connection broke off"),
        ("* daemon started", "device_lost", "the connection broke off"),
        ("odd words\n* daemon started", "device_lost", "odd words"),
        ("error: device unauthorized.\nodd words", "unauthorized", "error: device unauthorized."),
        (f"half an answer {adb.SENTINEL}", "device_lost", f"half an answer {adb.SENTINEL}"),
    ],
)
def test_what_the_client_says_of_a_lost_phone(tmp_path, told, kind, line) -> None:
    client = tmp_path / "adb"
    client.write_text(f"#!/bin/sh\ncat <<'END'\n{told}\nEND\nexit 1\n")
    client.chmod(0o755)
    lost = Adb(str(client), "R58N")
    with pytest.raises(PhoneError) as caught:
        lost.shell("true")
    assert (caught.value.kind, str(caught.value)) == (
        kind,
        f"R58N failed while running 'true': {line}",
    )
    with pytest.raises(PhoneError, match=r"R58N failed while pushing a\.bin: "):
        lost.push("a.bin", "/x")


def test_a_phone_comes_back(connection, phone) -> None:
    phone.unplug()
    phone.clock.after(2.5, phone.plug_in)
    assert connection.wait_until_back(20)
    assert phone.clock.now() == 3  # it is asked every second
    assert connection.shell("echo", "again").stdout == "again\n"


def test_a_phone_that_stays_away_is_given_up(connection, phone) -> None:
    phone.unplug()
    assert not connection.wait_until_back(2.5)
    assert phone.clock.now() == 3


def test_a_phone_is_not_waited_for_once_all_is_stopped(connection, phone) -> None:
    phone.unplug()
    connection.stop.set()
    assert not connection.wait_until_back(20)
    assert phone.clock.now() == 0


def test_a_command_has_a_limit_of_time(connection, monkeypatch) -> None:
    monkeypatch.setattr(adb, "POLL_S", 0.02)
    assert connection.script("sleep 0.1; echo late").stdout == "late\n"
    assert connection.shell("sleep", "0.1").status == 0
    with pytest.raises(PhoneError, match=r"did not answer within 0 s: .*never") as caught:
        connection.script(NEVER, timeout_s=0.2)
    assert caught.value.kind == "timeout"


def test_stopping_ends_what_runs_and_no_clearing_up(connection, phone, monkeypatch) -> None:
    monkeypatch.setattr(adb, "POLL_S", 0.02)
    stopped = threading.Thread(target=lambda: (wait_for_command(phone), connection.stop.set()))
    stopped.start()
    with pytest.raises(Terminated):
        connection.script(NEVER)
    stopped.join()
    steady = connection.steady()
    assert (steady.serial, steady.clock) == (connection.serial, connection.clock)
    assert steady.shell("true").status == 0


def wait_for_command(phone) -> None:
    while not phone.commands:
        time.sleep(0.005)


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
    assert adb.choose(adb_client, [one.serial, one.serial]) == [one.serial]
    with refused("nobody cannot be used: it is not attached; adb sees", one.serial):
        adb.choose(adb_client, ["nobody"])
    other.unplug()
    assert adb.choose(adb_client, []) == [one.serial]


DEVICES = """* daemon started successfully
List of devices attached
R58M  unauthorized usb:1-2 transport_id:2
R58N  device usb:1-1 product:oriole model:Pixel_6 device:oriole transport_id:1
R58L  offline transport_id:3
R58K  no permissions (user in plugdev group; are your udev rules wrong?); see [http://x]
R58J  recovery
"""


def test_phones_that_cannot_be_used_are_told_with_the_remedy(tmp_path) -> None:
    client = tmp_path / "adb"
    client.write_text(f"#!/bin/sh\ncat <<'END'\n{DEVICES}\nEND\n")
    client.chmod(0o755)
    assert adb.attached(str(client)) == [
        Attached("R58M", "unauthorized", None),
        Attached("R58N", "device", "Pixel_6"),
        Attached("R58L", "offline", None),
        Attached("R58K", "no permissions", None),
        Attached("R58J", "recovery", None),
    ]
    assert adb.choose(str(client), []) == adb.choose(str(client), ["all"]) == ["R58N"]
    for serial, remedy in (
        ("R58M", "allow debugging from this computer"),
        ("R58L", "unplug it and plug it in again"),
        ("R58K", "udev rules"),
        ("R58J", "adb calls it 'recovery'"),
        ("R58X", "adb sees R58N"),
    ):
        with refused(f"{serial} cannot be used", remedy):
            adb.choose(str(client), ["R58N", serial])
    client.write_text("#!/bin/sh\necho no server >&2\nexit 1\n")
    with pytest.raises(Failure, match="devices failed: no server"):
        adb.attached(str(client))
    with refused("does not answer to `version`", "--adb=PATH"):
        adb.version(str(client))


def test_the_clients_version(adb_client) -> None:
    told = subprocess.run([adb_client, "version"], capture_output=True, text=True).stdout
    assert f"Version {adb.version(adb_client)}\n" in told


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
    with refused("--adb=nowhere is no program"):
        adb.find_adb("nowhere", environment)
    with refused("$ADB=nowhere is no program"):
        adb.find_adb(None, {"ADB": "nowhere"})
