"""The paper's Tables 3 and 4 with a measured column: the whole family on one big core.

    python -m android_bench paper --out=paper

Makes each network with random weights (time does not depend on them), float and int8, times all
of them as `android_bench run` does, and prints the medians beside the paper's Pixel 1, 2 and 3.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import flags

from android_bench import report, run
from android_bench.measure import measure
from android_bench.models import load
from benchmark import published
from benchmark.published import Published
from mnv3_tf import cli, tables
from mnv3_tf.errors import UserError
from mnv3_tf.export import skeleton
from mnv3_tf.files import atomic_write
from mnv3_tf.networks import resolve
from mnv3_tf.spec import NetworkSpec

TITLES: dict[skeleton.Precision, str] = {"none": "Table 3: float", "int8": "Table 4: int8"}
COLUMNS = ("network", "ms here", "± %", "P-1", "P-2", "P-3", "here by P-1", "MB")
EXPLANATION = (
    "ms here: median over rounds on this phone. P-1, P-2, P-3: the paper's Pixel 1, 2 and 3, where "
    "it has them; minimalistic ones are the authors' figures in TF-slim. The paper's TFLite is of "
    "2019: its int8 ran by other kernels than XNNPACK's."
)


@dataclass(frozen=True)
class Member:
    """A network of the family in one precision."""

    network: str
    width: float
    quantize: skeleton.Precision

    @property
    def label(self) -> str:
        return f"{self.network}_{self.width:g}"

    @property
    def published(self) -> Published | None:
        return published.find(self.network, self.width, self.quantize)

    def spec(self, resolution: int) -> NetworkSpec:
        return resolve(self.network, self.width, resolution)


def define_flags(values: flags.FlagValues) -> None:
    run.define_phone_flags(values)
    run.define_measuring_flags(values)
    flags.DEFINE_integer("resolution", 224, "Side of the input, in pixels.", 32, flag_values=values)
    flags.DEFINE_list("only", [], "Networks to take, instead of all.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    settings = run.read_settings(args)
    if not args.out:
        raise UserError("Where to? Give --out=DIR.")
    folder = Path(args.out) / "models"
    files = {made(member, args.resolution, folder): member for member in choose(args.only)}
    found = measure(args, load([str(path) for path in files]), settings)
    measured = beside_paper(found, files)
    with atomic_write(Path(args.out) / "paper.json") as temporary:
        temporary.write_text(json.dumps(measured, indent=1) + "\n")
    for quantize, title in TITLES.items():
        rows = [row for row in measured if row["quantize"] == quantize]
        for serial in dict.fromkeys(row["serial"] for row in rows):
            lines = [_line(row) for row in rows if row["serial"] == serial]
            tables.show(f"{title}, {args.resolution}x{args.resolution}, {serial}", COLUMNS, lines)
    print(EXPLANATION)
    if args.json:
        print(json.dumps(measured))


def choose(only: Sequence[str]) -> list[Member]:
    """The family, or the networks named; raises UserError for one that is not of it."""
    known = {network for network, _ in published.FAMILY}
    for name in only:
        if name not in known:
            raise UserError(
                f"--only={name} is in no table; choose from {', '.join(sorted(known))}."
            )
    return [
        Member(network, width, quantize)
        for quantize in TITLES
        for network, width in published.FAMILY
        if not only or network in only
    ]


def made(member: Member, resolution: int, folder: Path) -> Path:
    path = folder / f"{member.label}_{'float' if member.quantize == 'none' else 'int8'}.tflite"
    with atomic_write(path) as temporary:
        temporary.write_bytes(skeleton.network(member.spec(resolution), member.quantize))
    return path


def beside_paper(found: dict[str, Any], files: dict[Path, Member]) -> list[dict[str, Any]]:
    """A row for each phone and file: the measured summary beside the published figures."""
    return [
        {
            "serial": line["serial"],
            "network": member.network,
            "width": member.width,
            "quantize": member.quantize,
            "threads": line["threads"],
            "median_us": line["median_us"],
            "ci_us": line["ci_us"],
            "bytes": line["bytes"],
            "pixel_ms": list(row.pixel_ms) if row else None,
            "published_top1": row.top1 if row else None,
            "published_in": row.source if row else None,
        }
        for line in found["summary"]
        for member in [files[Path(line["path"])]]
        for row in [member.published]
    ]


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    name = f"{row['network']} {row['width']:g}"
    pixels = row["pixel_ms"]
    published_ms = [f"{ms:g}" for ms in pixels] if pixels else ["-"] * 3
    size = f"{row['bytes'] / 1e6:.2f}"
    if row["median_us"] is None:
        return (name, "failed", "-", *published_ms, "-", size)
    ms = row["median_us"] / 1e3
    ratio = f"{ms / pixels[0]:.2f}" if pixels else "-"
    return (name, f"{ms:.2f}", report.half_width(row), *published_ms, ratio, size)
