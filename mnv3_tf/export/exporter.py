"""A trained network becomes a .tflite, with a report that proves what it is."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from mnv3_tf.data import class_matching
from mnv3_tf.data.dataset import Split
from mnv3_tf.data.sources import Origin
from mnv3_tf.export import saved_model
from mnv3_tf.export.convert import convert
from mnv3_tf.export.parity import layer_sqnr, layer_steps, parting_of
from mnv3_tf.export.pictures import Pictures, open_pictures, training_on
from mnv3_tf.export.saved_model import SavedModelReport
from mnv3_tf.export.settings import ExportOptions, ExportSettings
from mnv3_tf.export.targets import TARGETS
from mnv3_tf.files import atomic_write
from mnv3_tf.models.create import spec_for
from mnv3_tf.networks.pixels import View
from mnv3_tf.quantization.lowering import lowered_model
from mnv3_tf.quantization.pipeline import Int8, Training, quantize
from mnv3_tf.tasks import Spec, task_of
from mnv3_tf.tasks.class_names import read_labels
from mnv3_tf.tasks.task import Batches, Export, Parity, pair
from mnv3_tf.tflite import inspection, metadata, reports, runtime
from mnv3_tf.tflite.loading import RefusedByXnnpack
from mnv3_tf.tflite.reports import ExportReport, Simulation
from mnv3_tf.training import recipe
from mnv3_tf.training.run_folder import origin_of
from mnv3_tf.training.trained import Trained, load_run, load_weights

SQNR_IMAGES = 8
BATCH = 32

JUDGED_ON: Mapping[View, str] = {
    "crop": "the centre of pictures, a square of 7/8 of the shorter side; MediaPipe's "
    "ImageClassifier and Android's Task Library squeeze the whole picture to the input instead.",
    "whole": "whole pictures squeezed to the input, as MediaPipe's ImageClassifier and Android's "
    "Task Library see them.",
}
"""What the file says of itself to people."""


def export_tflite(asked: ExportSettings) -> ExportReport:
    """What `export_tflite.py` does: the file at `asked.out`, and its report beside it.

    Raises UserError for what cannot be read, or does not fit the network.
    """
    trained = _load(asked)
    spec, names = trained.spec, _names(asked, trained)
    task_of(spec).view(asked.view)  # before pictures are read
    pictures = _pictures(asked, trained)
    view = task_of(spec).view(asked.view, trained.view, pictures.view)
    evaluation = _evaluation(asked, spec, pictures, trained.class_names or names)
    calibration = training = None
    if pictures.sources:
        if pictures.shared:
            print("Calibrating on the validation pictures: there are no others.")
        calibration = pictures.calibration(asked.calibration_images, spec.resolution)
        training = _training(asked, trained, pictures.sources)
    with pictures.evaluation.explained() if pictures.evaluation else nullcontext():
        return export(
            spec,
            trained.model,
            asked,
            Path(asked.out),
            names,
            calibration,
            evaluation.pop(view, ()),
            training,
            origin_of(trained.recorded) if trained.recorded else None,
            view,
            evaluation,
        )


def export_saved_model(asked: ExportSettings) -> SavedModelReport:
    """What `export_tflite.py` does with --format=savedmodel; raises UserError as above."""
    trained = _load(asked)
    names = _names(asked, trained)
    return saved_model.write(trained.spec, trained.model, asked.out, asked.output, names)


def _names(asked: ExportSettings, trained: Trained) -> tuple[str, ...] | None:
    if not asked.labels:
        return trained.class_names
    return read_labels(asked.labels, trained.spec.num_classes, trained.spec.name)


def _evaluation(
    asked: ExportSettings, spec: Spec, pictures: Pictures, names: tuple[str, ...] | None
) -> dict[View, Batches]:
    """Batches of pictures by each view of the task, with the network's classes.

    Where they only calibrate, by their own view, and without any classes.
    """
    split, dataset = pictures.evaluation, pictures.evaluation_set
    if not split or not dataset:
        return {}
    matching = class_matching.unmatched(dataset)
    views: tuple[View, ...] = (split.view,)
    if asked.dataset or asked.run:
        matching = class_matching.match(dataset, names, spec.num_classes, spec.name)
        views = task_of(spec).views
    if matching.note:
        print(f"{matching.note}.")
    return {
        view: matching.applied(split.seen_as(view).eval_batches(BATCH, spec.resolution))
        for view in views
    }


def _load(asked: ExportSettings) -> Trained:
    if asked.run:
        return load_run(asked.run)
    spec = spec_for(asked, asked, asked.weights)
    return load_weights(spec, str(asked.weights), asked.input_range, new_head=True)


def _pictures(asked: ExportSettings, trained: Trained) -> Pictures:
    own = origin_of(trained.recorded) if trained.recorded else None
    owned = [own.dataset] if own else []
    named = list(asked.calibration) or owned
    return open_pictures(
        named if asked.quantize == "int8" else [],
        asked.dataset or next(iter([*owned, *named]), None),
        trained.spec.resolution,
        asked.data_dir or (own.data_dir if own else None),
        own.seed if own else 0,
        own,
        trained.spec.task,
        asked.view or trained.view,
    )


def _training(asked: ExportSettings, trained: Trained, splits: Sequence[Split]) -> Training | None:
    """For int8 by training: as a run's recipe draws its pictures, else as fine-tuning does."""
    if asked.chosen_method == "ptq":
        print(f"int8 by post-training quantisation on up to {asked.calibration_images} pictures.")
        return None
    own = trained.recorded and recipe.from_record(trained.recorded["recipe"], trained.spec.task)
    training = training_on(
        splits,
        trained.spec.resolution,
        asked.qat_steps,
        Path(asked.out).with_suffix(".qat"),
        own.augmentation if own else None,
        trained.spec.task,
    )
    print(
        f"int8 by quantisation-aware training, {training.steps} steps on "
        f"{sum(map(len, splits))} pictures; --method=ptq is quicker."
    )
    return training


def export(
    spec: Spec,
    trained: tf_keras.Model,
    options: ExportOptions,
    out: Path,
    class_names: Sequence[str] | None = None,
    calibration: np.ndarray | None = None,
    evaluation: Iterable[tuple[Any, Any]] = (),
    training: Training | None = None,
    trained_on: Origin | None = None,
    view: View | None = None,
    other_views: Mapping[View, Batches] | None = None,
) -> ExportReport:
    """Writes `out` and `out` with the suffix .report.json, and returns the report.

    Args:
      spec, trained: the network, as `load_model` gives it.
      options: what to write.
      out: path of the .tflite.
      class_names: travel inside the file as TFLite metadata.
      calibration: pictures (N, H, W, 3) in [-1, 1], without labels; int8 needs them.
      evaluation: batches of (pictures in [-1, 1], labels) to compare the file with the network.
      training: makes int8 by quantisation-aware training. Its checkpoints, if it keeps any, are
        removed once the file is written.
      trained_on: the network's training set, where that is known, for the report.
      view: what `calibration` and `evaluation` have of each picture; travels inside the file.
      other_views: `evaluation` by others, whose figures the report has too.

    Raises:
      UserError: options that do not go together, no pictures to calibrate on, or a file that
        the runtime refuses; nothing is written then.
    """
    lowering, reason = options.lowering()
    output = task_of(spec).output(options.output)
    # Opened first: a folder that cannot be written to is refused before the work, not after it.
    with atomic_write(out) as temporary:
        if options.quantize == "int8":
            made = quantize(
                spec,
                trained,
                lowering,
                may_equalize_stem=options.hard_swish == "auto",
                pictures=np.empty(0) if calibration is None else calibration,
                training=training,
            )
        else:
            lowered = lowered_model(spec, trained, lowering)
            made = Int8(lowered, lowered, lowering, {}, {})
        content = _converted(spec, made.quantized, options, output)
        description = _description(spec, view)
        temporary.write_bytes(
            metadata.add_metadata(
                content, class_names, spec.name, description, spec.to_json(), view
            )
        )
        file = inspection.inspect(temporary)
        target, error = TARGETS[options.target], file["xnnpack"]["error"]
        if error and target.tries_xnnpack:
            reasons = "; ".join([error, *made.notes.get("warnings", ())])
            raise RefusedByXnnpack(out, reasons, "export it with --target=reference")
        delegate = options.target != "reference" and not error
        exported = runtime.TFLiteModel(temporary, options.threads, delegate)
        is_int8 = options.quantize == "int8"
        simulated = made.quantized if is_int8 else None
        parity = task_of(spec).compare(
            Export(spec, trained, exported, output, simulated), evaluation
        )
        by_view = {view: parity} if view and other_views else {}
        for other, batches in (other_views or {}).items():
            by_view[other] = task_of(spec).compare(Export(spec, trained, exported, output), batches)
        pictures = _a_few(calibration, evaluation, made.lowered.input_shape[1:])
        report: ExportReport = {
            "sha256": file["sha256"],
            "bytes": file["bytes"],
            "model": spec.name,
            "task": spec.task,
            "spec_hash": spec.hash,
            "quantize": options.quantize,
            "method": ("qat" if training else "ptq") if is_int8 else None,
            **made.notes,
            "hard_swish": file["hard_swish"],
            "hard_swish_reason": reason
            if file["hard_swish"] != "none"
            else "the network has no h-swish",
            "target": options.target,
            "input": file["input"],
            "output": file["output"],
            "ops": file["ops"],
            "float_islands": file["float_islands"],
            "xnnpack": file["xnnpack"],
            "images": parity.images,
            "agreement": parity.agreement,
            "divergence": parity.divergence,
            "top1": pair(None, None),
            "simulation": _simulation(temporary, simulated, parity, pictures),
            "latency_ms": runtime.measure_latency(exported),
            "layers": layer_sqnr(temporary, made.lowered, pictures),
            "trained_on": asdict(trained_on) if trained_on else None,
            "view": view,
        }
        if warnings := [*made.notes.get("warnings", ()), *target.warnings(file)]:
            report["warnings"] = warnings
        report = reports.with_metrics(report, parity, by_view)
        reports.write(report, out)
    if training and training.checkpoints:
        shutil.rmtree(training.checkpoints, ignore_errors=True)
    return report


def _description(spec: Spec, view: View | None) -> str:
    told = "{} at {}x{}.".format(spec.name, *spec.image_size)
    if view and len(task_of(spec).views) > 1:
        told += " Judged on " + JUDGED_ON[view]
    return told


def _converted(spec: Spec, model: tf_keras.Model, options: ExportOptions, output: str) -> bytes:
    content = convert(model, options.quantize, options.stored_input, output, spec)
    return task_of(spec).finished(spec, content, output)


def _simulation(
    path: Path, simulated: tf_keras.Model | None, parity: Parity, pictures: np.ndarray
) -> Simulation | None:
    if simulated is None:
        return None
    parting = parting_of(layer_steps(path, simulated, pictures))
    simulation: Simulation = {"first_parting": parting}
    if "top1" in parity.simulated:
        simulation["top1"] = parity.simulated["top1"]
        simulation["agreement"] = parity.simulated["agreement"]
    return simulation


def _a_few(
    calibration: np.ndarray | None, evaluation: Iterable[tuple[Any, Any]], shape: tuple[int, ...]
) -> np.ndarray:
    """Pictures to compare layers on; noise where there are no pictures at all."""
    if calibration is not None and len(calibration):
        return calibration[:SQNR_IMAGES]
    for pictures, _ in evaluation:
        return np.asarray(pictures)[:SQNR_IMAGES]
    return np.random.default_rng(0).uniform(-1, 1, (SQNR_IMAGES, *shape)).astype(np.float32)
