"""What is known of models before a phone is touched."""

import json
import shutil

import pytest

from android_bench import models
from mnv3_tf.errors import UserError


@pytest.mark.slow
def test_a_file_that_will_be_cut_to_pieces_is_named(int8_files) -> None:
    found = models.load([str(file) for file in int8_files])
    (said,) = models.warnings(found, "xnnpack")
    assert said.startswith("fused: XNNPACK will run it in ")
    assert "19 HARD_SWISH" in said
    assert "(export it with --hard_swish=composite)" in said
    assert models.warnings(found, "none") == []


def test_a_report_counts_only_for_the_content_that_it_is_of(model_files, tmp_path) -> None:
    file = tmp_path / "m.tflite"
    shutil.copy(model_files[0], file)
    (bare,) = models.load([str(file)])
    assert bare.accuracy is None
    report = {"sha256": bare.sha256, "quantize": "int8", "top1": {"exported": 0.5}}
    file.with_suffix(".report.json").write_text(json.dumps(report))
    (told,) = models.load([str(file)])
    assert (told.accuracy, told.quantize) == (0.5, "int8")
    shutil.copy(model_files[1], file)
    assert models.load([str(file)])[0].accuracy is None
    file.with_suffix(".report.json").write_text("[1]")
    assert models.load([str(file)])[0].accuracy is None


def test_files_of_one_name_are_told_apart_by_their_folders(model_files, tmp_path) -> None:
    paths = []
    for folder, source in zip("ab", model_files, strict=True):
        (tmp_path / folder).mkdir()
        paths.append(str(shutil.copy(source, tmp_path / folder / "m.tflite")))
    assert [model.name for model in models.load(paths)] == [path[:-7] for path in paths]
    with pytest.raises(UserError, match="given twice"):
        models.load([paths[0], paths[0]])
