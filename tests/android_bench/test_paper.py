"""The paper's tables beside a phone, in one command."""

import json
import subprocess
import sys

import pytest
from test_run_command import REPOSITORY, call

from android_bench import paper
from benchmark import published


def test_every_member_has_a_file_of_its_own() -> None:
    family = paper.choose([])
    assert len(family) == 2 * 9
    assert len({member.label + member.quantize for member in family}) == len(family)


def test_figures_are_found_where_there_are_any() -> None:
    assert paper.Member("small", 0.75, "none").published.pixel_ms == (12.8, 15.6, 11.7)
    assert paper.Member("large", 1.0, "int8").published.source == "Table 4"
    assert paper.Member("small", 0.75, "int8").published is None
    for row in published.ROWS:
        assert paper.Member(row.network, row.width, row.quantize).published is row


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


def test_an_unknown_network_is_refused(tmp_path) -> None:
    command = [sys.executable, "-m", "android_bench", "paper", "--only=x", f"--out={tmp_path}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--only=x is in no table; choose from large" in done.stderr
