"""The paper's tables beside a phone, in one command."""

import json
import subprocess
import sys

import pytest
from test_run_command import REPOSITORY, call

from android_bench import members
from android_bench.members import Member
from benchmark import published
from mnv3_tf.cost import cost
from mnv3_tf.errors import UserError


def test_every_member_has_a_file_of_its_own() -> None:
    family = members.choose([])
    assert [member.task for member in family].count("classify") == 2 * 9
    assert len(family) == 2 * (9 + 2 + 2)
    assert len({member.label + member.quantize for member in family}) == len(family)


def test_figures_are_found_where_there_are_any() -> None:
    assert Member("small", 0.75, "none").published.pixel_ms == (12.8, 15.6, 11.7)
    assert Member("large", 1.0, "int8").published.source == "Table 4"
    assert Member("small", 0.75, "int8").published is None
    for row in published.ROWS:
        found = Member(row.network, row.width, row.quantize).published
        assert (found.pixel_ms, found.source) == (row.pixel_ms, row.source)
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
        (["classify"], {"classify"}, {network for network, _ in published.FAMILY}, 18),
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
    with pytest.raises(UserError, match="--only=detect,v2 leaves no network"):
        members.choose(["detect", "v2"])


@pytest.mark.slow
def test_measured_and_published_stand_side_by_side(phone, binary, tmp_path) -> None:
    words = [
        "paper",
        f"--serial={phone.serial}",
        f"--benchmark_binary={binary}",
        "--rounds=2",
        "--num_runs=3",
        "--cooldown=none",
        "--only=small_minimalistic,large_minimalistic",
        "--resolution=32",
        f"--out={tmp_path / 'paper'}",
        "--json",
    ]
    done = call(*words)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    assert rows == json.loads((tmp_path / "paper" / "paper.json").read_text())
    assert {(row["network"], row["quantize"]) for row in rows} == {
        ("large_minimalistic", "none"),
        ("small_minimalistic", "none"),
        ("large_minimalistic", "int8"),
        ("small_minimalistic", "int8"),
    }
    assert all(row["median_us"] > 0 for row in rows)
    assert "44.1" in done.stdout


@pytest.mark.slow
def test_tasks_are_compared_with_the_phone_that_the_paper_has(phone, binary, tmp_path) -> None:
    words = [
        "paper",
        f"--serial={phone.serial}",
        f"--benchmark_binary={binary}",
        "--rounds=1",
        "--num_runs=1",
        "--cooldown=none",
        "--only=detect,segment,small",
        f"--out={tmp_path / 'paper'}",
        "--json",
    ]
    done = call(*words)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    assert [(row["task"], row["quantize"], row["resolution"]) for row in rows] == [
        ("detect", "none", "320x320"),
        ("detect", "int8", "320x320"),
        ("segment", "none", "512x1024"),
        ("segment", "int8", "512x1024"),
    ]
    assert all(row["median_us"] > 0 for row in rows)
    assert rows[0]["published_accuracy"] == {"map": 16.1}
    text = done.stdout
    assert "here by P-3" in text
    for title in ("Table 6: SSDLite, float, 320x320", "Tables 7 and 8: LR-ASPP, int8, 512x1024"):
        assert title in text


def test_the_command_needs_no_tensorflow() -> None:
    code = (
        "import sys; from android_bench import members, paper;"
        "[member.spec for member in members.choose([])];"
        "assert not {'tensorflow', 'tf_keras', 'ai_edge_litert'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def test_an_unknown_network_is_refused(tmp_path) -> None:
    command = [sys.executable, "-m", "android_bench", "paper", "--only=x", f"--out={tmp_path}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--only=x is in no table; choose from large" in done.stderr
