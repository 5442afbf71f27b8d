"""Counting on a modelled core: what is asked of the emulator, and what is made of its answer."""

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import arm_machine
import pytest
import tiny
from refusals import refused

from mnv3_tf.errors import Failure
from mnv3_tf.measuring.arm import counting, emulator, installation
from mnv3_tf.measuring.arm.cores import CORES
from mnv3_tf.measuring.arm.counting import Counter
from mnv3_tf.measuring.arm.emulator import Emulator
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.named import resolve
from mnv3_tf.tflite import skeleton

A76 = CORES["cortex-a76"]
MARKING, ALONE = 40, 1000


class Stub(Emulator):
    """A file takes a thousand instructions a letter of its name, and marking forty.

    "refused" does not run, and the process dies over "dies".
    """

    asked: list[Any] = []  # noqa: RUF012

    def run(self, core, *words, given="", counts=None, options=()):
        assert words == (counting.GUEST,)
        asked = json.loads(given)
        self.asked.append((core.name, asked))
        lines, errors = [MARKING + 7, MARKING], []
        for path in map(Path, asked["paths"]):
            if path.name == "dies":
                return self._done(
                    counts, lines, errors, 132, "INFO: created\nIllegal instruction\n"
                )
            errors.append("no such operator" if path.name == "refused" else None)
            if not errors[-1]:
                lines.append(MARKING + ALONE * len(path.name))
        return self._done(counts, lines, errors, 0, "INFO: created\n")

    def _done(self, counts, lines, errors, status, stderr):
        counts.write_text("".join(f"{line}\n" for line in lines))
        stdout = "".join(f"{json.dumps(error)}\n" for error in errors)
        return subprocess.CompletedProcess([], status, stdout, stderr)


@pytest.fixture
def stub(tmp_path, monkeypatch):
    monkeypatch.setattr(Stub, "asked", [])
    return Stub(tmp_path)


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_files_keep_their_order_in_any_number_of_processes(stub, processes):
    paths = [Path(name) for name in ("a", "bb", "ccc", "dddd", "eeeee")]
    found = Counter(stub, processes=processes).instructions(paths, A76)
    assert found == [1000, 2000, 3000, 4000, 5000]
    assert len(stub.asked) == min(processes, 5)


def test_the_guest_is_asked_for_kernels_and_shape(stub, tmp_path):
    Counter(stub, False, (1, 32, 32, 3), 1).instructions([tmp_path / "a"], A76)
    assert Counter(stub).instructions([], A76) == []
    asked = {"paths": [str(tmp_path / "a")], "delegate": False, "input_shape": [1, 32, 32, 3]}
    assert stub.asked == [("cortex-a76", asked)]


def test_a_file_that_the_runtime_refuses_is_named(stub):
    with refused("refused", "no such operator"):
        Counter(stub, processes=1).instructions([Path("a"), Path("refused"), Path("b")], A76)


def test_what_the_process_died_over_is_named(stub):
    with refused("cortex-a76 died over dies: Illegal instruction.", by=Failure):
        Counter(stub, processes=1).instructions([Path("a"), Path("dies"), Path("b")], A76)


def test_a_count_has_the_files_own_figures(stub, tmp_path):
    path = tmp_path / "tiny"
    path.write_bytes(skeleton.network(tiny.CLASSIFIER, "int8"))
    (count,) = Counter(stub).count([path], A76)
    assert (count.instructions, count.quantize) == (4000, "int8")
    assert count.macs == cost(tiny.CLASSIFIER).madds
    (other,) = Counter(stub, input_shape=(1, 64, 64, 3)).count([path], A76)
    assert other == dataclasses.replace(count, macs=None)


def test_the_tree_has_debians_folders_and_the_core(tmp_path):
    for name in ("usr", "etc", "proc"):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "root/etc/passwd").touch()
    with Emulator(tmp_path).tree(A76) as tree:
        assert (tree / "proc/cpuinfo").read_text() == A76.cpuinfo
        assert (tree / "sys/devices/system/cpu/possible").read_text() == "0\n"
        assert (tree / "usr").resolve() == tmp_path / "root/usr"
        assert not (tree / "etc/passwd").exists()
    assert not tree.exists()


# -- the real machine ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Emulator:
    return arm_machine.emulator()


PINNED = {
    ("cortex-a76", "large", "none"): 91_480_000,
    ("cortex-a76", "large", "int8"): 40_873_000,
    ("cortex-a76", "small", "none"): 27_529_000,
    ("cortex-a76", "small", "int8"): 13_865_000,
    ("cortex-a53", "large", "none"): 139_973_000,
    ("cortex-a53", "large", "int8"): 100_419_000,
    ("cortex-a53", "small", "none"): 38_017_000,
    ("cortex-a53", "small", "int8"): 28_709_000,
}
"""Of ai-edge-litert 2.3.0, at 224x224."""
EXACT = 1e-4


@pytest.mark.slow
def test_the_papers_networks_take_what_they_took(real, tmp_path):
    """Another version of the runtime may take other counts, which this table is then to have."""
    assert installation.versions()["ai-edge-litert"] == "2.3.0"
    paths = {}
    for network in ("large", "small"):
        for quantize in skeleton.FASTEST:
            paths[network, quantize] = path = tmp_path / f"{network}_{quantize}"
            path.write_bytes(skeleton.network(resolve(network, resolution=224), quantize))
    for core in ("cortex-a76", "cortex-a53"):
        found = Counter(real).instructions(list(paths.values()), CORES[core])
        wanted = [PINNED[core, *key] for key in paths]
        assert found == pytest.approx(wanted, rel=EXACT)


@pytest.fixture
def networks(tmp_path) -> list[Path]:
    paths = [tmp_path / "float", tmp_path / "int8"]
    for path, quantize in zip(paths, ("none", "int8"), strict=True):
        path.write_bytes(skeleton.network(resolve("small", resolution=64), quantize))
    return paths


@pytest.mark.slow
def test_counts_do_not_depend_on_the_host(real, networks, tmp_path, monkeypatch):
    """Nor on what was counted before, on how often, or on where the machine lies."""
    whole = Counter(real, processes=1)
    expected = whole.instructions(networks, A76)
    again = whole.instructions([*networks[::-1], *networks], A76)
    assert again == pytest.approx([*expected[::-1], *expected], rel=EXACT)
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LONG", "x" * 10_000)
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "a folder of another name"
    other.symlink_to(real.folder)
    monkeypatch.setattr(subprocess, "run", on_one_core(subprocess.run))
    assert Counter(Emulator(other)).instructions(networks, A76) == pytest.approx(
        expected, rel=EXACT
    )


def on_one_core(run):
    def pinned(command, **options):
        return run(["taskset", "-c", "0", *command], **options)

    return pinned


@pytest.mark.slow
@pytest.mark.parametrize("delegate", [True, False])
def test_the_runtime_sees_nothing_of_the_hosts_processor(real, networks, delegate):
    """Whatever it opens under /proc and /sys is ours."""
    asked = {"paths": list(map(str, networks)), "delegate": delegate, "input_shape": None}
    done = real.run(A76, counting.GUEST, given=json.dumps(asked), options=("-strace",))
    assert done.returncode == 0
    opened = {line.split('"')[1] for line in done.stderr.splitlines() if "openat(" in line}
    looked_at = {path for path in opened if path.startswith(("/proc/", "/sys/", "/etc/"))}
    ours = {f"/{path}" for path in (*emulator.SEEN, "proc/cpuinfo")}
    assert "/proc/cpuinfo" in looked_at
    assert "/sys/devices/system/cpu/present" in looked_at
    assert looked_at <= ours
    assert "getcpu(" not in done.stderr


@pytest.mark.slow
def test_the_kernels_are_the_cores(real, networks):
    """Dot products halve int8 alone; cores of one kind differ by their kernels."""
    found = {
        name: Counter(real).instructions(networks, CORES[name])
        for name in ("cortex-a75", "cortex-a75-nodot", "kryo")
    }
    assert found["cortex-a75"][0] == pytest.approx(found["cortex-a75-nodot"][0], rel=EXACT)
    assert found["cortex-a75"][1] < 0.7 * found["cortex-a75-nodot"][1]
    assert found["kryo"][0] > 1.1 * found["cortex-a75"][0]
