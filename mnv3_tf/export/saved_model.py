"""A trained network as a SavedModel, for Keras 3's `TFSMLayer` and TensorFlow Serving."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.files import atomic_folder
from mnv3_tf.tasks import Spec, task_of

SIGNATURE, INPUT = "serving_default", "image"
KNOWN_BY = "saved_model.pb"
"""What a folder has that may be replaced."""

Sides = list[int | None]


class SavedModelReport(TypedDict):
    """`input` and `outputs` are shapes by name, None for a side of any length.

    `difference` is the largest between what the folder and the network answer, on noise.
    """

    format: str
    model: str
    task: str
    spec_hash: str
    bytes: int
    signature: str
    input: dict[str, Sides]
    outputs: dict[str, Sides]
    labels: list[str] | None
    difference: float


def write(
    spec: Spec,
    model: tf_keras.Model,
    out: str | Path,
    output: str | None = None,
    class_names: Sequence[str] | None = None,
) -> SavedModelReport:
    """Writes the folder `out`, whole or not at all, and proves it by loading it.

    Its signature takes pictures float32 (N, H, W, 3), RGB in [-1, 1], and gives what
    `Task.named_outputs` makes of `output`. Names of classes lie in assets/labels.txt.

    Raises UserError for an output that the task has not, and where `out` is a folder of another
    kind.
    """
    task = task_of(spec)
    output = task.output(output)

    @tf.function(
        input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), name=INPUT)], autograph=False
    )
    def serve(image: Any) -> dict[str, Any]:
        return task.named_outputs(spec, model(image, training=False), output)

    module = tf.Module()
    # Not the model itself, of which every layer would be traced by itself.
    module.kept = model.variables
    with atomic_folder(out, KNOWN_BY) as temporary, tempfile.TemporaryDirectory() as beside:
        if class_names:
            labels = Path(beside, "labels.txt")
            labels.write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
            module.labels = tf.saved_model.Asset(str(labels))
        tf.saved_model.save(module, str(temporary), {SIGNATURE: serve})
        saved = tf.saved_model.load(str(temporary)).signatures[SIGNATURE]
        report: SavedModelReport = {
            "format": "savedmodel",
            "model": spec.name,
            "task": spec.task,
            "spec_hash": spec.hash,
            "bytes": sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file()),
            "signature": SIGNATURE,
            "input": {INPUT: [None, *model.input_shape[1:]]},
            "outputs": {n: t.shape.as_list() for n, t in saved.structured_outputs.items()},
            "labels": list(class_names) if class_names else None,
            "difference": _difference(saved, serve, model.input_shape[1:]),
        }
    return report


def _difference(saved: Any, serve: Any, shape: Sequence[int]) -> float:
    noise = tf.constant(np.random.default_rng(0).uniform(-1, 1, (2, *shape)), tf.float32)
    found, wanted = saved(image=noise), serve(noise)
    apart = [tf.abs(tf.cast(found[name] - wanted[name], tf.float32)) for name in wanted]
    return max(float(tf.reduce_max(each)) for each in apart)
