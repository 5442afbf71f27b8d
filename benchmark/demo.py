"""The whole way in a few minutes: train, export five ways, time, and show it on one page.

A MobileNetV3-Small learns the embedded `shapes` from scratch at 96x96; it is exported as
float32, float16, dynamic, and int8 by post-training quantisation and by quantisation-aware
training, and the five files are timed side by side on one thread.

    python -m benchmark demo --out=demo
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from absl import flags

from mnv3_tf.measuring.statistics import headline_of
from mnv3_tf.tasks import CLASSIFY
from mnv3_tf.ui import cli, tables

if TYPE_CHECKING:
    from mnv3_tf.data.dataset import Split
    from mnv3_tf.export.settings import Quantize
    from mnv3_tf.measuring.latency import LatencyResults, LatencyRow
    from mnv3_tf.tflite.reports import ExportReport
    from mnv3_tf.training.run_folder import Recorded, RunSummary

EXPORTS: dict[str, "Quantize"] = {
    "float32": "none",
    "float16": "float16",
    "dynamic": "dynamic",
    "int8_ptq": "int8",
    "int8": "int8",
}
QAT_STEPS = {"int8": 200}
CALIBRATION_IMAGES = 512
SHOWN = 10

COLUMNS = ("file", "MB", "top-1", "agreement", "parts", "outside", "ms", "ratio")
EXPLANATION = (
    "int8_ptq: by post-training quantisation; int8: by quantisation-aware training. top-1: on "
    "pictures that training never saw. agreement: part of them to which the file gives the same "
    "class as the Keras model. parts: pieces that XNNPACK computes; outside: operators it leaves "
    "to others. ms: one inference at full pace, the tenth percentile of all; ratio: to float32."
)


class DemoResults(TypedDict):
    """report.json: the table that is shown, and all that it was made of."""

    columns: Sequence[str]
    rows: list[tuple[object, ...]]
    training: "RunSummary"
    exports: dict[str, "ExportReport"]
    latency: "LatencyResults"


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("out", "demo", "Folder for everything that is made.", flag_values=values)
    flags.DEFINE_integer(
        "steps", None, "Training steps, instead of the recipe's.", flag_values=values
    )
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    cli.import_tensorflow(args)
    from mnv3_tf.training.run import train
    from mnv3_tf.training.settings import TrainSettings

    out = Path(args.out)
    run = out / "run"
    print(f"1/4  Training MobileNetV3-Small on shapes, 96x96 ({run})")
    settings = TrainSettings(
        dataset="shapes", out=str(run), model="small", resolution=96, steps=args.steps
    )
    trained = train(settings)
    print("2/4  Exporting")
    reports = _export(run, out)
    print("3/4  Timing")
    latency = _time(out)
    rows = [
        _row(kind, reports[kind], timed)
        for kind, timed in zip(reports, latency["models"], strict=True)
    ]
    print(f"4/4  Writing {out / 'report.html'}")
    results: DemoResults = {
        "columns": COLUMNS,
        "rows": rows,
        "training": trained,
        "exports": reports,
        "latency": latency,
    }
    _write(out, run, results)
    tables.show(_title(latency), COLUMNS, rows)
    print(f"{EXPLANATION}\nLook at {out / 'report.html'}.")
    if args.json:
        print(json.dumps(results))


def _export(run: Path, out: Path) -> "dict[str, ExportReport]":
    from mnv3_tf.export.exporter import export
    from mnv3_tf.export.pictures import training_on
    from mnv3_tf.export.settings import ExportOptions
    from mnv3_tf.training.trained import load_run

    trained = load_run(run)
    assert trained.recorded
    train, val, _ = _data(trained.recorded, trained.spec.resolution)
    calibration = train.images(CALIBRATION_IMAGES, trained.spec.resolution)
    reports = {}
    for kind, quantize in EXPORTS.items():
        print(f"     {out / kind}.tflite")
        training = None
        if kind in QAT_STEPS:
            training = training_on(
                [train], trained.spec.resolution, QAT_STEPS[kind], out / "int8.qat"
            )
        reports[kind] = export(
            trained.spec,
            trained.model,
            ExportOptions(quantize),
            out / f"{kind}.tflite",
            trained.class_names,
            calibration,
            val.eval_batches(32, trained.spec.resolution),
            training,
            view=val.view,
        )
    return reports


def _data(recorded: "Recorded", resolution: int) -> "tuple[Split, Split, Sequence[str]]":
    """What trains, what evaluates, and the names of the classes."""
    from mnv3_tf.data.sources import open_dataset

    data = open_dataset(
        recorded["settings"]["dataset"],
        seed=recorded["settings"]["seed"],
        resolution=resolution,
        training=True,
    )
    assert data.train
    assert data.val
    return data.train, data.val, data.class_names


def _time(out: Path) -> "LatencyResults":
    from mnv3_tf.measuring.latency import HostSettings, benchmark_latency, write_results

    results = benchmark_latency([str(out / f"{kind}.tflite") for kind in EXPORTS], HostSettings())
    write_results(results, out)
    return results


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _row(kind: str, report: "ExportReport", timed: "LatencyRow") -> tuple[object, ...]:
    headline = headline_of(timed)
    return (
        kind,
        f"{report['bytes'] / 1e6:.2f}",
        _figure(report["top1"]["exported"]),
        _figure(report["agreement"]),
        report["xnnpack"]["partitions"],
        sum((report["xnnpack"]["outside"] or {}).values()),
        f"{headline.us / 1e3:.3f}",
        f"{timed['full_pace_ratio']:.2f}",
    )


def _title(latency: "LatencyResults") -> str:
    return f"MobileNetV3-Small, 96x96, on {latency['machine']['cpu']}, 1 thread"


def _write(out: Path, run: Path, results: DemoResults) -> None:
    from mnv3_tf.files import atomic_write, write_json
    from mnv3_tf.measuring.latency import bars
    from mnv3_tf.measuring.plots import plot_answers, plot_latency
    from mnv3_tf.tflite.runtime import TFLiteModel
    from mnv3_tf.training.run_folder import RunFolder, by_column
    from mnv3_tf.ui import page

    recorded = RunFolder(run).recorded()
    assert recorded
    resolution = results["training"]["resolution"]
    _, val, class_names = _data(recorded, resolution)
    pictures = val.images(SHOWN, resolution)
    answers = TFLiteModel(out / "int8.tflite").predict(pictures)
    plot_answers(pictures, answers, class_names, out / "pictures.png")
    title = _title(results["latency"])
    plot_latency(bars(results["latency"]["models"]), title, out / "latency.png")
    top1 = by_column(results["training"])[CLASSIFY.score.column]
    parts = [
        page.paragraph(
            f"Trained from scratch for {results['training']['epochs']} epochs on procedural "
            f"pictures: top-1 {top1:.3f} on pictures it never saw."
        ),
        page.image(out / "pictures.png", "Ten of them, and what the int8 file answers"),
        page.table(COLUMNS, results["rows"]),
        page.paragraph(EXPLANATION),
        page.image(out / "latency.png", "Latency of the five files"),
        page.image(run / "curves.png", "Training"),
        page.paragraph(f"Measured by: {results['latency']['command']}"),
        *(page.paragraph(f"Warning: {text}") for text in results["latency"]["warnings"]),
    ]
    write_json(out / "report.json", results)
    with atomic_write(out / "report.html") as temporary:
        temporary.write_text(page.document(title, parts))
