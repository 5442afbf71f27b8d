"""What holds of every network's file holds of Large and Small of the other tasks, whole."""

import numpy as np
import pytest
from random_network import randomise, relative_error, settle

from mnv3_tf.export import inspection, post_process
from mnv3_tf.export.answering import open_model
from mnv3_tf.export.convert import convert
from mnv3_tf.export.exporter import ExportOptions, export
from mnv3_tf.export.lowering import lowered_model
from mnv3_tf.export.runtime import TFLiteModel
from mnv3_tf.models import build
from mnv3_tf.tasks import resolve_spec

NETWORKS = [(task, model) for task in ("detect", "segment") for model in ("large", "small")]


def network(task, model, width, resolution):
    spec = resolve_spec(task, model, width, resolution, 5)
    rng = np.random.default_rng(0)
    pictures = rng.uniform(-1, 1, (16, *spec.image_size, 3)).astype(np.float32)
    return spec, settle(randomise(build(spec)), pictures[:8]), pictures


@pytest.mark.slow
@pytest.mark.parametrize(("task", "model"), NETWORKS)
def test_float_answers_alike_in_one_partition(task, model, tmp_path):
    spec, trained, pictures = network(task, model, 1.0, 160)
    content = convert(
        lowered_model(spec, trained, "fused"),
        "none",
        output="raw" if task == "detect" else "scores",
    )
    if task == "detect":
        content = post_process.in_order(content)
    (tmp_path / "m.tflite").write_bytes(content)
    assert inspection.inspect(tmp_path / "m.tflite")["xnnpack"]["partitions"] == 1
    found = TFLiteModel(tmp_path / "m.tflite").answers(pictures[0])
    expected = trained(pictures[:1], training=False)
    if task == "detect":
        codes, logits = (part.numpy() for part in expected)
        assert relative_error(codes, found[0]) < 1e-4
        assert relative_error(1 / (1 + np.exp(-logits)), found[1]) < 1e-4
    else:
        assert relative_error(expected, found[0]) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("task", "model"), [("detect", "large"), ("segment", "small")])
def test_int8_is_one_partition(task, model, tmp_path):
    spec, trained, pictures = network(task, model, 0.35, 96)
    out = tmp_path / "m.tflite"
    report = export(spec, trained, ExportOptions("int8"), out, None, pictures)
    assert report["xnnpack"]["partitions"] == 1
    assert report["xnnpack"]["error"] is None
    assert report["ops"].get("HARD_SWISH") is None
    answer = open_model(out).answer(np.zeros((50, 60, 3), np.uint8))
    if task == "segment":
        assert answer.shape == (50, 60)
    else:
        assert len(answer.boxes) == len(answer.scores)
