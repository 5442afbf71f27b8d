"""The ARM machine is made once, and anew where what it was made with has changed."""

import json
import subprocess

import pytest
from refusals import refused

from mnv3_tf.errors import Failure
from mnv3_tf.measuring import timers
from mnv3_tf.measuring.arm import counted_timer, installation
from mnv3_tf.measuring.arm.counting import Count
from mnv3_tf.measuring.arm.emulator import PLUGIN, Emulator

NOW = {"qemu": "qemu 7.2", "plugin": "abc", "ai-edge-litert": "2.3.0", "numpy": "2.4.6"}


@pytest.fixture
def host(monkeypatch):
    """A host that has all programs, of these versions."""
    monkeypatch.setattr(installation.shutil, "which", lambda tool: f"/usr/bin/{tool}")
    monkeypatch.setattr(installation, "versions", lambda: dict(NOW))


def write_stamp(folder, **changed):
    folder.mkdir(exist_ok=True)
    (folder / "stamp.json").write_text(json.dumps({**NOW, **changed}))


def test_a_whole_machine_is_opened(host, tmp_path):
    write_stamp(tmp_path)
    assert installation.open_emulator(tmp_path) == Emulator(tmp_path)


def test_none_is_told_how_to_make_it(host, tmp_path):
    with refused(tmp_path, "python -m benchmark arm --setup"):
        installation.open_emulator(tmp_path)


@pytest.mark.parametrize("name", ["qemu", "plugin", "ai-edge-litert"])
def test_a_version_that_changed_is_told(host, tmp_path, name):
    write_stamp(tmp_path, **{name: "old"})
    with refused(f"made with {name} old, and here is {NOW[name]}", "--setup"):
        installation.open_emulator(tmp_path)


def test_a_machine_for_other_programs_is_opened(host, tmp_path):
    """NumPy only fills the inputs, and the compiler compiles what counts alike."""
    write_stamp(tmp_path, numpy="1.0", compiler="another")
    assert installation.open_emulator(tmp_path)


@pytest.mark.parametrize(
    ("absent", "packages"),
    [(("qemu-aarch64",), "qemu-user"), (("qemu-aarch64", "cc"), "qemu-user gcc libc6-dev")],
)
def test_missing_programs_are_named_with_their_packages(tmp_path, monkeypatch, absent, packages):
    monkeypatch.setattr(installation.shutil, "which", lambda tool: tool not in absent or None)
    with refused(f"needs {' and '.join(absent)}", f"apt-get install {packages} (as root)"):
        installation.set_up(tmp_path)


def test_elsewhere_than_on_debian_there_is_no_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(installation.shutil, "which", lambda tool: tool != "dpkg-deb" or None)
    with refused("Debian's packages, by apt-get and dpkg-deb"):
        installation.set_up(tmp_path)


@pytest.fixture
def steps(host, monkeypatch):
    """What a set-up does, in order."""
    done = []
    monkeypatch.setattr(installation, "_compile", lambda plugin: done.append(plugin.name))
    monkeypatch.setattr(
        installation, "_unpack_debian", lambda downloads, root: [done.append(root.name) or "libc"]
    )
    monkeypatch.setattr(
        installation, "_unpack_wheels", lambda downloads, site, made: done.append(made["numpy"])
    )
    monkeypatch.setattr(installation, "_try", lambda emulator: done.append("tried"))
    return done


def test_set_up_is_done_once_and_again_after_a_change(steps, tmp_path):
    installation.set_up(tmp_path)
    assert steps == [PLUGIN, "root", "2.4.6", "tried"]
    stamp = json.loads((tmp_path / "stamp.json").read_text())
    assert stamp["packages"] == ["libc"]
    installation.set_up(tmp_path)
    assert len(steps) == 4
    write_stamp(tmp_path, plugin="old")
    installation.set_up(tmp_path)
    assert len(steps) == 8


def test_a_set_up_that_fails_leaves_no_machine(steps, tmp_path, monkeypatch):
    def fail(emulator):
        raise Failure("The ARM runtime does not start: no.")

    monkeypatch.setattr(installation, "_try", fail)
    write_stamp(tmp_path, qemu="old")
    with refused("does not start", by=Failure):
        installation.set_up(tmp_path)
    with refused("no ARM machine"):
        installation.open_emulator(tmp_path)


def test_what_fails_on_the_way_is_told(tmp_path):
    with refused("`cat /nowhere` failed", "check the network", by=Failure):
        installation._call(["cat", "/nowhere"], "check the network")


@pytest.mark.parametrize(
    ("version", "interface"),
    [("qemu-aarch64 version 7.2.22 (Debian 1:7.2)", 1), ("qemu-aarch64 version 10.0.2", 2)],
)
def test_the_plug_in_claims_the_interface_of_its_qemu(monkeypatch, version, interface):
    done = subprocess.CompletedProcess([], 0, f"{version}\nCopyright\n", "")
    monkeypatch.setattr(installation.subprocess, "run", lambda *_, **__: done)
    assert installation._interface() == interface


# -- as a timer ------------------------------------------------------------------------------


def test_a_core_is_a_timer(host, tmp_path, monkeypatch):
    """Where nothing is published, an instruction takes a cycle: 2.84 thousand a microsecond."""
    write_stamp(tmp_path / "arm")
    monkeypatch.setenv(installation.CACHE, str(tmp_path))
    monkeypatch.setattr(
        counted_timer.Counter,
        "count",
        lambda self, paths, core: [Count(2840 * len(path), 1, 1, "dynamic") for path in paths],
    )
    timer = timers.open_timer("arm:cortex-a76", None, None, threads=1, rounds=7)
    assert timer.time(["a", "bb"], 1.0) == pytest.approx([1.0, 2.0])
    conditions = timer.conditions
    assert (conditions["device"], conditions["rounds"]) == ("arm:cortex-a76", 1)
    assert conditions["counted"] == "float borrowed, int8 borrowed"
    with refused("--threads=2", "--threads=1"):
        timers.open_timer("arm:cortex-a76", None, None, threads=2, rounds=7)
    with refused("--device=arm:nobody"):
        timers.open_timer("arm:nobody", None, None, threads=1, rounds=7)
