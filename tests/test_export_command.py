"""export_tflite.py as a user meets it: what it asks of the toolkit, and refuses."""

import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest
import tiny
from export_toolkit import OWN, REPORT, Toolkit, call
from refusals import check_command, check_sentence

import export_tflite
from mnv3_tf.export import exporter
from mnv3_tf.export.settings import ExportOptions, ExportSettings
from mnv3_tf.networks.named import resolve
from mnv3_tf.training import recipe
from mnv3_tf.ui import settings


def of_the_file(options: ExportOptions) -> ExportOptions:
    """Of the settings, those of the file."""
    return ExportOptions(**{f.name: getattr(options, f.name) for f in fields(ExportOptions)})


def words(text: str) -> str:
    return " ".join(text.split())


# -- what is asked of the toolkit ------------------------------------------------------------


@pytest.fixture
def toolkit(monkeypatch) -> Toolkit:
    return Toolkit(monkeypatch)


def test_a_network_without_more_words(toolkit):
    assert call("--weights=w.h5", "--width=0.5", "--num_classes=7", "--out=x/m.tflite") == 0
    assert toolkit.asked["load"] == (resolve("large", 0.5, num_classes=7), "w.h5")
    assert toolkit.asked["pictures"] == ([], None, 32, None, 0, None, "classify", None)
    spec, model, options, *rest = toolkit.asked["export"]
    assert (spec, model, of_the_file(options)) == (toolkit.spec, "the file's", ExportOptions())
    assert rest == [Path("x/m.tflite"), None, None, (), None, None, "crop", {}]


def test_every_option(toolkit):
    flags = ["--hard_swish=fused", "--target=gpu", "--input_type=int8", "--output=logits"]
    more = ["--quantize=int8", "--calibration=shapes", "--threads=3", "--calibration_images=5"]
    more += ["--input_range=0..1", "--view=whole"]
    assert call("--weights=w", "--data_dir=/d", "--out=m.tflite", *flags, *more) == 0
    assert toolkit.asked["range"] == "0..1"
    assert toolkit.asked["pictures"] == (
        ["shapes"],
        "shapes",
        32,
        "/d",
        0,
        None,
        "classify",
        "whole",
    )
    asked = toolkit.asked["export"]
    wanted = ExportOptions("int8", "fused", "gpu", "int8", "logits", 3)
    assert of_the_file(asked.options) == wanted
    assert asked.calibration == ("images", 5, 32)
    # What calibrates is looked at by both, and judges neither.
    assert (asked.view, asked.evaluation) == ("whole", ("whole", 32, 32, (-1, -1, -1)))
    assert asked.other_views == {}
    # Other networks than a run's are quantised without training.
    assert asked.training is None


@pytest.mark.parametrize(
    ("flags", "sources", "judged", "data_dir"),
    [
        (["--quantize=int8"], ["folder:own"], "folder:own", "/data"),
        (["--quantize=float16"], [], "folder:own", "/data"),
        (["--quantize=int8", "--dataset=a"], ["folder:own"], "a", "/data"),
        (["--quantize=int8", "--calibration=a"], ["a"], "folder:own", "/data"),
        (["--data_dir=/d", "--dataset=a"], [], "a", "/d"),
    ],
)
def test_pictures_of_a_run(flags, sources, judged, data_dir, toolkit):
    assert call("--run=r", "--out=m.tflite", *flags) == 0
    assert toolkit.asked["load"] == "r"
    found = toolkit.asked["pictures"]
    assert found == (sources, judged, 32, data_dir, 7, OWN, "classify", "crop")
    assert toolkit.asked["export"].trained_on == OWN


TWO = ["--calibration=a", "--calibration=b"]


@pytest.mark.parametrize(
    ("flags", "said", "steps"),
    [
        (["--run=r"], "quantisation-aware training, 600 steps on 10 pictures", None),
        (["--run=r", "--qat_steps=7"], "quantisation-aware training, 7 steps", 7),
        (["--run=r", "--method=ptq"], "post-training quantisation on up to 512 pictures.", 0),
        (["--weights=w", *TWO], "post-training quantisation on up to 512 pictures.", 0),
        (["--weights=w", "--method=qat", *TWO], "600 steps on 21 pictures", None),
        (["--weights=w", "--qat_steps=7", *TWO], "7 steps on 21 pictures", 7),
        (["--run=r", "--calibration_images=99", "--method=ptq"], "on up to 99 pictures.", 0),
    ],
)
def test_how_int8_is_made(flags, said, steps, toolkit, capsys):
    """A --run is trained, for which its recipe's pictures are at hand; other networks are not."""
    assert call("--out=x/m.tflite", "--quantize=int8", *flags) == 0
    printed = words(capsys.readouterr().out)
    assert f"int8 by {said}" in printed or said in printed
    assert ("--method=ptq is quicker." in printed) == (steps != 0)
    training = toolkit.asked["export"].training
    if steps == 0:
        assert training is None
        return
    assert training.steps == (steps or 600)
    splits, resolution, asked_steps, checkpoints, augmentation, task = toolkit.asked["training"]
    assert [split.size for split in splits] == ([10, 11] if TWO[0] in flags else [10])
    assert (resolution, asked_steps, checkpoints) == (32, steps, Path("x/m.qat"))
    own = recipe.load("quick").augmentation if "--run=r" in flags else None
    assert (augmentation, task) == (own, "classify")


def test_a_set_of_one_part_calibrates_and_judges(toolkit, capsys):
    toolkit.shared = True
    assert call("--run=r", "--out=m.tflite", "--quantize=int8", "--method=ptq") == 0
    assert "on the validation pictures: there are no others" in capsys.readouterr().out


def test_whose_names_travel(toolkit, tmp_path):
    """--labels before the run's; a dataset names no classes."""

    def names(*flags: str) -> tuple[str, ...] | None:
        assert call("--out=m.tflite", *flags) == 0
        return toolkit.asked["export"].class_names

    (tmp_path / "labels.txt").write_bytes("\ufeffx\r\ny\r\nz\r\n\r\n".encode())  # by Windows
    labels = f"--labels={tmp_path}/labels.txt"
    assert names("--run=r", labels) == ("x", "y", "z")
    assert names("--run=r", "--dataset=a") == ("r", "u", "n")
    assert names("--weights=w", "--dataset=a") is None
    assert names("--weights=w", "--quantize=int8", "--calibration=a") is None
    assert names("--weights=w", labels) == ("x", "y", "z")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"x\ny\n", ["names 2 classes", "tiny has 3"]),
        ("Gänseblümchen\nb\nc\n".encode("latin-1"), ["no text in UTF-8", "its byte 1 is 0xe4"]),
        (b"x\n\ny\n", ["no name for class 1"]),
        (None, ["labels.txt"]),
    ],
)
def test_labels_are_looked_at_before_the_work(content, named, toolkit, tmp_path, capsys):
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    flags = ["--quantize=int8", "--qat_steps=7", "--calibration=a", f"--labels={path}"]
    assert call("--weights=w", "--out=m.tflite", *flags) == 2
    check_sentence(capsys.readouterr().err, path, *named)
    assert not {"pictures", "training", "export"} & set(toolkit.asked)


def test_pictures_of_other_classes(toolkit, capsys):
    """Are refused, or renumbered by their names; what only calibrates needs no classes."""
    toolkit.evaluation_set = replace(toolkit.evaluation_set, numbered=False)
    assert call("--run=r", "--dataset=a", "--out=m.tflite") == 0
    assert toolkit.asked["export"].evaluation == ("crop", 32, 32, (2, 1, 0))
    toolkit.run_names = ("r", "u")
    assert call("--run=r", "--dataset=a", "--out=m.tflite") == 2
    assert "d has the class n, but tiny knows r, u" in capsys.readouterr().err
    int8 = ["--quantize=int8", "--calibration=a", "--num_classes=4"]
    toolkit.spec = tiny.CLASSIFIER.replace(num_classes=4)
    assert call("--weights=w", *int8, "--out=m.tflite") == 0
    assert toolkit.asked["export"].evaluation == ("crop", 32, 32, (-1, -1, -1))


def test_what_is_seen_of_the_pictures(toolkit, capsys):
    """What is asked for, else what the run records, else what suits them; the other is told too."""

    def seen(*flags: str) -> tuple[str, tuple, dict[str, tuple]]:
        assert call("--out=m.tflite", *flags) == 0
        asked = toolkit.asked["export"]
        return asked.view, asked.evaluation[0], {v: b[0] for v, b in asked.other_views.items()}

    crop, whole = ("crop", "crop", {"whole": "whole"}), ("whole", "whole", {"crop": "crop"})
    assert seen("--run=r") == crop
    assert seen("--run=r", "--view=whole") == whole
    assert seen("--weights=w", "--dataset=a") == crop
    toolkit.preprocessing = {"view": "whole"}
    assert seen("--run=r") == whole
    assert seen("--run=r", "--view=crop") == crop
    toolkit.asked.clear()
    toolkit.spec = tiny.DETECTOR
    assert call("--run=r", "--out=m.tflite", "--view=crop") == 2
    check_sentence(capsys.readouterr().err, "--view=crop", "--task=detect", "the whole picture")
    assert "pictures" not in toolkit.asked


def test_from_python_as_with_flags(toolkit):
    """The settings make the command that makes the same file."""
    more = {"calibration": ("a", "b"), "qat_steps": 7, "resolution": (36, 48), "width": 0.5}
    asked = ExportSettings(out="x/m.tflite", run="r", quantize="int8", task="segment", **more)
    assert exporter.export_tflite(asked) == REPORT
    from_python, toolkit.asked = toolkit.asked, {}
    python, script, *flags = shlex.split(settings.command("export_tflite.py", asked))
    assert (python, script) == ("python", "export_tflite.py")
    assert call(*flags) == 0
    assert toolkit.asked["export"].options == from_python["export"].options == asked
    assert toolkit.asked["pictures"] == from_python["pictures"]


# -- what is refused -------------------------------------------------------------------------

INT8 = ["--out=m.tflite", "--weights=b", "--quantize=int8", "--calibration=folder:c"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--weights=w.h5"], "--out is missing"),
        (["--weights=w.h5", "--out=m.bin"], "--out=m.bin must end in .tflite"),
        (["--out=m.tflite"], "Give either --run, or --model and --weights"),
        (["--out=m.tflite", "--run=a", "--weights=b"], "Give either --run"),
        (["--out=m.tflite", "--weights=b", "--quantize=int8"], "int8 needs pictures"),
        (["--out=m.tflite", "--weights=b", "--method=foo"], "--method=foo is not one of ptq, qat"),
        (["--out=m.tflite", "--weights=b", "--method=ptq"], "are of int8; give --quantize=int8"),
        (["--out=m.tflite", "--weights=b", "--qat_steps=9"], "are of int8; give --quantize=int8"),
        ([*INT8, "--method=ptq", "--qat_steps=9"], "--qat_steps is of --method=qat; leave it out"),
        (["--out=m.tflite", "--weights=b", "--quantize=int4"], "--quantize=int4 is not one of"),
        (["--out=m.tflite", "--weights=b", "--hard_swish=x"], "--hard_swish=x is not one of"),
        (["--out=m.tflite", "--weights=b", "--input_type=uint8"], "needs --quantize=int8"),
        (["--out=m.tflite", "--weights=/nowhere/w.h5"], "/nowhere/w.h5"),
        (["--out=m.tflite", "--run=/nowhere"], "/nowhere"),
        (["--out=m.tflite", "--weights=b", "--model=resnet"], "Unknown model 'resnet'"),
        (["--out=m.tflite", "--weights=b", "--width=0"], "Width multiplier 0.0"),
    ],
)
def test_bad_arguments(arguments, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    check_command(export_tflite, arguments, named, capsys, tmp_path)


@pytest.mark.parametrize("name", ["qat_steps", "calibration_images", "threads"])
def test_bounds_of_flags(name, toolkit, capsys):
    assert call(*INT8, f"--{name}=0") == 2
    assert name in capsys.readouterr().err
    assert not toolkit.asked
    more = ["--method=qat"] if name == "qat_steps" else []
    assert call(*INT8, *more, f"--{name}=1") == 0
