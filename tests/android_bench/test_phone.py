"""Clusters and masks, from what real phones' kernels say."""

import pytest

from android_bench.phone import Phone, find_clusters
from mnv3_tf.errors import UserError

PIXEL_1 = {"clocks": (1593600,) * 2 + (2150400,) * 2, "capacities": (None,) * 4}
PIXEL_6 = {
    "clocks": (1803000,) * 4 + (2253000,) * 2 + (2802000,) * 2,
    "capacities": (160,) * 4 + (498,) * 2 + (1024,) * 2,
}
SAME_CLOCK = {"clocks": (2000000,) * 8, "capacities": (380,) * 4 + (1024,) * 4}


def phone(clocks: tuple[int, ...], capacities: tuple[int | None, ...]) -> Phone:
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
        (SAME_CLOCK, "big", "f0"),
    ],
)
def test_masks_name_the_cores_as_taskset_takes_them(facts, cores, mask) -> None:
    assert phone(**facts).mask(cores) == mask


def test_default_leaves_the_cores_to_the_scheduler() -> None:
    assert phone(**PIXEL_6).mask("default") is None


def test_two_kinds_of_cores_have_none_in_the_middle() -> None:
    with pytest.raises(UserError, match="2 kinds of cores and none in the middle"):
        phone(**PIXEL_1).mask("mid")


def test_a_mask_beyond_the_cores_is_refused() -> None:
    with pytest.raises(UserError, match="names no core of a phone; its cores are f"):
        phone(**PIXEL_1).mask("30")


def test_a_phone_that_tells_nothing_needs_a_mask() -> None:
    silent = Phone("serial", {"model": None}, find_clusters({0: {}, 1: {}}), None)
    assert silent.mask("f0") == "f0"
    with pytest.raises(UserError, match="does not say which cores are big"):
        silent.mask("big")


def test_the_identity_changes_with_the_system() -> None:
    one, other = (
        Phone("s", {"hardware_serial": "1A", "build": build}, (), None) for build in ("a", "b")
    )
    assert one.identity != other.identity
    assert one.identity == Phone("t", one.properties, (), None).identity
