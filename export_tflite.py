"""Exports a trained network to TFLite, with a report that proves what the file is.

    python export_tflite.py --run=runs/x --quantize=int8 --out=m.tflite
    python export_tflite.py --model=small --weights=imagenet --calibration=folder:photos \
        --quantize=int8 --method=qat --out=m.tflite

int8 is made by post-training quantisation (ptq: a minute) or by quantisation-aware training (qat:
minutes to half an hour; stopped, the same command goes on). Neither needs labels.

Beside m.tflite, m.report.json holds operators, XNNPACK's share of them, accuracy of the network
and of the file on the same pictures, their agreement, latency, and the error of each layer.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.tasks import TASKS
from mnv3_tf.tasks.flags import define_network_flags, network_spec
from mnv3_tf.tflite import reports
from mnv3_tf.ui import cli, tables

if TYPE_CHECKING:
    from mnv3_tf.data.dataset import Dataset, Split
    from mnv3_tf.export.pictures import Pictures
    from mnv3_tf.quantization.pipeline import Training
    from mnv3_tf.tflite.reports import ExportReport
    from mnv3_tf.training.trained import Trained

BATCH = 32


def define_flags(values: flags.FlagValues) -> None:
    def text(name: str, default: str | None, meaning: str) -> None:
        flags.DEFINE_string(name, default, meaning, flag_values=values)

    text("out", None, "The .tflite to write.")
    text("run", None, "Folder of a run of train.py; or else --model and --weights:")
    define_network_flags(values)
    text("weights", None, 'Weights of --model: "imagenet", or a file.')
    text("quantize", "none", "none, float16, dynamic or int8.")
    text("method", None, "ptq or qat, for int8; qat where there is a --run, else ptq.")
    flags.DEFINE_integer("qat_steps", None, "Training steps of qat.", 1, flag_values=values)
    flags.DEFINE_multi_string(
        "calibration",
        None,
        "Pictures for int8; the run's training pictures if not given. Given several times, the "
        "first chooses ranges, and qat trains on all.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "calibration_images", 512, "How many of them.", lower_bound=1, flag_values=values
    )
    text("dataset", None, "Pictures to judge by; the run's, or --calibration's, if not given.")
    text("data_dir", None, "Where tensorflow_datasets keeps its sets.")
    text(
        "hard_swish",
        "auto",
        "fused (one operator), composite (two), equalized (composite, and a more exact stem that "
        "takes longer), or auto: by --target, and by what the stem is worth.",
    )
    text("target", "xnnpack", "xnnpack, gpu, nnapi, edgetpu or reference.")
    text("input_type", None, "uint8, int8 or float32; uint8 for int8, else float32.")
    text(
        "output",
        None,
        "What the file gives: "
        + "; ".join(f"to {t.name} {' or '.join(t.outputs)}" for t in TASKS.values())
        + ".",
    )
    text("labels", None, "Text file with a class name on each line; the run's if not given.")
    flags.DEFINE_integer("threads", 1, "Threads for the latency.", 1, flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    _check(args)

    cli.import_tensorflow(args)
    from mnv3_tf.export.exporter import ExportOptions, export

    options = ExportOptions(
        args.quantize, args.hard_swish, args.target, args.input_type, args.output, args.threads
    )
    trained = _load(args)
    spec, pictures = trained.spec, _pictures(args, trained)
    calibration = training = None
    if pictures.sources:
        if pictures.shared:
            print("Calibrating on the validation pictures: there are no others.")
        calibration = pictures.calibration(args.calibration_images, spec.resolution)
        training = _training(args, trained, pictures.sources)
    judged = pictures.judged
    report = export(
        spec,
        trained.model,
        options,
        Path(args.out),
        _class_names(args, trained, pictures.judged_set),
        calibration,
        judged.eval_batches(BATCH, spec.resolution) if judged else (),
        training,
    )
    for warning in report.get("warnings", ()):
        print(f"Warning: {warning}", file=sys.stderr)
    _show(args.out, report)
    if args.json:
        print(json.dumps(report))


def _check(args: flags.FlagValues) -> None:
    """Everything that can be refused before TensorFlow is imported."""
    if not args.out:
        raise UserError("--out is missing; give the .tflite to write.")
    if not args.out.endswith(".tflite"):
        raise UserError(f"--out={args.out} must end in .tflite.")
    if bool(args.run) == bool(args.weights):
        raise UserError("Give either --run, or --model and --weights.")
    if args.method not in (None, "ptq", "qat"):
        raise UserError(f"--method={args.method} is not one of ptq, qat.")
    if args.quantize != "int8" and (args.method or args.qat_steps):
        raise UserError("--method and --qat_steps are of int8; give --quantize=int8.")
    if args.method == "ptq" and args.qat_steps:
        raise UserError("--qat_steps is of --method=qat; leave it out, or choose qat.")
    if args.quantize == "int8" and not (args.run or args.calibration):
        raise UserError(
            "int8 needs pictures to calibrate on; give --calibration, such as "
            "--calibration=folder:photos. Labels are not needed."
        )


def _load(args: flags.FlagValues) -> "Trained":
    from mnv3_tf.training.trained import load_run, load_weights

    if args.run:
        return load_run(args.run)
    return load_weights(network_spec(args), args.weights)


def _pictures(args: flags.FlagValues, trained: "Trained") -> "Pictures":
    from mnv3_tf.export.pictures import open_pictures

    settings = trained.recorded["settings"] if trained.recorded else {}
    own = settings.get("dataset")
    named = args.calibration or ([own] if own else [])
    return open_pictures(
        named if args.quantize == "int8" else [],
        args.dataset or own or (named[0] if named else None),
        trained.spec.resolution,
        args.data_dir or settings.get("data_dir"),
        settings.get("seed", 0),
        own,
        trained.spec.task,
    )


def _training(
    args: flags.FlagValues, trained: "Trained", splits: "Sequence[Split]"
) -> "Training | None":
    """With a run's own data at hand int8 is trained, as its recipe draws the pictures."""
    from mnv3_tf.export.pictures import training_on

    method = args.method or ("qat" if args.run or args.qat_steps else "ptq")
    if method == "ptq":
        print(f"int8 by post-training quantisation on up to {args.calibration_images} pictures.")
        return None
    training = training_on(
        splits,
        trained.spec.resolution,
        args.qat_steps,
        Path(args.out).with_suffix(".qat"),
        _augmentation(trained),
        trained.spec.task,
    )
    print(
        f"int8 by quantisation-aware training, {training.steps} steps on "
        f"{sum(map(len, splits))} pictures; "
        "--method=ptq is quicker."
    )
    return training


def _augmentation(trained: "Trained") -> Any:
    """That of a run's recipe; None where there is no run."""
    from mnv3_tf.training import recipe

    if trained.recorded is None:
        return None
    return recipe.from_record(trained.recorded["recipe"], trained.spec.task).augmentation


def _class_names(
    args: flags.FlagValues, trained: "Trained", judged: "Dataset | None"
) -> tuple[str, ...] | None:
    if args.labels:
        path = Path(args.labels)
        if not path.is_file():
            raise UserError(f"--labels={path} does not exist.")
        return tuple(path.read_text().splitlines())
    if trained.class_names:
        return trained.class_names
    if judged and judged.num_classes == trained.spec.num_classes:
        return judged.class_names
    return None


def _show(out: str, report: "ExportReport") -> None:
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
        for metric, pair in reports.metrics(report):
            rows.append((metric.title, "{exported:.4f}, network {float:.4f}".format(**pair)))
        rows.append(("agreement", f"{report['agreement'] or 0:.4f} on {report['images']} pictures"))
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
