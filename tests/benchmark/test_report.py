"""The page of a folder of results."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmark import latency_table, paper, profile, report
from mnv3_tf import cli

QUICK = ("--rounds=5", "--burst_ms=1")


def run(module, *flags: object) -> int:
    return cli.call(module.main, module.define_flags, ["benchmark", *map(str, flags)])


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Of one table of the paper, a small profile and a small latency table."""
    from mnv3_tf.export import runtime

    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "warm_up", lambda run: float(np.median(runtime.sample(run, 3))))
        assert run(paper, "--tables=redesigns", *QUICK, f"--out={folder / 'paper'}") == 0
    small = "small_minimalistic"
    assert run(profile, f"--models={small}", "--rounds=1", f"--out={folder / 'profile'}") == 0
    assert (
        run(
            latency_table,
            f"--seeds={small}",
            "--resolution=32",
            *("--networks=2", "--plane=2", "--line=2", "--rounds=1"),
            f"--out={folder / 'latency_table.json'}",
        )
        == 0
    )
    return folder


def test_the_page_has_all_and_needs_nothing_else(results):
    assert run(report, f"--results={results}") == 0
    text = (results / "report.html").read_text()
    assert not re.search(r"<(?:script|link|iframe)|(?:src|href)=\"(?!data:)", text)
    assert text.count("data:image/png") == 3
    for told in (
        "Section 5",
        "published: +7 ms, +30 M MAdds on Pixel 1",
        "python -m benchmark paper --tables=redesigns",
        "1x1 convolution",
        "The latency table",
        json.loads((results / "paper" / "redesigns.json").read_text())["machine"]["platform"],
    ):
        assert told in text


def test_what_is_absent_is_left_out(results, tmp_path):
    shutil.copytree(results / "profile", tmp_path / "profile")
    assert run(report, f"--results={tmp_path}", f"--out={tmp_path / 'page.html'}") == 0
    text = (tmp_path / "page.html").read_text()
    assert text.count("data:image/png") == 1
    assert "Where the time goes" in text
    assert "The latency table" not in text


def test_types_of_operators_sum_to_all(results):
    (row, other) = json.loads((results / "profile" / "profile.json").read_text())["rows"]
    assert (row["quantize"], other["quantize"]) == ("none", "int8")
    assert set(row["us"]) == set(profile.types("classify"))
    assert row["us"]["squeeze-excite"] == 0  # a minimalistic network has none
    assert all(us > 0 for name, us in row["us"].items() if name != "squeeze-excite")


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_every_operator_of_other_tasks_has_a_type(task):
    from mnv3_tf.cost import operators
    from mnv3_tf.tasks import for_phones, resolve_spec

    for model in ("large", "mnasnet_a1"):
        listed = operators(for_phones(resolve_spec(task, model)))
        assert set(map(profile.type_of, listed)) == set(profile.types(task))


@pytest.mark.slow
def test_a_profile_of_another_task(tmp_path, capsys):
    flags = ("--task=segment", "--models=small_minimalistic", "--resolution=64x96", "--rounds=1")
    assert run(profile, *flags, f"--out={tmp_path}") == 0
    row, _ = json.loads((tmp_path / "profile.json").read_text())["rows"]
    assert row["us"]["resize"] > 0
    assert "resize" in capsys.readouterr().out


def test_bad_folders_get_one_sentence(tmp_path, capsys):
    assert run(report, f"--results={tmp_path / 'nowhere'}") == 2
    assert "holds no results; make some with python -m benchmark paper" in capsys.readouterr().err
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "networks.json").write_text('{"cut": ')
    assert run(report, f"--results={tmp_path}") == 2
    assert "measure it again" in capsys.readouterr().err
