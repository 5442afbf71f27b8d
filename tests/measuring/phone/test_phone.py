"""Clusters and masks, from what real phones' kernels say."""

import pytest
from refusals import refused

from mnv3_tf.measuring.phone.phone import Cluster, Phone, find_clusters, look_at

PIXEL_1 = {"clocks": (1593600,) * 2 + (2150400,) * 2, "capacities": (None,) * 4}
PIXEL_6 = {
    "clocks": (1803000,) * 4 + (2253000,) * 2 + (2802000,) * 2,
    "capacities": (160,) * 4 + (498,) * 2 + (1024,) * 2,
}
FOUR_KINDS = {"clocks": (1000000, 1500000, 2000000, 2500000), "capacities": (None,) * 4}
SAME_CLOCK = {"clocks": (2000000,) * 8, "capacities": (380,) * 4 + (1024,) * 4}


def with_cores(clocks: tuple[int, ...], capacities: tuple[int | None, ...]) -> Phone:
    cores = {}
    for cpu, (clock, capacity) in enumerate(zip(clocks, capacities, strict=True)):
        cores[cpu] = {"cpufreq/cpuinfo_max_freq": str(clock)}
        if capacity is not None:
            cores[cpu]["cpu_capacity"] = str(capacity)
    properties = {"model": "a phone", "hardware_serial": None, "build": "b"}
    return Phone("serial", properties, find_clusters(cores), 8000)


@pytest.mark.parametrize(
    ("facts", "cores", "mask"),
    [
        (PIXEL_6, "big", "c0"),
        (PIXEL_6, "mid", "30"),
        (PIXEL_6, "little", "f"),
        (PIXEL_6, "40", "40"),
        (PIXEL_6, "F0", "f0"),
        (PIXEL_1, "big", "c"),
        (PIXEL_1, "little", "3"),
        (FOUR_KINDS, "mid", "4"),
        (SAME_CLOCK, "big", "f0"),
    ],
)
def test_masks_name_the_cores_as_taskset_takes_them(facts, cores, mask) -> None:
    assert with_cores(**facts).mask(cores) == mask


def test_default_leaves_the_cores_to_the_scheduler() -> None:
    assert with_cores(**PIXEL_6).mask("default") is None


def test_two_kinds_of_cores_have_none_in_the_middle() -> None:
    with refused("2 kinds of cores and none in the middle"):
        with_cores(**PIXEL_1).mask("mid")


def test_a_mask_beyond_the_cores_is_refused() -> None:
    with refused("names no core of a phone; its cores are f"):
        with_cores(**PIXEL_1).mask("30")


def test_a_phone_that_tells_nothing_needs_a_mask() -> None:
    silent = Phone("serial", {"model": None}, find_clusters({0: {}, 1: {}}), None)
    assert silent.mask("f0") == "f0"
    with refused("does not say which cores are big"):
        silent.mask("big")


def test_the_identity_changes_with_the_system() -> None:
    one, other = (
        Phone("s", {"hardware_serial": "1A", "build": build}, (), None) for build in ("a", "b")
    )
    assert one.identity != other.identity
    assert one.identity == Phone("t", one.properties, (), None).identity == "1A a"
    silent = Phone("t", {"hardware_serial": None, "build": None}, (), None)
    assert silent.identity == "t unknown build"


def test_clusters_are_told_from_the_slowest_to_the_fastest() -> None:
    cores = {
        0: {"cpufreq/cpuinfo_max_freq": "2802000", "cpufreq/scaling_governor": "walt"},
        2: {"cpufreq/cpuinfo_max_freq": "1803000"},
        1: {"cpufreq/cpuinfo_max_freq": "1803000"},
    }
    assert find_clusters(cores) == (
        Cluster((1, 2), None, 1803000, None),
        Cluster((0,), None, 2802000, "walt"),
    )
    assert find_clusters(cores | {3: {}}) == ()


def test_a_phone_is_read_in_full(phone) -> None:
    found = look_at(phone.adb())
    assert found.properties == {
        "model": "Pixel 6",
        "manufacturer": "Google",
        "soc": "GS101",
        "soc_maker": "Google",
        "board": "gs101",
        "abi": "arm64-v8a",
        "android": "13",
        "sdk": "33",
        "build": phone.properties["ro.build.fingerprint"],
        "hardware_serial": None,
    }
    assert (found.serial, found.name, found.memory_mb) == (phone.serial, "Pixel 6", 7456)
    assert [(c.mask, c.governor) for c in found.clusters] == [
        (mask, "sched_pixel") for mask in ("f", "30", "c0")
    ]
