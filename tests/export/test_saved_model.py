"""SavedModels: what Keras 3 makes of them, and folders that are written whole."""

import json
from functools import partial

import commands
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny
from commands import last_json
from making import LABELS, load_network, network, pictures
from refusals import check_command, refused

import export_tflite
from mnv3_tf.export import saved_model
from mnv3_tf.export.settings import ExportSettings

keras = pytest.importorskip("keras", "3")
call = partial(commands.call, export_tflite)


@pytest.fixture(scope="module")
def weights(made) -> list[str]:
    folder = made(network, "classify")
    return [f"--model={folder / 'spec.json'}", f"--weights={folder / 'network.weights.h5'}"]


def answers(folder, images: np.ndarray) -> dict[str, np.ndarray]:
    """Keras 3's, from outside: by the layer that loads SavedModels."""
    layer = keras.layers.TFSMLayer(str(folder), call_endpoint="serving_default")
    return {name: np.asarray(value) for name, value in layer(images).items()}


@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_keras_3_gives_what_the_network_gives(output, weights, made, tmp_path, capsys):
    out, labels = tmp_path / "new" / "saved", tmp_path / "names.txt"
    labels.write_text("\n".join(LABELS))
    flags = [f"--output={output}", f"--labels={labels}", "--format=savedmodel", "--json"]
    assert call(*weights, *flags, f"--out={out}") == 0
    report = last_json(capsys.readouterr().out)
    shown = pictures("classify", 5, seed=3)
    _, model = load_network(made(network, "classify"))
    wanted = np.asarray(model(shown, training=False))
    if output == "probabilities":
        wanted = np.asarray(tf.nn.softmax(wanted))
    (name, found), *others = answers(out, shown).items()
    assert (name, others) == (output, [])
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.ptp(found) > 0.01
    assert report["outputs"] == {output: [None, 3]}
    assert report["input"] == {"image": [None, 32, 32, 3]}
    assert (report["format"], report["labels"]) == ("savedmodel", list(LABELS))
    assert report["difference"] < 1e-5
    assert report["bytes"] == sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    assert (out / "assets" / "labels.txt").read_text().split() == list(LABELS)
    assert [path.name for path in out.parent.iterdir()] == ["saved"]
    json.dumps(report)


@pytest.mark.parametrize(
    ("task", "output", "shapes"),
    [
        ("detect", "detections", {"boxes": (2, 100, 4), "classes": (2, 100), "scores": (2, 100)}),
        ("detect", "raw", {"box_codes": (2, 78, 4), "scores": (2, 78, 4)}),
        ("segment", "classes", {"classes": (2, 64, 96)}),
    ],
)
def test_other_tasks(task, output, shapes, made, tmp_path):
    """78 anchors: 3 in each of 4x4 places, 6 in each of 2x2 and of 1."""
    spec, model = load_network(made(network, task))
    assert saved_model.write(spec, model, tmp_path / "saved", output)["difference"] < 1e-5
    shown = pictures(task, 2)
    found = answers(tmp_path / "saved", shown)
    assert {name: value.shape for name, value in found.items()} == shapes
    given = model(shown, training=False)
    if task == "segment":
        np.testing.assert_array_equal(found["classes"], np.asarray(given).argmax(-1))
    elif output == "raw":
        np.testing.assert_allclose(found["box_codes"], np.asarray(given[0]), atol=1e-4)
    else:
        assert np.all(np.diff(found["scores"]) <= 0)  # best first
        assert set(np.unique(found["classes"])) <= {-1, 0, 1, 2}


def test_an_earlier_one_is_replaced_and_nothing_else_is(tmp_path, monkeypatch):
    sides = (*tiny.CLASSIFIER.image_size, 3)
    means = tf_keras.Sequential([tf_keras.layers.GlobalAveragePooling2D(input_shape=sides)])
    write = partial(saved_model.write, tiny.CLASSIFIER, means)

    def found() -> list[str]:
        return [*tf.saved_model.load(str(out)).signatures["serving_default"].structured_outputs]

    out = tmp_path / "saved"
    out.mkdir()  # empty: nothing is lost
    write(out, "logits")
    write(out)
    assert found() == ["probabilities"]

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(saved_model, "_difference", dies)
        with pytest.raises(KeyboardInterrupt):
            write(out, "logits")
    assert found() == ["probabilities"]
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "mine.jpg").write_bytes(b"mine")
    for taken in (photos, photos / "mine.jpg"):
        with refused(taken, "holds no saved_model.pb"):
            write(taken)
    assert (photos / "mine.jpg").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "saved"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--quantize=int8", "--calibration=shapes"], ["--quantize=int8", "in float32"]),
        (["--quantize=float16"], "--quantize=float16 is of a .tflite"),
        (["--target=gpu"], "--target=gpu is of a .tflite"),
        (["--calibration=a", "--calibration=b"], "--calibration=a,b is of a .tflite"),
        (["--output=raw"], ["--output=raw is not one of probabilities, logits"]),
        (["--out=m.tflite"], ["--out=m.tflite", "makes a folder"]),
    ],
)
def test_what_a_saved_model_has_not(flags, named, weights, tmp_path, capsys):
    out = [] if "--out=m.tflite" in flags else [f"--out={tmp_path}/saved"]
    check_command(
        export_tflite, [*weights, "--format=savedmodel", *out, *flags], named, capsys, tmp_path
    )


def test_a_tflite_is_written_unless_asked_otherwise():
    assert ExportSettings(out="m.tflite", weights="w").format == "tflite"
    with refused("--out=saved must end in .tflite"):
        ExportSettings(out="saved", weights="w")
