"""How the artefacts that many tests share are made; each function fills the folder it is given.

A test gets them by the fixture `made`: `made(exported, "classify", quantize="int8")` is a folder.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from artefacts import Artefacts
from random_network import noise, randomise, settle

LABELS = ("one", "two", "three")


def pictures(task: str, count: int = 32, seed: int = 1) -> np.ndarray:
    """In [-1, 1], (N, H, W, 3), as the tiny network of the task reads them."""
    height, width = tiny.NETWORKS[task].image_size
    return noise(count, max(height, width), seed)[:, :height, :width]


def network(made: Artefacts, folder: Path, task: str) -> None:
    """spec.json and network.weights.h5: random weights, as lively as trained ones."""
    from mnv3_tf.models import build

    spec = tiny.NETWORKS[task]
    (folder / "spec.json").write_text(spec.to_json())
    settle(randomise(build(spec)), pictures(task)).save_weights(folder / "network.weights.h5")


def load_network(folder: Path) -> tuple[Any, Any]:
    """The spec and the Keras model of `network`."""
    from mnv3_tf.models import build
    from mnv3_tf.tasks import from_json

    spec = from_json((folder / "spec.json").read_text())
    model = build(spec)
    model.load_weights(folder / "network.weights.h5")
    return spec, model


def exported(made: Artefacts, folder: Path, task: str, **options: Any) -> None:
    """m.tflite and m.report.json: `network` by `ExportOptions(**options)`, judged on 4 pictures.

    The labels are what the network itself says, so that it is right about all of them. Int8 is
    calibrated on 32 pictures, too few to tune biases on.
    """
    from mnv3_tf.export.exporter import ExportOptions, export

    spec, model = load_network(made(network, task))
    batches = [judged(spec, model, pictures(task, 4, seed=7))]
    calibration = pictures(task) if options.get("quantize") == "int8" else None
    with quick_timing():
        out = folder / "m.tflite"
        export(spec, model, ExportOptions(**options), out, LABELS, calibration, batches)


def judged(spec: Any, model: Any, shown: np.ndarray) -> tuple[np.ndarray, Any]:
    """A batch about which a classifier or a segmentation network is right.

    A detector's has the same box in each picture, of each class in turn.
    """
    count = len(shown)
    if spec.task != "detect":
        return shown, np.asarray(model(shown, training=False)).argmax(-1).astype(np.int32)
    boxes = np.zeros((count, 2, 4), np.float32)
    boxes[:, 0] = (0.1, 0.1, 0.6, 0.7)
    classes = np.full((count, 2), -1, np.int32)
    classes[:, 0] = np.arange(count) % len(LABELS)
    sizes = np.full((count, 2), spec.image_size[0], np.int32)
    return shown, {"boxes": boxes, "classes": classes, "crowd": classes == -2, "size": sizes}


@contextlib.contextmanager
def quick_timing() -> Iterator[None]:
    """Exports without measuring latency for long, which would take most of the time."""
    from mnv3_tf.export import runtime

    measure = runtime.measure_latency
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "measure_latency", lambda model: measure(model, 0.01))
        patch.setattr(runtime, "warm_up", lambda invoke: 1000.0)
        yield
