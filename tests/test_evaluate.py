import json
from pathlib import Path

import numpy as np
import pytest

from mnv3_tf import cli, evaluate
from mnv3_tf.networks import resolve
from mnv3_tf.training.settings import Settings


def call(*arguments: str) -> int:
    return cli.call(evaluate.main, evaluate.define_flags, ["evaluate", *arguments])


def last_json(text: str) -> dict:
    return json.loads(text.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """DIR/CLASS/*: bright and dark noise, 20 each, so that a split has to be drawn."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, low in (("bright", 100), ("dark", 0)):
        (root / name).mkdir()
        for index in range(20):
            pixels = rng.integers(low, low + 150, (36, 36, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory) -> str:
    """The path of a spec JSON: the first two blocks of a narrow Small."""
    spec = resolve("small", 0.35, 32)
    path = tmp_path_factory.mktemp("spec") / "tiny.json"
    path.write_text(spec.replace(blocks=spec.blocks[:2], last_conv=16, hidden=16).to_json())
    return str(path)


@pytest.fixture(scope="module")
def run(pictures, tiny_model, tmp_path_factory) -> tuple[str, dict]:
    """A run folder and its summary."""
    from mnv3_tf.training.run import train

    out = str(tmp_path_factory.mktemp("run") / "run")
    settings = Settings(
        f"folder:{pictures}", out, tiny_model, recipe="quick", steps=8, batch_size=4, seed=9
    )
    return out, train(settings)


def test_a_run_folder_is_judged_by_the_pictures_that_it_was_judged_by(run, capsys):
    out, summary = run
    assert call(f"--model_file={out}", "--json") == 0
    printed = capsys.readouterr().out
    found = last_json(printed)
    assert "top-1" in printed
    assert found["top1"] == summary["val_top1"]
    assert found["images"] < 40
    assert (found["top5"], found["skipped"], found["split"]) == (1.0, 0, "val")


def test_its_weights_file_gives_the_same(run, pictures, tiny_model, capsys):
    out, summary = run
    flags = [f"--model={tiny_model}", "--num_classes=2", "--seed=9"]
    weights = f"--model_file={out}/best.weights.h5"
    assert call(weights, f"--dataset=folder:{pictures}", *flags, "--json") == 0
    assert last_json(capsys.readouterr().out)["top1"] == summary["val_top1"]


def test_weights_without_a_fitting_head_cannot_be_judged(run, pictures, tiny_model, capsys):
    weights = f"--model_file={run[0]}/best.weights.h5"
    assert call(weights, f"--model={tiny_model}", f"--dataset=folder:{pictures}") == 2
    assert "no head of 1000 classes" in capsys.readouterr().err


def test_other_classes_are_refused(run, tmp_path, pictures, capsys):
    for name, source in (("cat", "bright"), ("dog", "dark")):
        (tmp_path / name).symlink_to(pictures / source)
    assert call(f"--model_file={run[0]}", f"--dataset=folder:{tmp_path}") == 2
    assert "bright, dark" in capsys.readouterr().err


def test_a_tflite_gives_what_its_model_gives(tmp_path, pictures, tiny_model, capsys):
    import tf_keras

    from mnv3_tf.export.convert import convert
    from mnv3_tf.models import build

    tf_keras.utils.set_random_seed(1)
    model = build(resolve(tiny_model, num_classes=2))
    model.save_weights(tmp_path / "w.weights.h5")
    (tmp_path / "m.tflite").write_bytes(convert(model, "none"))
    dataset = f"--dataset=folder:{pictures}"
    assert call(f"--model_file={tmp_path}/m.tflite", dataset, "--json") == 0
    exported = last_json(capsys.readouterr().out)
    flags = [f"--model={tiny_model}", "--num_classes=2"]
    assert call(f"--model_file={tmp_path}/w.weights.h5", dataset, *flags, "--json") == 0
    kept = last_json(capsys.readouterr().out)
    assert (exported["images"], exported["resolution"], exported["num_classes"]) == (
        kept["images"],
        32,
        2,
    )
    assert exported["top1"] == kept["top1"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--model_file is missing"),
        (["--model_file=/nowhere/m.tflite", "--dataset=shapes"], "/nowhere/m.tflite does not"),
        (["--model_file=imagenet"], "--dataset is missing"),
    ],
)
def test_bad_arguments(arguments, sentence, capsys):
    assert call(*arguments) == 2
    assert sentence in capsys.readouterr().err


def test_a_folder_without_a_run(tmp_path, capsys):
    assert call(f"--model_file={tmp_path}", "--dataset=shapes") == 2
    assert "holds no run.json" in capsys.readouterr().err


def test_a_tflite_that_is_cut_short(tmp_path, capsys):
    (tmp_path / "m.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3\x00\x00")
    assert call(f"--model_file={tmp_path}/m.tflite", "--dataset=shapes") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_released_weights_on_real_photographs(shared, capsys):
    weights = shared / "mnv3_small_imagenet/mobilenet_v3_small_1.0_224_imagenet_folded.npz"
    dataset = f"--dataset=csv:{shared}/imagenet_samples_256/labels.csv"
    assert call(f"--model_file={weights}", "--model=small", dataset, "--json") == 0
    assert last_json(capsys.readouterr().out)["top1"] >= 0.795
