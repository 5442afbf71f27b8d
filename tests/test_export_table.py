"""What export_tflite.py prints of a report."""

from typing import Any

import pytest
from commands import last_json
from export_toolkit import REPORT, Toolkit, call


@pytest.fixture
def toolkit(monkeypatch) -> Toolkit:
    return Toolkit(monkeypatch)


def printed(toolkit, capsys, **changes: Any) -> tuple[list[str], str]:
    """Each line's words, and what stands on standard error."""
    toolkit.report = REPORT | changes
    assert call("--weights=w", "--out=m.tflite") == 0
    out, err = capsys.readouterr()
    return [" ".join(line.split()) for line in out.splitlines()], err


def test_the_report_as_a_table(toolkit, capsys):
    lines, err = printed(toolkit, capsys)
    for line in (
        "m.tflite",
        "size 1.50 MiB",
        "h-swish composite (for a reason)",
        "operators 3 CONV_2D, 2 ADD",
        "XNNPACK 4 of 5 operators in 1 partition(s)",
        "float islands 0",
        "latency 1.23 ms, p95 2.35 ms, 3 thread(s)",
        "top-1 0.5000, network 0.7500",
        "agreement 0.6000 on 9 pictures",
        "divergence 0.1250 nats from the network",
    ):
        assert line in lines, (line, lines)
    assert "int8" in lines[1:3]
    assert err == ""
    assert not any(line.startswith("stem") for line in lines)


def test_who_sees_which_figures(toolkit, capsys):
    crop = {"seen_by": "A", "top1": {"float": 0.75, "exported": 0.5}}
    whole = {"seen_by": "B", "top1": {"float": 0.625, "exported": 0.25}}
    lines, _ = printed(toolkit, capsys, views={"crop": crop, "whole": whole})
    for line in (
        "top-1, crop 0.5000, network 0.7500: A",
        "top-1, whole 0.2500, network 0.6250: B",
    ):
        assert line in lines, (line, lines)


def test_what_is_not_always_there(toolkit, capsys):
    tried = {"composite": 0.5, "equalized": 0.25}
    stem = {"chosen": "equalized", "divergence": tried}
    scores = {"exported": 0.25, "float": 0.5}
    nothing = {"exported": None, "float": None}
    lines, err = printed(
        toolkit,
        capsys,
        **{"stem": stem, "warnings": ["few pictures."], "divergence": 0.0, "agreement": None},
        **{"top1": nothing, "map": scores, "map50": scores, "miou": scores},
    )
    assert "stem equalized (divergence 0.500, with a gate of its own 0.250)" in lines
    assert lines.index("h-swish composite (for a reason)") + 1 == next(
        number for number, line in enumerate(lines) if line.startswith("stem")
    )
    for title in ("mAP", "mAP at IoU 0.5", "mIoU"):
        assert f"{title} 0.2500, network 0.5000" in lines
    assert "divergence 0.0000 nats from the network" in lines
    assert not any(line.startswith(("top-1", "agreement")) for line in lines)
    assert err == "Warning: few pictures.\n"


def test_without_pictures_nothing_is_said_of_them(toolkit, capsys):
    changes = {"images": 0, "divergence": None, "agreement": None, "stem": None}
    lines, _ = printed(toolkit, capsys, **changes)
    titles = ("top-1", "agreement", "divergence", "stem")
    assert not any(line.startswith(titles) for line in lines)


def test_the_report_as_json(toolkit, capsys):
    assert call("--weights=w", "--out=m.tflite", "--json") == 0
    assert last_json(capsys.readouterr().out) == REPORT
