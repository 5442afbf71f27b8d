"""Real photographs with boxes and masks, from the files to a judged run, in two steps.

Two steps teach nothing: what is tested is that all parts fit real data.
"""

import json
import math

import pytest

from mnv3_tf import evaluate
from mnv3_tf.training.run import train
from mnv3_tf.training.settings import TrainSettings
from mnv3_tf.ui import cli

WEIGHTS = "mnv3_small_imagenet/mobilenet_v3_small_1.0_224_imagenet_folded.npz"

SETS = {
    "coco128": (
        "detect",
        "coco:{0}/instances_train2017.json,{0},{0}/instances_val2017.json,{0}",
        128,
        (128, 64),
    ),
    "bccd": ("detect", "voc:{0}", 128, (205, 87)),
    "camvid12": ("segment", "masks:{0}", (64, 96), (367, 101)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_two_steps_from_released_weights(name, shared, tmp_path, capsys):
    task, form, resolution, sizes = SETS[name]
    out = tmp_path / "run"
    settings = TrainSettings(
        form.format(shared / name),
        str(out),
        "small",
        task=task,
        resolution=resolution,
        weights=str(shared / WEIGHTS),
        steps=2,
        batch_size=4,
    )
    summary = train(settings)
    score = {"detect": "val_map50", "segment": "val_miou"}[task]
    assert 0 <= summary[score] <= 1
    recorded = json.loads((out / "run.json").read_text())["dataset"]
    assert (recorded["train_images"], recorded["val_images"]) == sizes
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(row["train_loss"]) for row in rows)

    capsys.readouterr()
    arguments = ["evaluate", f"--model_file={out}", "--json", "--batch_size=8"]
    assert cli.call(evaluate.main, evaluate.define_flags, arguments) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["images"] == sizes[1]
    assert (found[score.removeprefix("val_")] or 0.0) == pytest.approx(summary[score], abs=1e-3)
