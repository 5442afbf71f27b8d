"""What people see of the results."""

import re

import pytest
from test_session import QUICK

from android_bench import binary as binaries
from android_bench import models, page, plan, plots, report, results
from android_bench.adb import Adb
from android_bench.journal import Journal
from android_bench.session import Session

NASTY = "<script>alert(1)</script>|"


@pytest.fixture
def found(phone, adb_client, model_files, tmp_path, binary) -> dict:
    """Of a real run over the fake phone, of a model with a hostile name."""
    file = tmp_path / f"{NASTY.replace('/', '')}.tflite"
    file.write_bytes(model_files[0].read_bytes())
    settings = plan.Settings(**(QUICK | {"rounds": 5, "profile_ops": True}))
    program = binaries.local(str(binary))
    session = Session(
        Adb(adb_client, phone.serial),
        models.load([str(file), str(model_files[1])]),
        settings,
        lambda _: program,
        Journal(tmp_path / "journal.jsonl"),
        tmp_path / "logs",
        print,
    )
    session.run()
    return results.collect([session], settings, "python -m android_bench run", "29")


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
    assert plots.operator_ms(ops) == expected
    assert plots.operator_ms(ops[:2]) == {"TfLiteXNNPackDelegate": 3.0, "SOFTMAX": 1.0}
