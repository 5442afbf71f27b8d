"""This computer: what it is, how busy, and where results say that they were measured."""

import os
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import NotRequired, Required, TypedDict


class Machine(TypedDict, total=False):
    """A computer, as far as it is known; loads are the system's averages over 1, 5, 15 minutes."""

    cpu: Required[str]
    cores: int | None
    usable_cores: int | None
    load_before: list[float]
    load_after: list[float]
    clock_mhz: float | None
    platform: str
    versions: dict[str, str]


class Made(TypedDict):
    """What results of this computer say of themselves; `command` measures them again."""

    command: str
    date: str
    machine: Machine


class Conditions(TypedDict):
    """Of what the figures of a timer are: a computer's, or those of a phone's `build` and cores.

    `counted` says by what instructions became microseconds, where they were.
    """

    device: str
    threads: int
    delegate: str
    runtime: str
    rounds: int
    build: NotRequired[str | None]
    mask: NotRequired[str | None]
    counted: NotRequired[str]


def made_by(command: str, load_before: Sequence[float]) -> Made:
    """Just now, by this command on this computer."""
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(load_before),
    }


def describe_machine(load_before: Sequence[float]) -> Machine:
    packages = ("ai-edge-litert", "numpy")
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load_before": list(load_before),
        "load_after": list(os.getloadavg()),
        "clock_mhz": _clock_mhz(),
        "platform": platform.platform(),
        "versions": {"python": platform.python_version()}
        | {package: metadata.version(package) for package in packages},
    }


def cores_in_use(seconds: float = 0.5) -> float:
    """How many cores' worth of work others are doing, watched for a moment.

    The load average would still count what this process itself did a minute ago. Where the
    system does not tell, the load average it is.
    """
    before = _idle_seconds()
    time.sleep(seconds)
    after = _idle_seconds()
    if before is None or after is None:
        return os.getloadavg()[0]
    return max(0.0, (os.cpu_count() or 1) - (after - before) / seconds)


def _idle_seconds() -> float | None:
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def _cpu_name() -> str:
    names = _cpu_facts("model name")
    return names[0] if names else platform.processor() or platform.machine()


def _clock_mhz() -> float | None:
    """The fastest core's clock right after the measurement; a virtual machine may not know it."""
    return max(map(float, _cpu_facts("cpu MHz")), default=None)


def _cpu_facts(name: str) -> list[str]:
    """Of each core, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return [line.split(":", 1)[1].strip() for line in lines if line.startswith(name)]
