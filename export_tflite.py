"""Exports a trained network to TFLite, with a report that proves what the file is.

    python export_tflite.py --run=runs/x --quantize=int8 --out=m.tflite
    python export_tflite.py --model=small --weights=imagenet --calibration=folder:photos \
        --quantize=int8 --method=qat --out=m.tflite

int8 is made by post-training quantisation (ptq: a minute) or by quantisation-aware training (qat:
minutes to half an hour; stopped, the same command goes on). Neither needs labels.

--format=savedmodel writes a folder for Keras 3 and TensorFlow Serving instead.

Beside m.tflite, m.report.json holds operators, XNNPACK's share of them, accuracy of the network
and of the file on the same pictures, their agreement, latency, and the error of each layer. Of a
classifier the accuracy is there twice: of the centre of each picture (crop) and of all of it, as
MediaPipe sees it (whole). --view chooses which one is told first, calibrated by, and recorded.
"""

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from absl import flags

from mnv3_tf.export.settings import ExportSettings
from mnv3_tf.tflite import reports
from mnv3_tf.tflite.reports import ExportReport
from mnv3_tf.ui import cli, settings, tables

if TYPE_CHECKING:
    from mnv3_tf.export.saved_model import SavedModelReport

BOTH = "{exported:.4f}, network {float:.4f}"


def define_flags(values: flags.FlagValues) -> None:
    settings.define(values, ExportSettings)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    asked = settings.read(args, ExportSettings)

    cli.import_tensorflow(args)
    from mnv3_tf.export import exporter

    report: ExportReport | SavedModelReport
    if asked.format == "savedmodel":
        report = saved = exporter.export_saved_model(asked)
        tables.facts(asked.out, _facts(saved))
    else:
        report = exported = exporter.export_tflite(asked)
        for warning in exported.get("warnings", ()):
            print(f"Warning: {warning}", file=sys.stderr)
        _show(asked.out, exported)
    if args.json:
        print(json.dumps(report))


def _facts(report: "SavedModelReport") -> Iterator[tuple[str, str]]:
    yield "size", f"{report['bytes'] / 2**20:.2f} MiB"
    yield "signature", report["signature"]
    for kind, ends in (("input", report["input"]), ("output", report["outputs"])):
        for name, shape in ends.items():
            yield kind, f"{name} {'x'.join('N' if n is None else str(n) for n in shape)}"
    yield "difference", f"{report['difference']:.1e} at most from the network, on noise"


def _show(out: str, report: ExportReport) -> None:
    xnnpack = report["xnnpack"]
    rows = [
        ("size", f"{report['bytes'] / 2**20:.2f} MiB"),
        ("h-swish", f"{report['hard_swish']} ({report['hard_swish_reason']})"),
        ("operators", ", ".join(f"{count} {op}" for op, count in report["ops"].items())),
        (
            "XNNPACK",
            f"{xnnpack['delegated']} of {xnnpack['nodes']} operators "
            f"in {xnnpack['partitions']} partition(s)",
        ),
        ("float islands", report["float_islands"]),
        (
            "latency",
            "{median:.2f} ms, p95 {p95:.2f} ms, {threads} thread(s)".format(**report["latency_ms"]),
        ),
    ]
    if report["images"]:
        views = report.get("views", {})
        for metric, pair in reports.metrics(report) if not views else ():
            rows.append((metric.title, BOTH.format(**pair)))
        for view, seen in views.items():
            rows += [
                (f"{metric.title}, {view}", f"{BOTH.format(**pair)}: {seen['seen_by']}")
                for metric, pair in reports.metrics(seen)
            ]
    if report["agreement"] is not None:
        rows.append(("agreement", f"{report['agreement']:.4f} on {report['images']} pictures"))
    if report.get("divergence") is not None:
        rows.append(("divergence", f"{report['divergence']:.4f} nats from the network"))
    if report.get("stem"):
        tried = report["stem"]["divergence"]
        without, given = (f"{tried[stem]:.3f}" for stem in ("composite", "equalized"))
        chosen = report["stem"]["chosen"]
        rows.insert(2, ("stem", f"{chosen} (divergence {without}, with a gate of its own {given})"))
    tables.show(out, ("", report["quantize"]), rows)


if __name__ == "__main__":
    cli.run(main, define_flags)
