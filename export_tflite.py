"""Exports a trained network to TFLite, with a report that proves what the file is.

    python export_tflite.py --run=runs/x --quantize=int8 --out=m.tflite
    python export_tflite.py --model=small --weights=imagenet --calibration=folder:photos \
        --quantize=int8 --out=m.tflite

Beside m.tflite, m.report.json holds operators, XNNPACK's share of them, accuracy of the network
and of the file on the same pictures, their agreement, latency, and the error of each layer.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf import cli, tables
from mnv3_tf.errors import UserError
from mnv3_tf.spec import resolve

if TYPE_CHECKING:
    from mnv3_tf.data import Dataset
    from mnv3_tf.trained import Trained

BATCH = 32


def define_flags(values: flags.FlagValues) -> None:
    def text(name: str, default: str | None, meaning: str) -> None:
        flags.DEFINE_string(name, default, meaning, flag_values=values)

    text("out", None, "The .tflite to write.")
    text("run", None, "Folder of a run of train.py; or else --model and --weights:")
    cli.define_network_flags(values)
    text("weights", None, 'Weights of --model: "imagenet", or a file.')
    text("quantize", "none", "none, float16, dynamic or int8.")
    text("method", None, "How int8 is made: ptq, from pictures without labels.")
    text("calibration", None, "Pictures for int8; the run's training pictures if not given.")
    flags.DEFINE_integer(
        "calibration_images", 512, "How many of them.", lower_bound=1, flag_values=values
    )
    text("dataset", None, "Pictures to judge by; the run's, or --calibration's, if not given.")
    text("data_dir", None, "Where tensorflow_datasets keeps its sets.")
    text("hard_swish", "auto", "fused (one operator), composite (two), or auto: by --target.")
    text("target", "xnnpack", "xnnpack, gpu, nnapi, edgetpu or reference.")
    text("input_type", None, "uint8, int8 or float32; uint8 for int8, else float32.")
    text("output", "probabilities", "probabilities or logits.")
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
    calibration, judged = _pictures(args, trained)
    spec = trained.spec
    report = export(
        spec,
        trained.model,
        options,
        Path(args.out),
        _class_names(args, trained, judged),
        calibration,
        _validation(judged).eval_batches(BATCH, spec.resolution) if judged else (),
    )
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
    if args.method not in (None, "ptq"):
        raise UserError(
            f"--method={args.method} is not available in this version; use --method=ptq."
        )
    if args.quantize == "int8" and not (args.run or args.calibration):
        raise UserError(
            "int8 needs pictures to calibrate on; give --calibration, such as "
            "--calibration=folder:photos. Labels are not needed."
        )


def _load(args: flags.FlagValues) -> "Trained":
    from mnv3_tf.trained import load_run, load_weights

    if args.run:
        return load_run(args.run)
    spec = resolve(args.model, args.width, args.resolution, args.num_classes)
    return load_weights(spec, args.weights)


def _pictures(args: flags.FlagValues, trained: "Trained") -> tuple[Any, "Dataset | None"]:
    """Calibration pictures, where they are needed, and the dataset to judge by."""
    from mnv3_tf.data import open_dataset

    settings = trained.recorded["settings"] if trained.recorded else {}
    own: str | None = settings.get("dataset")
    opened: dict[str, Dataset] = {}

    def dataset(name: str) -> "Dataset":
        if name not in opened:
            # With `training`, what calibrates and what judges are never the same pictures.
            opened[name] = open_dataset(
                name,
                data_dir=args.data_dir or settings.get("data_dir"),
                seed=settings.get("seed", 0),
                resolution=trained.spec.resolution,
                training=name in (own, args.calibration),
            )
        return opened[name]

    calibration = None
    if args.quantize == "int8":
        source = dataset(args.calibration or str(own))
        split = source.train
        if split is None:
            print(f"{source.name} has no training pictures: calibrating on its validation ones.")
            split = _validation(source)
        calibration = split.images(args.calibration_images, trained.spec.resolution)
        print(f"int8 by post-training quantisation on {len(calibration)} pictures.")
    judged = args.dataset or own or args.calibration
    return calibration, dataset(judged) if judged else None


def _validation(dataset: "Dataset") -> Any:
    return dataset.val or dataset.train


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


def _show(out: str, report: dict[str, Any]) -> None:
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
        top1 = report["top1"]
        rows += [
            ("top-1", f"{top1['exported']:.4f}, network {top1['float']:.4f}"),
            ("agreement", f"{report['agreement']:.4f} on {report['images']} pictures"),
        ]
    tables.show(out, ("", report["quantize"]), rows)


if __name__ == "__main__":
    cli.run(main, define_flags)
