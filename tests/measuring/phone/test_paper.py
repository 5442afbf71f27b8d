"""The paper's networks and what it says of each, beside what a phone took."""

import pytest
from refusals import refused

from mnv3_tf.measuring import published
from mnv3_tf.measuring.phone import members, paper
from mnv3_tf.measuring.phone.members import Member
from mnv3_tf.networks.cost import cost


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
