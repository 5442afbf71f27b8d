"""Which runs are set aside, and for which reason."""

from dataclasses import replace

import pytest

from mnv3_tf.measuring.phone import outliers
from mnv3_tf.measuring.phone.state import PhoneState

UNKNOWN = PhoneState(*[None] * 8, residence={})
QUIET = replace(UNKNOWN, thermal_status=0, allowed_khz=2802000, charging=True, screen_on=False)


def test_a_quiet_run_counts() -> None:
    assert outliers.spoiled(QUIET, QUIET, 2802000) is None


def test_what_cannot_be_read_spoils_nothing() -> None:
    assert outliers.spoiled(UNKNOWN, UNKNOWN, None) is None


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ({"thermal_status": 2}, "thermal status 2 after the run"),
        ({"thermal_status": 1}, "thermal status 1 after the run"),
        ({"allowed_khz": 2252000}, "clock limited to 2252 MHz after the run"),
        ({"allowed_khz": 2661899}, "clock limited to 2662 MHz after the run"),
        ({"allowed_khz": 2661900}, None),  # 95 %
        ({"charging": False}, "charging began or ended during the run"),
        ({"screen_on": True}, "the screen was switched during the run"),
    ],
)
def test_what_happens_to_the_phone_sets_a_run_aside(after, reason) -> None:
    disturbed = replace(QUIET, **after)
    assert outliers.spoiled(QUIET, disturbed, 2802000) == reason
    expected = reason and reason.replace("after", "before")
    assert outliers.spoiled(disturbed, QUIET, 2802000) == expected


def test_a_run_far_slower_than_the_others_is_set_aside() -> None:
    assert "2.00 times the median" in outliers.far_off(200, [100, 99, 101, 100])
    assert outliers.far_off(125.1, [100, 99, 101, 100]) is not None
    assert outliers.far_off(125, [100, 99, 101, 100]) is None
    # By the median: one that was slow before makes the next no better.
    assert "1.30 times" in outliers.far_off(130, [100, 99, 101, 100, 900])


def test_faster_runs_and_the_first_few_are_never_set_aside() -> None:
    assert outliers.far_off(50, [100, 99, 101, 100]) is None
    assert outliers.far_off(200, [100, 99, 101]) is None
