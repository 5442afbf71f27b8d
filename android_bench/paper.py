"""The paper's Tables 3 and 4 with a measured column: the whole family on one big core.

    python -m android_bench paper --out=paper

Exports each network with random weights (time does not depend on them), float and int8, times
all of them as `android_bench run` does, and prints the medians beside the paper's Pixel 1, 2 and
3. What is in --out/models already is not exported again. Exporting needs TensorFlow; measuring
does not.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from android_bench import run
from android_bench.measure import measure
from android_bench.models import load
from benchmark import published
from benchmark.published import Published
from mnv3_tf import cli, tables
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.networks import resolve

FLOAT, INT8 = "none", "int8"
TABLES = {
    FLOAT: ("Table 3: float", published.FLOAT + published.MINIMALISTIC_FLOAT),
    INT8: ("Table 4: int8", published.INT8 + published.MINIMALISTIC_INT8),
}
COLUMNS = ("network", "ms here", "± %", "P-1", "P-2", "P-3", "here by P-1", "MB")
EXPLANATION = (
    "ms here: median over rounds on this phone. P-1, P-2, P-3: the paper's Pixel 1, 2 and 3; "
    "minimalistic ones are the authors' figures in TF-slim. The paper's TFLite is of 2019: its "
    "int8 ran by other kernels than XNNPACK's."
)


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
    chosen = {quantize: choose(rows, args.only) for quantize, (_, rows) in TABLES.items()}
    folder = Path(args.out) / "models"
    paths = [
        exported(row, quantize, folder, args.resolution, args)
        for quantize, rows in chosen.items()
        for row in rows
    ]
    found = measure(args, load([str(path) for path in paths]), settings)
    measured = beside_paper(found, chosen)
    with atomic_write(Path(args.out) / "paper.json") as temporary:
        temporary.write_text(json.dumps(measured, indent=1) + "\n")
    for quantize, (title, _) in TABLES.items():
        rows = [row for row in measured if row["quantize"] == quantize]
        for serial in dict.fromkeys(row["serial"] for row in rows):
            lines = [_line(row) for row in rows if row["serial"] == serial]
            tables.show(f"{title}, {args.resolution}x{args.resolution}, {serial}", COLUMNS, lines)
    print(EXPLANATION)
    if args.json:
        print(json.dumps(measured))


def choose(rows: Sequence[Published], only: Sequence[str]) -> list[Published]:
    """Raises UserError for a network that is in none of the tables."""
    known = {row.network for _, rows in TABLES.values() for row in rows}
    for name in only:
        if name not in known:
            raise UserError(
                f"--only={name} is in no table; choose from {', '.join(sorted(known))}."
            )
    return [row for row in rows if not only or row.network in only]


def file_name(row: Published, quantize: str) -> str:
    return f"{row.network}_{row.width:g}_{'float' if quantize == FLOAT else quantize}"


def exported(
    row: Published, quantize: str, folder: Path, resolution: int, args: flags.FlagValues
) -> Path:
    """The .tflite of a row, made unless it is there."""
    path = folder / str(resolution) / f"{file_name(row, quantize)}.tflite"
    if path.is_file():
        return path
    print(f"Exporting {path}")
    cli.import_tensorflow(args)
    from benchmark.settled import noise_pictures, settled_classifier
    from mnv3_tf.export.exporter import ExportOptions, export

    spec = resolve(row.network, row.width, resolution)
    pictures = noise_pictures(resolution)
    options = ExportOptions(quantize=quantize)  # type: ignore[arg-type]
    export(spec, settled_classifier(spec, pictures), options, path, calibration=pictures)
    return path


def beside_paper(found: dict[str, Any], chosen: dict[str, list[Published]]) -> list[dict[str, Any]]:
    """A row for each phone and file: the measured summary beside the published figures."""
    published_by_name = {
        file_name(row, quantize): (row, quantize)
        for quantize, rows in chosen.items()
        for row in rows
    }
    return [
        {
            "serial": line["serial"],
            "network": row.network,
            "width": row.width,
            "quantize": quantize,
            "threads": line["threads"],
            "median_us": line["median_us"],
            "ci_us": line["ci_us"],
            "bytes": line["bytes"],
            "pixel_ms": list(row.pixel_ms),
            "published_top1": row.top1,
        }
        for line in found["summary"]
        for row, quantize in [published_by_name[line["model"]]]
    ]


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    name = f"{row['network']} {row['width']:g}"
    published_ms = [f"{ms:g}" for ms in row["pixel_ms"]]
    size = f"{row['bytes'] / 1e6:.2f}"
    if row["median_us"] is None:
        return (name, "failed", "-", *published_ms, "-", size)
    ms = row["median_us"] / 1e3
    low, high = row["ci_us"] or (None, None)
    half = "-" if low is None else f"{50 * (high - low) / row['median_us']:.1f}"
    return (name, f"{ms:.2f}", half, *published_ms, f"{ms / row['pixel_ms'][0]:.2f}", size)
