"""A network and a dataset so small that a training step takes milliseconds."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dense_network import DENSE

from mnv3_tf.spec import Block, NetworkSpec, Stem
from mnv3_tf.training.settings import Settings

ROOT = Path(__file__).parents[2]


def save_picture(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a spec JSON: 32 pixels, two blocks, squeeze-excite and h-swish included."""
    spec = NetworkSpec(
        name="tiny",
        stem=Stem(filters=8),
        blocks=(
            Block(3, 8, 8, 0.0, "relu", 1),
            Block(3, 16, 16, 0.25, "hard_swish", 2),
        ),
        last_conv=24,
        hidden=16,
        resolution=32,
    )
    path = tmp_path_factory.mktemp("spec") / "tiny.json"
    path.write_text(spec.to_json())
    return str(path)


@pytest.fixture(scope="session")
def color_pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`folder:` of reddish, greenish and bluish noise: 3 x 16 to train on and 3 x 5 to judge by."""
    root = tmp_path_factory.mktemp("colors")
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 5)):
        for channel, name in enumerate(("red", "green", "blue")):
            for index in range(count):
                pixels = rng.integers(0, 200, (40, 40, 3))
                pixels[..., channel] += 55
                save_picture(root / split / name / f"{index}.png", pixels.astype(np.uint8))
    return f"folder:{root}"


@pytest.fixture
def settings(tiny_model: str, color_pictures: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a run of two epochs of six steps; arguments override."""

    def make(**changes: Any) -> Settings:
        base = {
            "dataset": color_pictures,
            "out": str(tmp_path / "run"),
            "model": tiny_model,
            "recipe": "quick",
            "epochs": 2,
            "batch_size": 8,
            "seed": 3,
        }
        return Settings(**(base | changes))

    return make


@pytest.fixture
def start(tiny_model: str, color_pictures: str) -> Iterator[Callable[..., subprocess.Popen]]:
    """(out, more flags, more of the environment) -> a running train.py, killed after the test."""
    started = []

    def run(out: str, *flags: str, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-u", "train.py", f"--dataset={color_pictures}"]
        command += [f"--model={tiny_model}", "--recipe=quick", "--batch_size=8", "--seed=3"]
        alone = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        process = subprocess.Popen(
            [*command, f"--out={out}", *flags],
            cwd=ROOT,
            env=os.environ | alone | environment,
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
def dense_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the spec JSON of a backbone for any task."""
    path = tmp_path_factory.mktemp("spec") / "dense.json"
    path.write_text(DENSE.to_json())
    return str(path)


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
            save_picture(root / split / "images" / f"{index}.png", pixels)
            save_picture(root / split / "masks" / f"{index}.png", mask)
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
