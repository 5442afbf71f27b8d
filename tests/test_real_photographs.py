"""The main job on real photographs: fine-tune, export, and open the files elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*arguments: object) -> dict:
    """A command of the toolkit; its JSON."""
    command = [sys.executable, *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def flowers(shared, tmp_path_factory) -> tuple[Path, dict]:
    """The folder of a short fine-tuning run (the recipe takes 18 epochs), and its summary."""
    out = tmp_path_factory.mktemp("flowers") / "run"
    weights = shared / "mnv3_small_imagenet" / "mobilenet_v3_small_1.0_224_imagenet_folded.npz"
    summary = run(
        "train.py",
        "--model=small",
        f"--dataset=folder:{shared / 'flowers'}",
        f"--weights={weights}",
        "--epochs=6",
        f"--out={out}",
    )
    return out, summary


@pytest.fixture(scope="module")
def exports(flowers) -> dict[str, tuple[Path, dict]]:
    files = {}
    for quantize in ("none", "int8"):
        path = flowers[0].parent / f"{quantize}.tflite"
        command = ("export_tflite.py", f"--run={flowers[0]}", f"--quantize={quantize}")
        files[quantize] = path, run(*command, f"--out={path}")
    return files


def test_a_short_run_learns_the_flowers(flowers):
    assert flowers[1]["val_top1"] >= 0.9


def test_float32_is_the_same_network_in_one_piece(exports):
    report = exports["none"][1]
    assert report["agreement"] == 1.0
    assert report["xnnpack"]["partitions"] == 1
    assert report["xnnpack"]["outside"] == {}


def test_int8_is_one_piece_and_loses_little(exports):
    report = exports["int8"][1]
    assert report["xnnpack"]["error"] is None
    assert report["xnnpack"]["partitions"] == 1
    assert report["float_islands"] == 0
    assert report["images"] == 350
    assert report["top1"]["exported"] >= report["top1"]["float"] - 0.02
    assert report["bytes"] < 0.35 * exports["none"][1]["bytes"]


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_mediapipe_names_the_flowers(exports, quantize, shared, mediapipe_answers):
    path, report = exports[quantize]
    pictures = sorted((shared / "flowers" / "val").glob("*/*.jpg"))[::10]
    answers = [table[0]["name"] for table in mediapipe_answers(path, pictures)]
    wanted = [picture.parent.name for picture in pictures]
    right = sum(name == kind for name, kind in zip(answers, wanted, strict=True))
    # It scales the whole picture to 224x224, where our evaluation crops, so some may differ.
    assert right / len(pictures) >= report["top1"]["exported"] - 0.1
