"""The paper's tables beside a phone, in one command."""

import json
from collections.abc import Callable

import pytest
from refusals import check_command, refused

from android_bench import paper as command
from mnv3_tf.measuring import published
from mnv3_tf.measuring.phone import members, paper
from mnv3_tf.measuring.phone.members import Member
from mnv3_tf.networks.cost import cost
from mnv3_tf.tflite import inspection
from mnv3_tf.ui import cli


def test_every_member_has_a_file_of_its_own() -> None:
    family = members.choose([])
    assert [member.task for member in family].count("classify") == 2 * 10
    assert len(family) == 2 * (10 + 2 + 2)
    assert len({member.label + member.quantize for member in family}) == len(family)


def test_figures_are_found_where_there_are_any() -> None:
    assert Member("small", 0.75, "none").published.pixel_ms == (12.8, 15.6, 11.7)
    assert Member("large", 1.0, "int8").published.source == "Table 4"
    assert Member("small", 0.75, "int8").published is None
    for row in published.ROWS:
        found = Member(row.network, row.width, row.quantize).published
        assert found.pixel_ms == (row.pixel_ms or (None, None, None))
        assert found.source == row.source
        assert found.accuracy == {"top1": row.top1}


@pytest.mark.parametrize(
    ("network", "task", "size", "pixel_ms", "accuracy"),
    [
        ("large", "detect", 320, (119, None, None), {"map": 22.0}),
        ("small", "detect", 320, (43, None, None), {"map": 16.1}),
        (
            "large",
            "segment",
            (512, 1024),
            (None, None, 657),
            {"miou": 72.36, "test_miou": 72.6},
        ),
        (
            "small",
            "segment",
            (1024, 2048),
            (None, None, 1210),
            {"miou": 68.38, "test_miou": 69.4},
        ),
    ],
)
def test_detectors_and_segmentation_have_their_own_figures(
    network, task, size, pixel_ms, accuracy
) -> None:
    member = Member(network, 1.0, "none", task, size)
    assert (member.published.pixel_ms, member.published.accuracy) == (pixel_ms, accuracy)
    assert Member(network, 1.0, "int8", task, size).published is None
    golden = {
        ("large", "detect"): 3_248_255,
        ("small", "detect"): 1_785_743,
        ("large", "segment"): 1_507_198,
        ("small", "segment"): 468_830,
    }
    assert cost(member.spec).params == golden[network, task]


@pytest.mark.parametrize(
    ("only", "tasks", "networks", "count"),
    [
        (["classify"], {"classify"}, {network for network, _ in published.FAMILY}, 20),
        (["detect"], {"detect"}, {"large", "small"}, 4),
        (["segment", "detect"], {"detect", "segment"}, {"large", "small"}, 8),
        (["large"], {"classify", "detect", "segment"}, {"large"}, 2 * 2 + 2 + 2),
        (["classify", "v2", "small"], {"classify"}, {"v2", "small"}, 8),
    ],
)
def test_tasks_and_networks_can_be_chosen(only, tasks, networks, count) -> None:
    found = members.choose(only, 96)
    assert {member.task for member in found} == tasks
    assert {member.network for member in found} == networks
    assert len(found) == count
    sides = {(member.task, member.resolution) for member in found}
    assert sides <= {("classify", 96), ("detect", 320), ("segment", (512, 1024))}


def test_nothing_left_is_refused() -> None:
    with refused("--only=detect,v2 leaves no network"):
        members.choose(["detect", "v2"])


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


def test_a_line_is_compared_with_the_first_phone_of_its_task() -> None:
    row = {
        "task": "classify",
        "network": "small",
        "width": 0.75,
        "bytes": 1_234_567,
        "median_us": 6400.0,
        "ci_us": [6336.0, 6464.0],
        "pixel_ms": [12.8, 15.6, None],
    }
    assert paper.columns("classify") == (
        "network",
        "ms here",
        "± %",
        "P-1",
        "P-2",
        "P-3",
        "here by P-1",
        "MB",
    )
    assert paper.line(row) == ("small 0.75", "6.40", "1.0", "12.8", "15.6", "-", "0.50", "1.23")
    assert paper.columns("segment")[3:] == ("P-3", "here by P-3", "MB")
    told = row | {"task": "segment", "pixel_ms": [None, None, 3.2]}
    assert paper.line(told)[3:] == ("3.2", "2.00", "1.23")
    assert paper.line(row | {"pixel_ms": None})[3:7] == ("-", "-", "-", "-")
    failed = row | {"median_us": None, "ci_us": None}
    assert paper.line(failed) == ("small 0.75", "failed", "-", "12.8", "15.6", "-", "-", "1.23")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--only=x"], "--only=x is in no table; choose from large"),
        (["--out="], "--out=DIR"),
    ],
)
def test_bad_input_is_refused(arguments, named, capsys, tmp_path) -> None:
    check_command(command, [f"--out={tmp_path}", *arguments], named, capsys, tmp_path)
