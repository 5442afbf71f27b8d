"""How a phone is at a moment: what its own programs say, its mean clock, and when it is cool."""

from dataclasses import replace

import pytest
from phones.fake_phone import Clock

from mnv3_tf.measuring.phone import state
from mnv3_tf.measuring.phone.state import PhoneState

REST = PhoneState(
    thermal_status=0,
    celsius=25.0,
    battery_percent=87,
    charging=True,
    screen_on=False,
    free_mb=4005,
    current_khz=2802000,
    allowed_khz=2802000,
    residence={},
)


def test_it_is_read_of_the_cores_that_are_measured(phone) -> None:
    phone.celsius, phone.charging, phone.screen_on = 31.0, False, True
    phone.clock.wait(0.5)
    cool = phone.celsius
    seen = state.look(phone.adb(), [3, 4])  # of two kinds: the faster counts, if it is told
    assert seen == replace(
        REST,
        celsius=pytest.approx(cool, abs=0.06),
        charging=False,
        screen_on=True,
        current_khz=1126500,
        allowed_khz=2253000,
        residence={300000: 100, 1803000: 50},
    )


def test_without_the_skins_temperature_the_batterys_counts(phone) -> None:
    phone.deny("thermalservice")
    phone.celsius = 31.0
    seen = state.look(phone.adb(), [])
    assert (seen.celsius, seen.thermal_status, seen.residence) == (31.0, None, {})


def test_the_mean_clock_is_of_the_time_between_two_looks() -> None:
    before = replace(REST, residence={300000: 100, 1000000: 50})
    after = replace(REST, residence={300000: 100, 1000000: 80, 2000000: 10})
    assert state.mean_khz(before, after) == (30 * 1000000 + 10 * 2000000) / 40
    assert state.mean_khz(before, before) is None
    assert state.mean_khz(REST, REST) is None


@pytest.mark.parametrize(
    ("now", "cool"),
    [
        ({"celsius": 27.0}, True),
        ({"celsius": 27.1}, False),
        ({"celsius": 20.0}, True),
        ({"celsius": None}, True),
        ({"thermal_status": 1}, False),
        ({"thermal_status": 1, "celsius": None}, False),
        ({"thermal_status": None}, True),
    ],
)
def test_what_counts_as_cool(now, cool) -> None:
    assert state.is_cool(replace(REST, **now), REST) is cool
    assert state.is_cool(replace(REST, **now), replace(REST, celsius=None)) is (
        not now.get("thermal_status")
    )


@pytest.mark.parametrize(
    ("cooling", "limit_s", "waited_s"),
    [([25.0], 60.0, 0.0), ([30.0, 28.0, 27.0], 60.0, 10.0), ([30.0] * 9, 12.0, 12.0)],
)
def test_it_is_waited_for_but_not_for_ever(cooling, limit_s, waited_s) -> None:
    clock, seen = Clock(), iter([replace(REST, celsius=celsius) for celsius in cooling])
    now, waited = state.wait_until_cool(lambda: next(seen), REST, limit_s, clock.wait, clock.now)
    assert (waited, clock.now()) == (waited_s, waited_s)
    assert now.celsius == cooling[min(len(cooling), 4) - 1]


def test_heat_in_words() -> None:
    assert state.describe_heat(REST) == "25.0 °C"
    assert state.describe_heat(replace(REST, celsius=None)) == "unknown temperature"
    assert state.describe_heat(replace(REST, thermal_status=2)) == "25.0 °C, thermal status 2"
