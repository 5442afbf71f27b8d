"""What people see of the results."""

import copy
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_phone import plugging, write_binary
from test_session import QUICK

from android_bench import binary as binaries
from android_bench import models, operators, page, plan, report, results
from android_bench.adb import Adb
from android_bench.journal import Journal
from android_bench.session import Session

NASTY = "<script>alert(1)</script>|"


def measured(client: str, files: Sequence[Path], folder: Path) -> dict:
    """The results of a real run over a fake phone."""
    settings = plan.Settings(**(QUICK | {"rounds": 5, "profile_ops": True}))
    program = binaries.local(str(write_binary(folder / "benchmark_model")))
    with plugging(client, folder) as plug_in:
        session = Session(
            Adb(client, plug_in().serial),
            models.load([str(file) for file in files]),
            settings,
            lambda _: program,
            Journal(folder / "journal.jsonl"),
            folder / "logs",
            print,
        )
        session.run()
    return results.collect([session], settings, "python -m android_bench run", "29")


@pytest.fixture(scope="module")
def of_two_models(adb_client, model_files, tmp_path_factory) -> dict:
    """One of them has a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    file = folder / f"{NASTY.replace('/', '')}.tflite"
    file.write_bytes(model_files[0].read_bytes())
    return measured(adb_client, [file, model_files[1]], folder)


@pytest.fixture
def found(of_two_models) -> dict:
    return copy.deepcopy(of_two_models)


def test_the_page_needs_nothing_but_itself(found) -> None:
    text = page.html(found)
    assert not re.search(r"<(?:script|link|iframe)|(?:src|href)=\"(?!data:)", text)
    assert "alert(1)" in text
    assert text.count("data:image/png") == 3
    for told in ("Pixel 6", "GS101", "c0", "taskset", found["device"]["binary"]["sha256"]):
        assert told in text


def test_accuracy_is_drawn_where_the_reports_tell_it(found) -> None:
    found["summary"][0]["top1"] = 0.7
    assert page.html(found).count("data:image/png") == 4


@pytest.mark.slow
def test_what_the_delegate_leaves_is_shown(adb_client, int8_files, tmp_path) -> None:
    found = measured(adb_client, int8_files, tmp_path)
    fused, composite = found["summary"]
    assert fused["outside"]["HARD_SWISH"] == 19
    assert "HARD_SWISH" not in composite["outside"]
    assert fused["delegate"]["partitions"] > 20 > composite["delegate"]["partitions"]
    assert any("fused: XNNPACK will run it in" in text for text in found["warnings"])
    for text in (page.html(found), report.markdown(found)):
        assert "19 HARD_SWISH" in text


def test_accuracies_of_other_pictures_are_told() -> None:
    def line(model: str, images: int) -> dict:
        common = {"serial": "s", "rounds": 5, "set_aside": 0, "error_kind": None, "top1": 0.8}
        return common | {"model": model, "images": images, "drift_percent": None}

    assert results.find_warnings([line("a", 200), line("b", 200)]) == []
    (said,) = results.find_warnings([line("a", 200), line("b", 1000)])
    assert said == "Accuracies are not of the same pictures (a on 200, b on 1000)."


def test_markdown_keeps_its_columns(found) -> None:
    text = report.markdown(found)
    rows = [line for line in text.splitlines() if line.startswith("|")][:4]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert found["command"] in text


def test_nothing_measured_still_gives_a_page(found) -> None:
    for line in found["summary"]:
        line.update(median_us=None, ci_us=None, error_kind="timeout", rounds=0, ops=None)
    found["rows"] = []
    assert "timeout" in page.html(found)


def test_inner_operators_are_not_counted_twice() -> None:
    def op(kind: str, name: str, ms: float) -> dict:
        return {"type": kind, "name": name, "avg_ms": ms}

    ops = [
        op("TfLiteXNNPackDelegate", "[x]:0", 3.0),
        op("SOFTMAX", "[y]:1", 1.0),
        op("DELEGATE_PROFILED", "Delegate/Convolution (NHWC, QS8):0", 2.0),
        op("DELEGATE_PROFILED", "Delegate/Convolution (NHWC, QS8):1", 1.0),
    ]
    expected = {"SOFTMAX": 1.0, "Convolution (NHWC, QS8)": 3.0}
    assert operators.milliseconds(ops) == expected
    assert operators.outside(ops) == {"SOFTMAX": 1}
    assert operators.outside(ops[1:2]) == {}  # nobody says that there was a delegate
    assert operators.milliseconds(ops[:2]) == {"TfLiteXNNPackDelegate": 3.0, "SOFTMAX": 1.0}
