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
    from mnv3_tf.tasks.specs import from_json

    spec = from_json((folder / "spec.json").read_text())
    model = build(spec)
    model.load_weights(folder / "network.weights.h5")
    return spec, model


def exported(made: Artefacts, folder: Path, task: str, **options: Any) -> None:
    """m.tflite and m.report.json: `network` by `ExportOptions(**options)`, judged on 4 pictures.

    The labels are what the network itself says, so that it is right about all of them. Int8 is
    calibrated on 32 pictures, too few to tune biases on.
    """
    from mnv3_tf.export.exporter import export
    from mnv3_tf.export.settings import ExportOptions

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
    from mnv3_tf.tflite import runtime

    measure = runtime.measure_latency
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "measure_latency", lambda model: measure(model, 0.01))
        patch.setattr(runtime, "warm_up", lambda invoke: 1000.0)
        yield


def written(made: Artefacts, folder: Path, spec: Any) -> None:
    """spec.json, which --model takes."""
    (folder / "spec.json").write_text(spec.to_json())


def colours(made: Artefacts, folder: Path) -> None:
    """train/ and val/: red, green and blue noise, 3 x 16 and 3 x 5 pictures."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 5)):
        for channel, name in enumerate(("red", "green", "blue")):
            home = folder / split / name
            home.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 90, (40, 40, 3))
                pixels[..., channel] += 150
                Image.fromarray(pixels.astype(np.uint8)).save(home / f"{index}.png")


def run_settings(made: Artefacts, out: Path, **changes: Any) -> Any:
    """Of a training on `colours` in epochs of six steps; as it stands, that of `trained`."""
    from mnv3_tf.training.settings import TrainSettings

    recipe = {
        "optimizer": "sgd",
        "warmup_epochs": 0.5,
        "freeze_epochs": 1,
        "head_learning_rate": 0.1,
        "dropout": 0.2,
        "ema_decay": 0.8,
    }
    fixed = {
        "dataset": f"folder:{made(colours)}",
        "out": str(out),
        "model": str(made(written, tiny.SHALLOW) / "spec.json"),
        "recipe": "quick",
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.05,
        "override": [f"{field}={value}" for field, value in recipe.items()],
        "seed": 3,
    }
    return TrainSettings(**(fixed | changes))


def trained(made: Artefacts, folder: Path) -> None:
    """run/: a training whose first epoch is of the head alone, with all of its checkpoints.

    They are of steps 3, 6, 6 once judged, 9, 12, 12 once judged. curves.png is empty.
    """
    from mnv3_tf.training.run import train

    with without_curves():
        train(run_settings(made, folder / "run", checkpoint_every=3, keep_checkpoints=6))


@contextlib.contextmanager
def without_curves() -> Iterator[None]:
    """Trainings that draw nothing, which takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("curves", "by_class"):
            patch.setattr(f"mnv3_tf.training.{name}.draw", lambda what, title, path: path.touch())
        yield


def photos(made: Artefacts, folder: Path) -> None:
    """CLASS/*.png, 24 in all and of no split: red, green and blue noise for the tiny classifier."""
    from PIL import Image

    shown = ((pictures("classify", 24, seed=3) + 1) * 60).astype(np.uint8)
    for index, picture in enumerate(shown):
        kind = index % len(LABELS)
        picture[..., kind] += 100
        path = folder / LABELS[kind] / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)


def trained_run(made: Artefacts, folder: Path) -> None:
    """`run`, the folder of a few steps of train.py on `photos`, and model.json, its network."""
    from mnv3_tf.training.run import train
    from mnv3_tf.training.settings import TrainSettings

    model = folder / "model.json"
    model.write_text(tiny.SHALLOW.to_json())
    source, out = f"folder:{made(photos)}", str(folder / "run")
    train(TrainSettings(source, out, str(model), recipe="quick", steps=4, batch_size=4, seed=9))
