"""Trainings that take seconds: of tiny networks, or on from where one was that is made once."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from making import run_settings, trained, without_curves, written
from PIL import Image

from mnv3_tf.training.run_folder import RunFolder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def finished(made) -> RunFolder:
    """A run that nobody may change."""
    return RunFolder(made(trained) / "run")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Where `train` of this test writes."""
    return RunFolder(tmp_path / "run")


@pytest.fixture
def stopped(finished: RunFolder, run: RunFolder) -> Callable[..., RunFolder]:
    """(number) -> `run`, as `finished` was when it had saved so many checkpoints.

    The rows of its metrics and its best weights are those of the end, and nothing says which
    checkpoint is the last but their names.
    """

    def make(number: int) -> RunFolder:
        shutil.copytree(finished.path, run.path)
        run.summary.unlink()
        (run.checkpoints / "checkpoint").unlink()
        for later in range(number + 1, 7):
            for path in run.checkpoints.glob(f"ckpt-{later}.*"):
                path.unlink()
        return run

    return make


@pytest.fixture
def train(made, run: RunFolder) -> Callable[..., dict[str, Any]]:
    """(changes to the settings of `finished`) -> the summary of `run`."""

    def call(**changes: Any) -> dict[str, Any]:
        from mnv3_tf.training.run import train

        with without_curves():
            return train(run_settings(made, run.path, **changes))

    return call


@pytest.fixture
def start(made) -> Iterator[Callable[..., subprocess.Popen]]:
    """(out, more flags, more of the environment) -> a running train.py, killed after the test."""
    started = []

    def run(out: str, *flags: str, **environment: str) -> subprocess.Popen:
        settings = run_settings(made, Path(out))
        names = ("dataset", "out", "model", "recipe", "batch_size", "seed", "learning_rate")
        process = subprocess.Popen(
            [
                *(sys.executable, "-u", "train.py"),
                *(f"--{name}={getattr(settings, name)}" for name in names),
                *(f"--override={change}" for change in settings.override),
                *flags,
            ],
            cwd=ROOT,
            env=os.environ
            | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def finish() -> Callable[..., str]:
    """(a running train.py, the status it must end with) -> what it said."""

    def wait(process: subprocess.Popen, status: int = 0) -> str:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == status, output
        return output

    return wait


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """(path, running processes) -> once the path is there."""

    def wait(path: Path, *processes: subprocess.Popen) -> None:
        deadline = time.monotonic() + 240
        while not path.exists():
            for process in processes:
                assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.005)

    return wait


@pytest.fixture(scope="session")
def dense_model(made) -> str:
    """The path of the spec JSON of a backbone for any task."""
    return str(made(written, tiny.BACKBONE) / "spec.json")


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _scene(
    rng: np.random.Generator, figures: int
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """A grey picture of 64x64 with bright rectangles, its mask, and their boxes."""
    pixels = rng.integers(0, 80, (64, 64, 3)).astype(np.uint8)
    mask, boxes = np.zeros((64, 64), np.uint8), []
    for _ in range(figures):
        channel = int(rng.integers(2))
        left, top = (int(v) for v in rng.integers(0, 30, 2))
        width, height = (int(v) for v in rng.integers(20, 34, 2))
        window = slice(top, top + height), slice(left, left + width)
        pixels[(*window, channel)] = 250
        mask[window] = channel + 1
        boxes.append({"bbox": [left, top, width, height], "category_id": channel})
    return pixels, mask, boxes


@pytest.fixture(scope="session")
def rectangles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same scenes by task: `coco:` and `masks:`, 16 to train on and 4 to judge by."""
    root = tmp_path_factory.mktemp("rectangles")
    rng = np.random.default_rng(0)
    (root / "labels.txt").write_text("ground\nred\ngreen\n")
    for split, count in (("train", 16), ("val", 4)):
        images, annotations = [], []
        for index in range(count):
            pixels, mask, boxes = _scene(rng, figures=index % 3)
            _save(root / split / "images" / f"{index}.png", pixels)
            _save(root / split / "masks" / f"{index}.png", mask)
            images.append({"id": index, "file_name": f"{index}.png", "width": 64, "height": 64})
            annotations += [
                {"id": 100 * index + number, "image_id": index, "iscrowd": 0, **box}
                | {"area": box["bbox"][2] * box["bbox"][3]}
                for number, box in enumerate(boxes)
            ]
        kinds = [{"id": 0, "name": "red"}, {"id": 1, "name": "green"}]
        tree = {"images": images, "annotations": annotations, "categories": kinds}
        (root / f"{split}.json").write_text(json.dumps(tree))
    parts = (f"{root}/{split}{end}" for split in ("train", "val") for end in (".json", "/images"))
    return {"detect": f"coco:{','.join(parts)}", "segment": f"masks:{root}"}
