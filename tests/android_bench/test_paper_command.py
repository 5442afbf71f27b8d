"""The paper's tables beside a phone, in one command."""

import json
from collections.abc import Callable

import pytest
from refusals import check_command

from android_bench import paper as command
from mnv3_tf.measuring.phone import members, paper
from mnv3_tf.tflite import inspection
from mnv3_tf.ui import cli


@pytest.fixture
def call(
    phone, binary, tmp_path, monkeypatch, capsys, undrawn
) -> Callable[..., tuple[list[dict], str]]:
    """(arguments) -> the rows of paper.json, and what was printed."""
    monkeypatch.setattr(inspection, "inspect", lambda path: {"xnnpack": None})

    def of(*arguments: str) -> tuple[list[dict], str]:
        words = [
            "paper",
            f"--serial={phone.serial}",
            f"--benchmark_binary={binary}",
            "--rounds=1",
            "--cooldown=none",
            f"--out={tmp_path / 'paper'}",
            "--json",
            *arguments,
        ]
        assert cli.call(command.main, command.define_flags, words) == 0
        printed = capsys.readouterr().out
        rows = json.loads(printed.splitlines()[-1])
        assert rows == json.loads((tmp_path / "paper" / "paper.json").read_text())
        return rows, printed

    return of


def test_measured_and_published_stand_side_by_side(phone, call, tmp_path) -> None:
    phone.inference_us = lambda command: 6100.0
    rows, printed = call("--only=small_minimalistic", "--resolution=32")
    float_, int8 = rows
    path = tmp_path / "paper" / "models" / "small_minimalistic_1_float.tflite"
    assert float_ == {
        "serial": phone.serial,
        "task": "classify",
        "network": "small_minimalistic",
        "width": 1.0,
        "resolution": "32x32",
        "quantize": "none",
        "threads": 1,
        "median_us": 6100.0,
        "ci_us": None,
        "bytes": path.stat().st_size,
        "pixel_ms": [12.2, 15.1, 11],
        "published_accuracy": {"top1": 61.9},
        "published_in": float_["published_in"],
    }
    assert (int8["quantize"], int8["bytes"] < float_["bytes"] / 3) == ("int8", True)
    for told in ("12.2", "0.50", "Table 3: float, 32x32", "Table 4: int8, 32x32"):
        assert told in printed
    assert paper.EXPLANATION in printed


def test_tasks_are_compared_with_the_phone_that_the_paper_has(call, monkeypatch) -> None:
    made = []

    def network(spec, quantize) -> bytes:
        made.append((spec.name, quantize))
        return b"....TFL3" + repr(made[-1]).encode()

    monkeypatch.setattr(paper.skeleton, "network", network)
    rows, printed = call("--only=detect,segment,small")
    assert [(row["task"], row["quantize"], row["resolution"]) for row in rows] == [
        ("detect", "none", "320x320"),
        ("detect", "int8", "320x320"),
        ("segment", "none", "512x1024"),
        ("segment", "int8", "512x1024"),
    ]
    assert made == [
        (member.spec.name, member.quantize)
        for member in members.choose(["detect", "segment", "small"])
    ]
    assert [row["median_us"] for row in rows] == [1000.0] * 4
    assert [row["published_accuracy"] for row in rows[:2]] == [{"map": 16.1}, None]
    assert "here by P-3" in printed
    for title in ("Table 6: SSDLite, float, 320x320", "Tables 7 and 8: LR-ASPP, int8, 512x1024"):
        assert title in printed


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--only=x"], "--only=x is in no table; choose from large"),
        (["--out="], "--out=DIR"),
    ],
)
def test_bad_input_is_refused(arguments, named, capsys, tmp_path) -> None:
    check_command(command, [f"--out={tmp_path}", *arguments], named, capsys, tmp_path)
