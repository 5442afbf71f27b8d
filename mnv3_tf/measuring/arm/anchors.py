"""Published latencies on ARM cores, each with what is counted of the same network there.

published.csv has the measurements of others with their sources, counts.csv what we counted of the
networks. XNNPACK's are from its README and commit messages; the built-in kernels' from USC's
mobile-ml-benchmark (TFLite 2.10), whose kernels are inferred from what fits, not documented.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mnv3_tf.files import atomic_write
from mnv3_tf.measuring.arm.cores import CORES, Core
from mnv3_tf.measuring.arm.counting import Counter
from mnv3_tf.networks.blocks import InvertedResidual, Stem
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.tflite import skeleton
from mnv3_tf.tflite.skeleton import Precision

HERE = Path(__file__).parent
PUBLISHED, COUNTS = HERE / "published.csv", HERE / "counts.csv"
XNNPACK, BUILTIN = "xnnpack", "builtin"


def mobilenet_v1(width: float = 1.0, resolution: int = 224) -> NetworkSpec:
    """Howard et al. 2017, Table 1, to be counted: a ReLU6 after a 1x1 convolution costs nothing,
    since kernels clamp whether or not they are asked to, and is left out.
    """
    filters, channels = (64, *[128] * 2, *[256] * 2, *[512] * 6, *[1024] * 2), 32
    blocks = []
    for number, wider in enumerate(filters):
        stride = 2 if number in (1, 3, 5, 11) else 1
        blocks.append(InvertedResidual(3, channels, wider, 0.0, "relu6", stride, skip=False))
        channels = wider
    spec = NetworkSpec(
        name="v1",
        stem=Stem(filters=32, activation="relu6"),
        blocks=tuple(blocks),
        last_conv=0,
        hidden=0,
        last_activation="relu6",
    )
    return spec.with_width(width).replace(resolution=resolution)


@dataclass(frozen=True)
class Network:
    """A file to count: `quantize` is "none" or "int8", `runtime` whose kernels run it."""

    family: str
    width: float
    resolution: int
    quantize: Precision
    runtime: str

    @property
    def name(self) -> str:
        return f"{self.family} {self.width:g} {self.resolution}"

    @cached_property
    def content(self) -> bytes:
        """The .tflite; in int8 each runtime's as its own users have it."""
        if self.family == "v1":
            spec = mobilenet_v1(self.width, self.resolution)
        else:
            spec = resolve(self.family, self.width, self.resolution)
        return skeleton.network(spec, self.quantize, None if self.runtime == XNNPACK else "fused")


@dataclass(frozen=True)
class Published:
    """A measurement: `ms` of an inference on one core of a phone, at `ghz`."""

    network: Network
    core: Core
    phone: str
    ghz: float
    ms: float
    source: str


@dataclass(frozen=True)
class Point:
    """One that the constants are fitted to, with what was counted."""

    published: Published
    instructions: int
    weight_bytes: int
    macs: int


def published() -> list[Published]:
    with PUBLISHED.open(newline="") as file:
        return [_published(row) for row in csv.DictReader(file)]


def _published(row: Mapping[str, str]) -> Published:
    quantize: Precision = "int8" if row["quantize"] == "int8" else "none"
    network = Network(
        row["network"], float(row["width"]), int(row["resolution"]), quantize, row["runtime"]
    )
    core, ghz, ms = CORES[row["core"]], float(row["ghz"]), float(row["ms"])
    return Published(network, core, row["phone"], ghz, ms, row["source"])


Key = tuple[str, str, str, str]
"""Network, precision, runtime and core, as counts.csv has them."""


def key(one: Published) -> Key:
    return one.network.name, one.network.quantize, one.network.runtime, one.core.name


def counted(path: Path = COUNTS) -> dict[Key, tuple[int, int, int]]:
    """Instructions, bytes of weights and MACs; nothing where the file is not there."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {
            (row["network"], row["quantize"], row["runtime"], row["core"]): (
                int(row["instructions"]),
                int(row["weight_bytes"]),
                int(row["macs"]),
            )
            for row in csv.DictReader(file)
        }


def points(counts: Mapping[Key, tuple[int, int, int]]) -> list[Point]:
    """All that is counted."""
    return [Point(one, *counts[key(one)]) for one in published() if key(one) in counts]


def count(
    xnnpack: Counter, builtin: Counter, folder: Path, path: Path = COUNTS
) -> Iterable[tuple[int, int]]:
    """Counts what counts.csv lacks, core by core; yields how many are done, and of how many.

    Each batch is written when it is counted, so that what was cut off goes on.
    """
    have = counted(path)
    wanted = {key(one): one for one in published()}
    total, batches = len(wanted), _batches([one for k, one in wanted.items() if k not in have])
    for batch in batches:
        counter = xnnpack if batch[0].network.runtime == XNNPACK else builtin
        files = [folder / f"{number}.tflite" for number in range(len(batch))]
        for file, one in zip(files, batch, strict=True):
            file.write_bytes(one.network.content)
        for one, found in zip(batch, counter.count(files, batch[0].core), strict=True):
            have[key(one)] = found.instructions, found.weight_bytes, found.macs or 0
        _write(have, path)
        yield len(have), total


BATCH = 8


def _batches(wanted: Sequence[Published]) -> list[list[Published]]:
    """Of one core and one runtime each."""
    groups: dict[tuple[str, str], list[Published]] = {}
    for one in wanted:
        groups.setdefault((one.core.name, one.network.runtime), []).append(one)
    return [g[at : at + BATCH] for g in groups.values() for at in range(0, len(g), BATCH)]


def _write(have: Mapping[Key, tuple[int, int, int]], path: Path) -> None:
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(
            ("network", "quantize", "runtime", "core", "instructions", "weight_bytes", "macs")
        )
        rows.writerows((*names, *counts) for names, counts in sorted(have.items()))
