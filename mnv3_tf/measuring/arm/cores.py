"""The ARM cores that can be modelled, and the phones and boards that have them.

The runtime chooses its kernels by implementer, part and variant in /proc/cpuinfo and by the
instruction sets that the processor offers. So a core is a text of /proc/cpuinfo and one of qemu's
processors that agrees with it about instruction sets: without the latter's consent the process
dies of an illegal instruction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mnv3_tf.errors import UserError

PREFIX = "arm:"
DEVICE = (
    "Where files are timed: host, a phone's serial, or arm: and a core, such as arm:cortex-a76."
)
"""What a flag says that takes any device."""
V8_0 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
V8_2 = f"{V8_0} atomics fphp asimdhp asimdrdm lrcpc dcpop"
ARM, QUALCOMM, SAMSUNG = 0x41, 0x51, 0x53

Kind = Literal["big", "little"]


@dataclass(frozen=True)
class Core:
    """`variant` and `revision` are the r and p of a processor's rNpM; `qemu` is its -cpu.

    `dot` says whether it has the dot products of ARMv8.2, which int8 gains most by.
    """

    name: str
    kind: Kind
    part: int
    variant: int = 0
    revision: int = 0
    dot: bool = False
    implementer: int = ARM
    qemu: str = "cortex-a72"

    @property
    def cpuinfo(self) -> str:
        """The /proc/cpuinfo of a computer with this core alone.

        One core, since kernels and packing follow the big one of a phone, and no inference of one
        thread moves.
        """
        features = f"{V8_2} asimddp" if self.dot else V8_0
        return (
            "processor\t: 0\nBogoMIPS\t: 38.40\n"
            f"Features\t: {features}\n"
            f"CPU implementer\t: {self.implementer:#04x}\n"
            "CPU architecture: 8\n"
            f"CPU variant\t: {self.variant:#x}\n"
            f"CPU part\t: {self.part:#05x}\n"
            f"CPU revision\t: {self.revision}\n"
        )


_DOT = "cortex-a76"  # the one of qemu's that has dot products and no more than these cores have

CORES: Mapping[str, Core] = {
    core.name: core
    for core in (
        Core("cortex-a53", "little", 0xD03, revision=4, qemu="cortex-a53"),
        Core("cortex-a55", "little", 0xD05, variant=1, dot=True, qemu=_DOT),
        Core("cortex-a55-nodot", "little", 0xD05),
        Core("cortex-a72", "big", 0xD08, revision=3),
        Core("cortex-a73", "big", 0xD09, revision=2),
        Core("cortex-a75", "big", 0xD0A, variant=3, dot=True, qemu=_DOT),
        Core("cortex-a75-nodot", "big", 0xD0A, variant=1),
        Core("cortex-a76", "big", 0xD0B, variant=4, dot=True, qemu=_DOT),
        Core("cortex-a77", "big", 0xD0D, variant=1, dot=True, qemu=_DOT),
        Core("cortex-a78", "big", 0xD41, variant=1, dot=True, qemu=_DOT),
        Core("cortex-x1", "big", 0xD44, variant=1, dot=True, qemu=_DOT),
        Core("kryo", "big", 0x205, variant=2, revision=1, implementer=QUALCOMM),
        Core("exynos-m4", "big", 0x003, variant=1, dot=True, implementer=SAMSUNG, qemu=_DOT),
    )
}
"""The kernels of the variants "-nodot" are those of the core's first phones."""


@dataclass(frozen=True)
class Device:
    """A core at a clock; `assumed` is what is taken for granted of a phone or board."""

    name: str
    core: Core
    ghz: float
    assumed: str

    @property
    def flag(self) -> str:
        """What to type for it."""
        return PREFIX + self.name

    @property
    def title(self) -> str:
        """ "arm:pixel4 (cortex-a76, 2.84 GHz)"."""
        core = "" if self.name == self.core.name else f"{self.core.name}, "
        return f"{self.flag} ({core}{self.ghz:g} GHz)"


def _devices() -> dict[str, Device]:
    phones = (
        ("pixel1", "kryo", 2.15, "Snapdragon 821, a Kryo core of the faster pair"),
        ("pixel2", "cortex-a73", 2.36, "Snapdragon 835, Kryo 280 Gold"),
        ("pixel2:little", "cortex-a53", 1.9, "Snapdragon 835, Kryo 280 Silver"),
        ("pixel3", "cortex-a75-nodot", 2.8, "Snapdragon 845, Kryo 385 Gold, no dot products"),
        ("pixel3:little", "cortex-a55-nodot", 1.77, "Snapdragon 845, Kryo 385 Silver, the same"),
        ("pixel3a", "cortex-a75-nodot", 2.0, "Snapdragon 670, Kryo 360 Gold, no dot products"),
        ("pixel3a:little", "cortex-a55-nodot", 1.7, "Snapdragon 670, Kryo 360 Silver, the same"),
        ("pixel4", "cortex-a76", 2.84, "Snapdragon 855, the one prime core (Kryo 485)"),
        ("pixel4:middle", "cortex-a76", 2.42, "Snapdragon 855, Kryo 485 Gold"),
        ("pixel4:little", "cortex-a55", 1.78, "Snapdragon 855, Kryo 485 Silver"),
        ("pixel5", "cortex-a76", 2.4, "Snapdragon 765G, the one prime core (Kryo 475)"),
        ("pixel5:little", "cortex-a55", 1.8, "Snapdragon 765G, Kryo 475 Silver"),
        ("pixel6", "cortex-x1", 2.8, "Tensor G1"),
        ("pixel6:middle", "cortex-a76", 2.25, "Tensor G1"),
        ("pixel6:little", "cortex-a55", 1.8, "Tensor G1"),
        ("rpi3", "cortex-a53", 1.4, "Raspberry Pi 3 B+, a 64-bit system"),
        ("rpi4", "cortex-a72", 1.5, "Raspberry Pi 4 B as first sold, a 64-bit system"),
        ("rpi5", "cortex-a76", 2.4, "Raspberry Pi 5"),
    )
    clocks = {
        "cortex-a53": (1.9, "pixel2:little"),
        "cortex-a55": (1.78, "pixel4:little"),
        "cortex-a55-nodot": (1.77, "pixel3:little"),
        "cortex-a72": (1.5, "rpi4"),
        "cortex-a73": (2.36, "pixel2"),
        "cortex-a75": (2.8, "pixel3"),
        "cortex-a75-nodot": (2.8, "pixel3"),
        "cortex-a76": (2.84, "pixel4"),
        "cortex-a77": (2.84, "Snapdragon 865's prime core"),
        "cortex-a78": (2.84, "Snapdragon 888's middle cores at the prime one's clock"),
        "cortex-x1": (2.8, "pixel6"),
        "kryo": (2.15, "pixel1"),
        "exynos-m4": (2.73, "the Galaxy S10 with Exynos 9820"),
    }
    cores = (
        Device(name, core, clocks[name][0], f"the clock of {clocks[name][1]}")
        for name, core in CORES.items()
    )
    named = (Device(name, CORES[core], ghz, assumed) for name, core, ghz, assumed in phones)
    return {device.name: device for device in (*cores, *named)}


DEVICES: Mapping[str, Device] = _devices()
"""By what follows "arm:": the cores themselves, each at a clock that it is sold with, then phones
and boards. A phone is its biggest core unless ":middle" or ":little" says otherwise, at full clock
and cool."""


def is_arm(device: str) -> bool:
    return device.startswith(PREFIX)


def find(device: str) -> Device:
    """The device of "arm:pixel4"; raises UserError for a name that nobody has."""
    found = DEVICES.get(device.removeprefix(PREFIX))
    if not is_arm(device) or found is None:
        raise UserError(f"--device={device} is no ARM core; give arm: and {', '.join(DEVICES)}.")
    return found


def find_all(devices: Sequence[str]) -> list[Device]:
    """Each of them, as `find`; raises UserError for none."""
    if not devices:
        raise UserError("No ARM core is named; give --device=arm:cortex-a76, or several.")
    return [find(device) for device in devices]
