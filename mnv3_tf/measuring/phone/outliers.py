"""Which runs count. Every run is kept; one that the phone spoiled is set aside, with the reason.

The rules look at the phone first. Slowness alone sets a run aside only if it is far from most
other runs of the same configuration, and never more than a few of them: what is slow every
second time is how the model behaves.
"""

import statistics
from collections.abc import Sequence

from mnv3_tf.measuring.phone.state import PhoneState

FAR = 1.25
"""Times the median of the configuration's runs."""

CLOCK_PART = 0.95
"""Of the clock that was allowed at first; below, the phone has throttled."""

FEWEST = 4
ATTEMPTS = 3
"""How often a round is tried before its last run stands as it is."""


def spoiled(before: PhoneState, after: PhoneState, first_allowed_khz: int | None) -> str | None:
    """Why the phone was not fit during a run, or None."""
    for when, state in (("before", before), ("after", after)):
        if state.thermal_status:
            return f"thermal status {state.thermal_status} {when} the run"
        allowed = state.allowed_khz
        if first_allowed_khz and allowed and allowed < CLOCK_PART * first_allowed_khz:
            return f"clock limited to {allowed / 1e3:.0f} MHz {when} the run"
    if before.charging != after.charging:
        return "charging began or ended during the run"
    if before.screen_on != after.screen_on:
        return "the screen was switched during the run"
    return None


def far_off(microseconds: float, others: Sequence[float]) -> str | None:
    """Whether a run is far slower than the other good runs of its configuration."""
    if len(others) < FEWEST:
        return None
    middle = statistics.median(others)
    if microseconds <= FAR * middle:
        return None
    return f"{microseconds / middle:.2f} times the median of the other runs; something interfered"
