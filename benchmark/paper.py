"""The paper's tables with this host's column: Tables 3 to 9, and the redesigns of section 5.

Networks have random weights (time does not depend on them) and are timed in interleaved rounds,
float and int8. Every figure says where it is from: measured here, computed from the network, or
published. Accuracy is the paper's, or of an export's report where one is given for that very
network and precision.

    python -m benchmark paper --out=paper
    python -m benchmark paper --tables=hard_swish --reports=small.report.json --out=paper
    python -m benchmark paper --tables=segmentation_full --out=paper       (only by name; 8 GB)
    python -m benchmark paper --device=arm:cortex-a76 --out=paper     (counted, see benchmark arm)

Leaves a JSON file and a plot for each table, and frontier plots. A table that is there already,
measured with the same settings on this machine, is not measured again.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast

from absl import flags

from benchmark import arm
from benchmark.latency import counting, define_device_flag
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write, read_object, write_json
from mnv3_tf.measuring.arm import count_results
from mnv3_tf.measuring.arm.count_results import CountResults, CountSettings
from mnv3_tf.measuring.latency import HostSettings, RecordedSettings
from mnv3_tf.measuring.machine import Machine
from mnv3_tf.measuring.published import CITYSCAPES_SIZE
from mnv3_tf.measuring.statistics import RoundFigures
from mnv3_tf.measuring.timers import HOST
from mnv3_tf.tasks import CLASSIFY, SEGMENT
from mnv3_tf.tflite import reports
from mnv3_tf.tflite.reports import ExportReport
from mnv3_tf.ui import cli, tables
from mnv3_tf.ui.settings import command, define, read

if TYPE_CHECKING:
    from benchmark.paper_tables import PaperFigures, TableRow

SCHEMA_VERSION = 1
ORIGINS = {
    "params": "computed",
    "madds": "computed",
    "full_madds": "computed",
    "bytes": "measured here",
    "full_pace_us": "measured here",
    "median_us": "measured here",
    "ratio": "measured here",
    "published": "published",
}
IMAGENET_CLASSES = (1000, 1001)
"""Without and with a class for the background, as in the weights that the authors released."""


class DescribedRow(TypedDict):
    """What is known of a row before it is timed."""

    name: str
    label: str
    quantize: str
    hard_swish: str
    resolution: object
    spec_hashes: list[str]
    params: int
    madds: int
    full_madds: NotRequired[int]
    published: "PaperFigures"


class PaperRow(DescribedRow):
    """What is shown. Interval and ratio are of the full pace, all times in microseconds.

    Of classifiers `top1` is in percent, None where nobody has measured it.
    """

    full_pace_us: float
    ci_us: list[float]
    ratio: float
    top1: NotRequired[float | None]
    top1_origin: NotRequired[str | None]


class MeasuredRow(PaperRow, RoundFigures):
    bytes: int
    median_us: float
    ratio_ci: list[float]


class PaperTable(TypedDict):
    """A table as it is plotted."""

    task: str
    title: str
    first: str
    machine: Machine
    rows: Sequence[PaperRow]


class MeasuredTable(PaperTable):
    """A file of `benchmark paper`, which says how it was measured, as `machine.Made` does."""

    schema_version: int
    table: str
    note: str
    command: str
    date: str
    settings: RecordedSettings
    origins: dict[str, str]
    warnings: list[str]


def read_table(file: Path) -> MeasuredTable | None:
    """None where there is no such file; raises UserError for a damaged one."""
    return cast("MeasuredTable | None", read_object(file, "measure it again"))


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_list(
        "tables",
        [],
        "Of networks, hard_swish, multipliers, redesigns, detection, segmentation, which are the "
        "default, and segmentation_full.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "reports", [], "Reports of exports, for accuracy evaluated here.", flag_values=values
    )
    define(values, HostSettings, without=("seed", "delegate"), defaults={"rounds": 40})
    define_device_flag(values)
    flags.DEFINE_bool("overwrite", False, "Measure tables again.", flag_values=values)
    flags.DEFINE_string("out", None, "Folder for tables and plots.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    from benchmark import paper_lines, paper_plots
    from benchmark.paper_tables import TABLES

    if not args.out:
        raise UserError("Where to? Give --out=DIR.")
    for name in args.tables:
        if name not in TABLES:
            raise UserError(f"--tables={name} is unknown; choose from {', '.join(TABLES)}.")
    settings = read(args, HostSettings, seed=0, delegate="xnnpack")
    names = args.tables or [name for name, table in TABLES.items() if table.by_default]
    if args.device != [HOST]:
        counted = count_tables(names, counting(args.device, settings), Path(args.out))
        if args.json:
            print(json.dumps(counted))
        return
    reported, out = read_reports(args.reports), Path(args.out)
    found: dict[str, MeasuredTable] = {}
    for name in names:
        file, task = out / f"{name}.json", TABLES[name].task
        result = None if args.overwrite else read_same(file, name, settings)
        if result is None:
            result = measure_table(name, settings, out / "models" / name)
        if task == CLASSIFY.name:
            with_accuracy(result["rows"], reported)
        write_json(file, result)
        paper_plots.PLOTS[name](result, out / f"{name}.png")
        lines = [paper_lines.line(row, task, wide=False) for row in result["rows"]]
        tables.show(title(result), paper_lines.columns(task, wide=False), lines)
        for text in result["warnings"]:
            print(f"Warning: {text}")
        found[name] = result
    if {"networks", "multipliers"} <= found.keys():
        paper_plots.plot_frontiers(found["networks"], found["multipliers"], out / "frontier.png")
    print(f"{paper_lines.explanation(TABLES[name].task for name in found)} Written: {out}")
    if args.json:
        print(json.dumps(found))


def count_tables(
    names: Sequence[str], settings: CountSettings, out: Path
) -> dict[str, CountResults]:
    """Counts every network of these tables on ARM cores, each table into a folder of `out`."""
    from benchmark.paper_tables import TABLES

    found = {}
    for name in names:
        files = [str(write_file(row, out / "models" / name)) for row in TABLES[name].rows()]
        found[name] = count_results.count_files(files, settings)
        arm.show(found[name])
        count_results.write_results(found[name], out / f"{name}_arm")
    return found


def measure_table(name: str, settings: HostSettings, folder: Path) -> MeasuredTable:
    """Makes and times every network of a table."""
    import numpy as np

    from benchmark.paper_tables import TABLES
    from mnv3_tf.measuring import latency, machine, statistics
    from mnv3_tf.tflite.runtime import TFLiteModel

    table = TABLES[name]
    settings, rows = table.settings(settings), list(table.rows())
    paths = [write_file(row, folder) for row in rows]
    load, busy = os.getloadavg(), machine.cores_in_use()
    models = [TFLiteModel(path, settings.threads) for path in paths]
    timings = latency.measure(models, settings)
    firsts = {
        row.quantize: rounds
        for row, rounds in zip(reversed(rows), reversed(timings), strict=True)
        if row.label == table.first
    }
    measured: list[MeasuredRow] = []
    for row, path, rounds in zip(rows, paths, timings, strict=True):
        fast = statistics.headline(rounds)
        relative = statistics.headline_ratio(rounds, firsts[row.quantize])
        measured.append(
            {
                **describe(row),
                "bytes": path.stat().st_size,
                "full_pace_us": fast.value,
                "ci_us": [fast.low, fast.high],
                "median_us": float(np.median(rounds)),
                "ratio": relative.value,
                "ratio_ci": [relative.low, relative.high],
                **statistics.figures_of(rounds),
            }
        )
    again = command("benchmark paper", settings, more=[f"--tables={name}"])
    return {
        "schema_version": SCHEMA_VERSION,
        "table": name,
        "task": table.task,
        "title": table.title,
        "note": table.note,
        "first": table.first,
        **machine.made_by(again, load),
        "settings": settings.recorded,
        "origins": {key: origin for key, origin in ORIGINS.items() if key in measured[0]},
        "rows": measured,
        "warnings": latency.find_warnings(measured, busy, os.cpu_count() or 1),
    }


def write_file(row: "TableRow", folder: Path) -> Path:
    from mnv3_tf.tflite import skeleton

    path = folder / f"{row.name}.tflite"
    with atomic_write(path) as temporary:
        temporary.write_bytes(skeleton.network(row.spec, row.quantize, row.hard_swish))
    return path


def describe(row: "TableRow") -> DescribedRow:
    from mnv3_tf.networks.cost import cost

    total, spec = cost(row.spec), row.spec
    found: DescribedRow = {
        "name": row.label if row.hard_swish is None else f"{row.label}, {row.hard_swish}",
        "label": row.label,
        "quantize": row.quantize,
        "hard_swish": row.lowering,
        "resolution": spec.resolution,
        "spec_hashes": [spec.hash],
        "params": total.params,
        "madds": total.madds,
        "published": row.published,
    }
    if spec.task == CLASSIFY.name:
        found["spec_hashes"] = [spec.replace(num_classes=n).hash for n in IMAGENET_CLASSES]
    if spec.task == SEGMENT.name:
        # The paper counts at the pictures' own size alone.
        found["resolution"] = list(spec.resolution)
        found["full_madds"] = cost(spec.replace(resolution=CITYSCAPES_SIZE)).madds
    return found


def read_same(file: Path, name: str, settings: HostSettings) -> MeasuredTable | None:
    """A table of these networks, measured with these settings on this processor; else None."""
    from benchmark.paper_tables import TABLES
    from mnv3_tf.measuring.machine import describe_machine

    try:
        found = read_table(file)
        asked = [describe(row) for row in TABLES[name].rows()]
        same = (
            found is not None
            and found["schema_version"] == SCHEMA_VERSION
            and found["settings"] == TABLES[name].settings(settings).recorded
            and found["machine"]["cpu"] == describe_machine(())["cpu"]
            and [{key: dict(row)[key] for key in asked[0]} for row in found["rows"]] == asked
        )
    except (UserError, KeyError, TypeError):
        return None
    return found if same else None


def read_reports(paths: Sequence[str]) -> dict[tuple[str, str], ExportReport]:
    """Reports of exports by network and precision; raises UserError for what is none."""
    found = {}
    for path in paths:
        report = reports.read(path)
        if not report or not _is_text(report.get("spec_hash"), report.get("quantize")):
            raise UserError(
                f"--reports={path} is no report of an export; give a .report.json that "
                "export_tflite.py wrote."
            )
        found[report["spec_hash"], report["quantize"]] = report
    return found


def _is_text(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def with_accuracy(
    rows: Sequence[PaperRow], reported: Mapping[tuple[str, str], ExportReport]
) -> None:
    """Sets "top1" (percent) and "top1_origin" of every row."""
    for row in rows:
        keys = ((spec_hash, row["quantize"]) for spec_hash in row["spec_hashes"])
        report = next((reported[key] for key in keys if key in reported), None)
        exported = reports.exported_top1(report)
        if report is not None and exported is not None:
            row["top1"] = 100 * exported
            row["top1_origin"] = f"measured on {report.get('images')} pictures"
        else:
            row["top1"] = row["published"].get("top1")
            row["top1_origin"] = None if row["top1"] is None else "published"


def title(result: MeasuredTable) -> str:
    threads = result["settings"]["threads"]
    return f"{result['title']} ({result['machine']['cpu']}, {threads} thread{'s' * (threads > 1)})"
