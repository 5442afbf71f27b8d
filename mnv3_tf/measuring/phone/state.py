"""How a phone is at this moment: its heat, its clocks, its battery and screen.

Read before and after each run, so that a number is known to be of a phone at rest. Each fact is
optional: None where the phone does not tell.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mnv3_tf.measuring.phone.adb import Adb
from mnv3_tf.measuring.phone.phone import read_cpu_files

CLOCKS = ("cpufreq/scaling_cur_freq", "cpufreq/scaling_max_freq", "cpufreq/stats/time_in_state")
SKIN = "3"
"""The type of skin temperatures in Android's HAL (Temperature.aidl)."""

POLL_S = 5.0
WARMER_C = 2.0
"""How far above the first temperature still counts as cool."""


@dataclass(frozen=True)
class PhoneState:
    """`thermal_status`: Android's, 0 (none) to 6 (shutdown). Clocks are of the cores measured.

    `allowed_khz` is the clock up to which the system lets them go: it falls when the phone
    throttles. `residence` is the time that they spent at each clock since the phone started,
    {kHz: hundredths of a second}.
    """

    thermal_status: int | None
    celsius: float | None
    battery_percent: int | None
    charging: bool | None
    screen_on: bool | None
    free_mb: int | None
    current_khz: int | None
    allowed_khz: int | None
    residence: dict[int, int]


def look(adb: Adb, cpus: Sequence[int]) -> PhoneState:
    """Raises PhoneError where the phone does not answer; what is denied is None."""
    text = adb.script(
        "dumpsys thermalservice 2>/dev/null; echo; dumpsys battery 2>/dev/null; echo; "
        "dumpsys power 2>/dev/null | grep mWakefulness=; cat /proc/meminfo 2>/dev/null"
    ).stdout
    clocks = read_cpu_files(adb, CLOCKS[:2])
    chosen = [clocks[cpu] for cpu in cpus if cpu in clocks]
    return PhoneState(
        thermal_status=_integer(r"Thermal Status: (\d+)", text),
        celsius=_celsius(text),
        battery_percent=_integer(r"^\s*level: (\d+)", text),
        charging=_found(r"^\s*(?:AC|USB|Wireless|Dock) powered: (true)", text)
        if "powered:" in text
        else None,
        screen_on=_found(r"mWakefulness=(Awake)", text) if "mWakefulness=" in text else None,
        free_mb=_in_mb(_integer(r"MemAvailable:\s*(\d+) kB", text)),
        current_khz=_highest(chosen, CLOCKS[0]),
        allowed_khz=_highest(chosen, CLOCKS[1]),
        residence=_residence(adb, cpus),
    )


def mean_khz(before: PhoneState, after: PhoneState) -> float | None:
    """The mean clock between two looks, from the time spent at each; None where not told.

    Time at rest counts at the clock that the core was left at.
    """
    spent = {khz: after.residence[khz] - before.residence.get(khz, 0) for khz in after.residence}
    total = sum(spent.values())
    return sum(khz * ticks for khz, ticks in spent.items()) / total if total > 0 else None


def is_cool(now: PhoneState, first: PhoneState) -> bool:
    """No throttling, and near the temperature at which the measurement began."""
    if now.thermal_status:
        return False
    if now.celsius is None or first.celsius is None:
        return True
    return now.celsius <= first.celsius + WARMER_C


def describe_heat(state: PhoneState) -> str:
    celsius = "unknown temperature" if state.celsius is None else f"{state.celsius:.1f} °C"
    return celsius + f", thermal status {state.thermal_status}" * bool(state.thermal_status)


def wait_until_cool(
    look: Callable[[], PhoneState],
    first: PhoneState,
    limit_s: float,
    pause: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[PhoneState, float]:
    """The state when the phone was cool, or when the limit passed; and the seconds waited."""
    began = clock()
    while True:
        state = look()
        waited = clock() - began
        if is_cool(state, first) or waited >= limit_s:
            return state, waited
        pause(min(POLL_S, limit_s - waited))


def _residence(adb: Adb, cpus: Sequence[int]) -> dict[int, int]:
    if not cpus:
        return {}
    folder = f"/sys/devices/system/cpu/cpu{cpus[0]}/cpufreq"
    lines = adb.script(f"cat {folder}/stats/time_in_state 2>/dev/null").stdout.splitlines()
    pairs = (line.split() for line in lines)
    return {int(p[0]): int(p[1]) for p in pairs if len(p) == 2 and p[0].isdigit()}


def _celsius(text: str) -> float | None:
    """The skin's temperature, by which Android throttles; the battery's where that is denied."""
    skin = [
        float(value)
        for value, kind in re.findall(r"Temperature\{mValue=([-\d.]+), mType=(\d+)", text)
        if kind == SKIN
    ]
    if skin:
        return max(skin)
    battery = _integer(r"^\s*temperature: (-?\d+)", text)
    return None if battery is None else battery / 10


def _integer(pattern: str, text: str) -> int | None:
    match = re.search(pattern, text, re.MULTILINE)
    return int(match[1]) if match else None


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.MULTILINE) is not None


def _in_mb(kilobytes: int | None) -> int | None:
    return None if kilobytes is None else kilobytes // 1024


def _highest(cores: Sequence[dict[str, str]], name: str) -> int | None:
    values = [int(core[name]) for core in cores if core.get(name, "").isdigit()]
    return max(values, default=None)
