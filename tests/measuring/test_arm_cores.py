"""Cores, phones and boards by name, and what the runtime is shown of them."""

import pytest
from refusals import refused

from mnv3_tf.measuring.arm import cores
from mnv3_tf.measuring.arm.cores import CORES, DEVICES, find, find_all


def told(core: str) -> dict[str, str]:
    lines = CORES[core].cpuinfo.splitlines()
    return {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }


def test_cpuinfo_is_linux_own():
    """As /proc/cpuinfo of a Raspberry Pi 5 says, whose Cortex-A76 is r4p1 there."""
    a76, kryo = told("cortex-a76"), told("kryo")
    assert a76["CPU implementer"] == "0x41"
    assert (a76["CPU part"], a76["CPU variant"], a76["CPU architecture"]) == ("0xd0b", "0x4", "8")
    assert (kryo["CPU implementer"], kryo["CPU part"]) == ("0x51", "0x205")
    assert a76["processor"] == "0"


@pytest.mark.parametrize("core", CORES)
def test_dot_products_are_shown_where_qemu_has_them(core):
    """cortex-a76 is the only one of qemu's that are used here with dot products."""
    assert CORES[core].dot == ("asimddp" in told(core)["Features"].split())
    assert CORES[core].dot == (CORES[core].qemu == "cortex-a76")
    assert not CORES[core].dot or "nodot" not in core


def test_a_phone_is_its_core_at_its_clock():
    pixel = find("arm:pixel4")
    assert (pixel.core.name, pixel.ghz) == ("cortex-a76", 2.84)
    assert find("arm:pixel4:little").core.name == "cortex-a55"
    assert pixel.title == "arm:pixel4 (cortex-a76, 2.84 GHz)"
    assert find("arm:cortex-a53").title == "arm:cortex-a53 (1.9 GHz)"


def test_every_core_is_a_device_and_says_what_is_assumed():
    assert set(CORES) <= set(DEVICES)
    assert all(device.assumed and 1 < device.ghz < 3 for device in DEVICES.values())


@pytest.mark.parametrize("name", ["arm:pixel9000", "arm:", "pixel4"])
def test_an_unknown_name_is_told_all_others(name):
    with refused(f"--device={name} is no ARM core") as sentence:
        find(name)
    assert "cortex-a76" in str(sentence.value)
    assert "rpi4" in str(sentence.value)


def test_no_device_is_refused():
    with refused("No ARM core is named"):
        find_all([])
    assert cores.is_arm("arm:pixel1")
    assert not cores.is_arm("host")
