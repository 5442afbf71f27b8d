"""Reports of exports: written once, read by whoever finds one beside a file."""

import json

import pytest

from mnv3_tf.tasks.task import Parity, pair
from mnv3_tf.tflite import reports

REPORT = {"sha256": "ab", "quantize": "int8", "images": 4, "top1": pair(None, None)}


def test_a_report_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "new" / "m.tflite"
    reports.write(REPORT, file)
    assert [path.name for path in file.parent.iterdir()] == ["m.report.json"]
    assert reports.read(reports.path_beside(file)) == REPORT
    assert reports.read_beside(file, "ab") == REPORT


def test_a_report_of_another_content_is_none(tmp_path):
    file = tmp_path / "m.tflite"
    assert reports.read_beside(file, "ab") is None
    reports.write(REPORT, file)
    assert reports.read_beside(file, "cd") is None
    for damaged in ("", "{", "[1]", "null", '{"quantize": "int8"}'):
        reports.path_beside(file).write_text(damaged)
        assert reports.read_beside(file, "ab") is None, damaged


def test_figures_of_a_task_stand_beside_those_of_every_report():
    parity = Parity(4, {"map": pair(0.5, 0.25), "map50": pair(0.75, None)}, 1.0)
    report = reports.with_metrics(REPORT, parity)
    assert json.loads(json.dumps(report)) == report
    assert report["map"] == {"float": 0.5, "exported": 0.25}
    assert report["top1"] == pair(None, None)
    # What nobody has measured is not listed.
    assert [(metric.title, found) for metric, found in reports.metrics(report)] == [
        ("mAP", pair(0.5, 0.25))
    ]
    assert "map" not in REPORT


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (None, None),
        ({}, None),
        ({"top1": None}, None),
        ({"top1": {"exported": 0.5, "source": 0.6}}, 0.5),  # as older reports have it
        ({"top1": pair(0.5, 0.25)}, 0.25),
    ],
)
def test_top1_of_the_file(report, expected):
    assert reports.exported_top1(report) == expected
