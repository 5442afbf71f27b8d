"""What an export may be asked for; and that one that fails leaves nothing behind."""

from pathlib import Path
from typing import Any

import pytest
import tiny
from random_network import randomise

from mnv3_tf.errors import UserError
from mnv3_tf.export.exporter import export
from mnv3_tf.export.settings import ExportOptions
from mnv3_tf.export.targets import TARGETS
from mnv3_tf.models import build
from mnv3_tf.tflite import inspection
from mnv3_tf.ui import cli

pytestmark = pytest.mark.usefixtures("no_timing")


SPEC = tiny.SHALLOW


@pytest.fixture(scope="module")
def model():
    return randomise(build(SPEC))


@pytest.mark.parametrize(
    ("quantize", "target", "expected"),
    [
        ("none", "xnnpack", "fused"),
        ("float16", "gpu", "fused"),
        ("dynamic", "xnnpack", "fused"),
        ("int8", "xnnpack", "composite"),
        ("int8", "gpu", "fused"),
        ("int8", "nnapi", "fused"),
        ("int8", "edgetpu", "composite"),
        ("int8", "reference", "fused"),
    ],
)
def test_how_h_swish_is_written(quantize, target, expected):
    lowering, reason = ExportOptions(quantize, target=target).lowering()
    assert lowering == expected
    assert len(reason) > 10
    for asked in ("fused", "composite", "equalized"):
        assert ExportOptions(quantize, asked, target).lowering() == (asked, "asked for")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"quantize": "int4"}, "--quantize=int4 is not one of none, float16, dynamic, int8"),
        (
            {"hard_swish": "swish"},
            "--hard_swish=swish is not one of auto, fused, composite, equalized",
        ),
        ({"target": "dsp"}, "--target=dsp is not one of xnnpack, gpu, nnapi, edgetpu, reference"),
        ({"output": "labels"}, "--output=labels is not one of probabilities, logits"),
        ({"input_type": "int16"}, "--input_type=int16 is not one of uint8, int8, float32"),
        ({"input_type": "uint8"}, "--input_type=uint8 needs --quantize=int8"),
        ({"quantize": "dynamic", "input_type": "int8"}, "--input_type=int8 needs --quantize=int8"),
        (
            {"target": "edgetpu", "quantize": "float16"},
            "--target=edgetpu has no use for --quantize=float16: the Edge TPU computes in 8 bits "
            "alone; give --quantize=int8",
        ),
        (
            {"target": "nnapi", "quantize": "dynamic"},
            "--target=nnapi has no use for --quantize=dynamic: .* depthwise .*; give "
            "--quantize=none or float16 or int8",
        ),
    ],
)
def test_options_that_do_not_go_together(options, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        ExportOptions(**options)
    assert "\n" not in str(caught.value)


def test_every_target_says_where_it_is_from_what_is_claimed():
    text = (Path(__file__).parents[2] / "docs" / "int8.md").read_text()
    for name, target in TARGETS.items():
        assert f"| `{name}` | `{target.hard_swish}` |" in text
        assert target.source in text


def test_int8_needs_pictures(model, tmp_path):
    with pytest.raises(UserError, match="Calibration needs pictures"):
        export(SPEC, model, ExportOptions("int8"), tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


def test_a_file_that_the_runtime_refuses_is_not_kept(model, tmp_path, monkeypatch):
    honest = inspection.inspect

    def refusing(path: Path) -> dict[str, Any]:
        found = honest(path)
        return found | {"xnnpack": found["xnnpack"] | {"error": "rescale 337 is too much"}}

    monkeypatch.setattr(inspection, "inspect", refusing)
    (tmp_path / "m.tflite").write_text("what was there")
    with pytest.raises(UserError, match=r"m\.tflite does not load under XNNPACK: rescale 337"):
        export(SPEC, model, ExportOptions(), tmp_path / "m.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["m.tflite"]
    assert (tmp_path / "m.tflite").read_text() == "what was there"
    # Others may run it.
    for target in ("reference", "gpu"):
        report = export(SPEC, model, ExportOptions(target=target), tmp_path / f"{target}.tflite")
        assert "XNNPACK refuses the file" in report["warnings"][0]


def test_a_failure_while_measuring_leaves_nothing(model, tmp_path, monkeypatch):
    from mnv3_tf.export import exporter

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(exporter, "layer_sqnr", fail)
    with pytest.raises(RuntimeError):
        export(SPEC, model, ExportOptions(), tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Cannot write .*file/m\.tflite"):
        export(SPEC, model, ExportOptions(), tmp_path / "file" / "m.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_errors_reach_the_user_as_one_sentence(capsys):
    def main(_: Any) -> None:
        ExportOptions("int8", input_type="int16")  # type: ignore[arg-type]

    assert cli.call(main, lambda values: None, ["export"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
