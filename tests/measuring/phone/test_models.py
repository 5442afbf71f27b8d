"""What is known of models before a phone is touched."""

import hashlib
import json
import shutil

import pytest
from foreign_files import ForeignFile, colour_classifier, written
from looking import in_process
from refusals import refused

from mnv3_tf.errors import UserError
from mnv3_tf.measuring.phone import binary, models, plan
from mnv3_tf.tflite import inspection


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ({"partitions": 7, "outside": {"MEAN": 6}}, None),
        ({"partitions": 8, "outside": {"MEAN": 6, "MUL": 1}}, "in 8 pieces, cut by 6 MEAN, 1 MUL."),
        (
            {"partitions": 20, "outside": {"HARD_SWISH": 19}},
            "in 20 pieces, cut by 19 HARD_SWISH (export it with --hard_swish=composite).",
        ),
        ({"partitions": None, "error": "no such scale"}, "refuses this file (no such scale)."),
        ({"partitions": 0, "outside": {}}, None),
    ],
)
def test_what_xnnpack_would_make_of_a_file_is_foreseen(
    model_files, monkeypatch, share, said
) -> None:
    asked = []

    def inspect(path):
        asked.append(path)
        return {"xnnpack": {"error": None, **share}}

    monkeypatch.setattr(inspection, "inspect", inspect)
    found = models.load([str(file) for file in model_files])
    told = models.warnings(found, "xnnpack")
    assert models.warnings(found, "xnnpack") == told
    assert asked == model_files  # each is looked at once
    assert [text.partition(":")[0] for text in told] == ["one", "other"] * bool(said)
    assert all(text.endswith(said) for text in told)
    assert models.warnings(found, "none") == []


def test_a_phone_is_told_the_size_of_an_input_that_may_have_any(tmp_path) -> None:
    free = {"shape": (1, 1, 1, 3), "signature": (-1, -1, -1, 3), "name": "serving:0"}
    path = written(tmp_path, colour_classifier(**free))
    with in_process():
        (model,) = models.load([str(path)])
        with refused(path, "any size (1 x any x any x 3)", "--input_shape=1x224x224x3"):
            models.require_sizes([model], None)
        models.require_sizes([model], (1, 96, 96, 3))
    assert models.warnings([model], "xnnpack") == []
    settings = plan.PhoneSettings(input_shape=(1, 96, 96, 3))
    first = next(plan.planned_runs([model], settings, "phone", "binary", None)).configuration
    flags = ["--input_layer=serving:0", "--input_layer_shape=1,96,96,3"]
    assert first.arguments(binary.TFLITE, "graph")[-2:] == flags
    with refused("--input_shape=1x96x96x3 cannot be told to LiteRT's benchmark_model"):
        first.arguments(binary.LITERT, "graph")


def test_what_does_not_run_here_is_told_without_blaming_xnnpack(tmp_path) -> None:
    file = ForeignFile()
    made = file.add("FlexAbs", [file.input((1, 4))], (1, 4))
    with in_process():
        (text,) = models.warnings(
            models.load([str(written(tmp_path, file.finish(made)))]), "xnnpack"
        )
    assert text.startswith("m: on this computer it holds operators of TensorFlow itself (FlexAbs)")


@pytest.mark.parametrize("error", [ImportError("no litert"), UserError("It is damaged.")])
def test_nothing_is_foreseen_of_what_cannot_be_looked_at(model_files, monkeypatch, error) -> None:
    def inspect(path):
        raise error

    monkeypatch.setattr(inspection, "inspect", inspect)
    found = models.load([str(model_files[0])])
    assert found[0].xnnpack is None
    assert models.warnings(found, "xnnpack") == []


def test_a_report_counts_only_for_the_content_that_it_is_of(model_files, tmp_path) -> None:
    file = tmp_path / "m.tflite"
    shutil.copy(model_files[0], file)
    (bare,) = models.load([str(file)])
    assert bare.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (bare.name, bare.bytes) == ("m", file.stat().st_size)
    assert bare.accuracy is bare.quantize is bare.evaluated_on is None
    report = {
        "sha256": bare.sha256,
        "quantize": "int8",
        "top1": {"exported": 0.5, "source": 0.6},
        "images": 200,
    }
    file.with_suffix(".report.json").write_text(json.dumps(report))
    (told,) = models.load([str(file)])
    assert (told.accuracy, told.quantize, told.evaluated_on) == (0.5, "int8", 200)
    shutil.copy(model_files[1], file)
    assert models.load([str(file)])[0].accuracy is None
    for damaged in ("[1]", "{"):
        file.with_suffix(".report.json").write_text(damaged)
        assert models.load([str(file)])[0].accuracy is None


def test_files_of_one_name_are_told_apart_by_their_folders(model_files, tmp_path) -> None:
    paths = []
    for folder, source in zip("ab", model_files, strict=True):
        (tmp_path / folder).mkdir()
        paths.append(str(shutil.copy(source, tmp_path / folder / "m.tflite")))
    assert [model.name for model in models.load(paths)] == [path[:-7] for path in paths]
    with refused("given twice in --models"):
        models.load([paths[0], paths[0]])
