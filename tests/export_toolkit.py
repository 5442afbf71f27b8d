"""What export_tflite.py calls, as stand-ins that keep what they are asked."""

import json
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import commands
import pytest
import tensorflow as tf
import tiny

import export_tflite
from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.sources import Origin, place_of
from mnv3_tf.export import exporter, pictures
from mnv3_tf.export.settings import ExportOptions
from mnv3_tf.quantization.pipeline import Training
from mnv3_tf.training import recipe
from mnv3_tf.training.trained import Trained

call = partial(commands.call, export_tflite)

REPORT = {
    "bytes": 3 * 2**19,
    "quantize": "int8",
    "hard_swish": "composite",
    "hard_swish_reason": "for a reason",
    "ops": {"CONV_2D": 3, "ADD": 2},
    "xnnpack": {"delegated": 4, "nodes": 5, "partitions": 1},
    "float_islands": 0,
    "latency_ms": {"median": 1.234, "p95": 2.345, "threads": 3},
    "images": 9,
    "top1": {"float": 0.75, "exported": 0.5},
    "agreement": 0.6,
    "divergence": 0.125,
}
RUN = {"dataset": "folder:own", "data_dir": "/data", "seed": 7}
OLD = {"resize": "resize256_crop"}  # what a run before the flag --view has


class Asked(NamedTuple):
    """Of `export`."""

    spec: Any
    model: Any
    options: ExportOptions
    out: Path
    class_names: tuple[str, ...] | None
    calibration: Any
    evaluation: Any
    training: Any
    trained_on: Any
    view: str
    other_views: dict[str, Any]


class Batches(tuple):
    """What they are asked, and what becomes of the classes 0, 1 and 2."""

    def map(self, renumbered: Any) -> tuple:
        _, classes = renumbered(None, tf.constant([0, 1, 2]))
        return (*self, tuple(classes.numpy().tolist()))


class Split:
    """Of a dataset; tells what it is asked."""

    def __init__(self, size: int, view: str = "crop") -> None:
        self.size, self.view = size, view

    def seen_as(self, view: str) -> "Split":
        return Split(self.size, view)

    def __len__(self) -> int:
        return self.size

    def images(self, *asked: Any) -> tuple:
        return ("images", *asked)

    def explained(self) -> Any:
        return nullcontext()

    def eval_batches(self, *asked: Any) -> tuple:
        return Batches((self.view, *asked))


OWN = Origin("folder:own", place_of("folder:own"), "/data", 7)


class Toolkit:
    """In the place of all that the command calls, which keeps what it is asked."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.asked: dict[str, Any] = {}
        self.report: dict[str, Any] = REPORT
        self.spec, self.shared, self.run_names = tiny.CLASSIFIER, False, ("r", "u", "n")
        self.preprocessing = OLD
        self.evaluation_set = Dataset("d", ("n", "u", "r"), None, None, numbered=True)
        for name in ("load_run", "load_weights", "open_pictures", "training_on", "export"):
            patch.setattr(exporter, name, getattr(self, name))

    def load_run(self, path: str) -> Trained:
        self.asked["load"] = path
        drawn = json.loads(json.dumps(asdict(recipe.load("quick"))))
        recorded = {
            "settings": RUN,
            "seed": 7,
            "recipe": drawn,
            "preprocessing": self.preprocessing,
        }
        model: Any = "the run's"
        return Trained(self.spec, model, self.run_names, recorded)

    def load_weights(
        self, spec: Any, weights: str, input_range: str | None, new_head: bool
    ) -> Trained:
        assert new_head  # a file needs one, be it untrained
        self.asked["load"], self.asked["range"] = (spec, weights), input_range
        model: Any = "the file's"
        return Trained(self.spec, model)

    def open_pictures(self, sources: list[str], evaluation: str | None, *asked: Any) -> Any:
        self.asked["pictures"] = (sources, evaluation, *asked)
        splits: Any = tuple(Split(10 + number) for number in range(len(sources)))
        judge: Any = Split(9, asked[-1] or "crop") if evaluation else None
        evaluation_set: Any = self.evaluation_set if evaluation else None
        return pictures.Pictures(splits, judge, evaluation_set, self.shared)

    def training_on(self, *asked: Any) -> Training:
        self.asked["training"] = asked
        return Training(lambda start: iter(()), steps=asked[2] or 600)

    def export(self, *asked: Any) -> dict[str, Any]:
        self.asked["export"] = Asked(*asked)
        return self.report
