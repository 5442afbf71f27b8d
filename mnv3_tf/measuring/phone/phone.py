"""What a phone is: its model, its Android, its clusters of cores. Nothing here changes it.

Each fact is optional: where the phone does not let the shell user read it, it is None.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypedDict, cast

from mnv3_tf.errors import UserError
from mnv3_tf.measuring.phone.adb import Adb

PROPERTIES = {
    "model": "ro.product.model",
    "manufacturer": "ro.product.manufacturer",
    "soc": "ro.soc.model",
    "soc_maker": "ro.soc.manufacturer",
    "board": "ro.board.platform",
    "abi": "ro.product.cpu.abi",
    "android": "ro.build.version.release",
    "sdk": "ro.build.version.sdk",
    "build": "ro.build.fingerprint",
    "hardware_serial": "ro.serialno",
}
CPU = "/sys/devices/system/cpu/cpu"
CPU_FACTS = ("cpu_capacity", "cpufreq/cpuinfo_max_freq", "cpufreq/scaling_governor")


class ClusterFacts(TypedDict):
    """`Cluster`, as results have it."""

    cpus: list[int]
    capacity: int | None
    max_khz: int | None
    governor: str | None
    mask: str


class PhoneFacts(TypedDict):
    """`Phone`, as results have it; these are all PROPERTIES that are shown."""

    serial: str
    model: str | None
    manufacturer: str | None
    soc: str | None
    soc_maker: str | None
    abi: str | None
    android: str | None
    build: str | None
    memory_mb: int | None
    clusters: list[ClusterFacts]


@dataclass(frozen=True)
class Cluster:
    """Cores of one kind. `capacity` is the kernel's, 1024 for the fastest; `max_khz` the clock."""

    cpus: tuple[int, ...]
    capacity: int | None
    max_khz: int | None
    governor: str | None

    @property
    def mask(self) -> str:
        """As taskset takes it: hexadecimal, without 0x."""
        return f"{sum(1 << cpu for cpu in self.cpus):x}"


@dataclass(frozen=True)
class Phone:
    """Clusters from the slowest to the fastest; none where the phone does not tell."""

    serial: str
    properties: Mapping[str, str | None]
    clusters: tuple[Cluster, ...]
    memory_mb: int | None

    @property
    def name(self) -> str:
        return self.properties["model"] or self.serial

    @property
    def identity(self) -> str:
        """What stays when the phone is plugged in elsewhere, and changes with its system."""
        own = self.properties["hardware_serial"] or self.serial
        return f"{own} {self.properties['build'] or 'unknown build'}"

    def mask(self, cores: str) -> str | None:
        """--cores=big, mid, little, a hexadecimal mask, or default (None: the scheduler's choice).

        Raises UserError where the phone has no such cores.
        """
        if cores == "default":
            return None
        if cores not in ("big", "mid", "little"):
            return self._checked(cores)
        if not self.clusters:
            raise UserError(
                f"{self.serial} does not say which cores are {cores}; give --cores=MASK, "
                "such as f0, or --cores=default."
            )
        if cores == "big":
            return self.clusters[-1].mask
        if cores == "little":
            return self.clusters[0].mask
        between = self.clusters[1:-1]
        if not between:
            raise UserError(
                f"{self.name} has {len(self.clusters)} kinds of cores and none in the middle; "
                "give --cores=big or --cores=little."
            )
        return between[-1].mask

    def _checked(self, mask: str) -> str:
        known = sum(1 << cpu for cluster in self.clusters for cpu in cluster.cpus)
        if known and not int(mask, 16) & known:
            raise UserError(
                f"--cores={mask} names no core of {self.name}; its cores are {known:x}."
            )
        return mask.lower()

    def describe(self) -> PhoneFacts:
        facts = {
            "serial": self.serial,
            **self.properties,
            "memory_mb": self.memory_mb,
            "clusters": [asdict(c) | {"mask": c.mask} for c in self.clusters],
        }
        return cast(PhoneFacts, facts)


def look_at(adb: Adb) -> Phone:
    """Raises PhoneError where the phone does not answer."""
    properties = {
        name: adb.shell("getprop", key).stdout.strip() or None for name, key in PROPERTIES.items()
    }
    memory = re.search(r"MemTotal:\s*(\d+) kB", adb.shell("cat", "/proc/meminfo").stdout)
    return Phone(
        serial=adb.serial,
        properties=properties,
        clusters=find_clusters(read_cores(adb)),
        memory_mb=int(memory[1]) // 1024 if memory else None,
    )


def read_cores(adb: Adb) -> dict[int, dict[str, str]]:
    """For each core what of `CPU_FACTS` could be read."""
    return {
        cpu: {fact: text for fact, text in facts.items() if fact in CPU_FACTS}
        for cpu, facts in read_cpu_files(adb, CPU_FACTS).items()
    }


def read_cpu_files(adb: Adb, names: tuple[str, ...]) -> dict[int, dict[str, str]]:
    """One-line files under each core's folder; those that are denied or absent are left out."""
    wanted = " ".join(f"{CPU}[0-9]*/{name}" for name in names)
    lines = adb.script(f"grep -H . {wanted} 2>/dev/null").stdout.splitlines()
    cores: dict[int, dict[str, str]] = {}
    for line in lines:
        match = re.match(rf"{CPU}(\d+)/([^:]+):(.*)", line)
        if match:
            cores.setdefault(int(match[1]), {})[match[2]] = match[3].strip()
    return cores


def find_clusters(cores: Mapping[int, Mapping[str, str]]) -> tuple[Cluster, ...]:
    """Cores of the same capacity and clock belong together.

    Two kinds of cores may share a clock, so the capacity counts first; old kernels have none.
    """

    def number(cpu: int, fact: str) -> int | None:
        text = cores[cpu].get(fact, "")
        return int(text) if text.isdigit() else None

    kinds: dict[tuple[int, int], list[int]] = {}
    for cpu in sorted(cores):
        capacity, clock = number(cpu, CPU_FACTS[0]), number(cpu, CPU_FACTS[1])
        if capacity is None and clock is None:
            return ()
        kinds.setdefault((capacity or 0, clock or 0), []).append(cpu)
    return tuple(
        Cluster(
            cpus=tuple(cpus),
            capacity=capacity or None,
            max_khz=clock or None,
            governor=cores[cpus[0]].get(CPU_FACTS[2]),
        )
        for (capacity, clock), cpus in sorted(kinds.items())
    )
