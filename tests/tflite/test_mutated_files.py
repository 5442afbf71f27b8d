"""Damaged and senseless files: one sentence each, in a process that survives them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT
from refusals import check_sentence


def sentences(count: int, seed: int, folder: Path) -> list[str]:
    """Of the files that `mutated_files` makes, in a process of their own."""
    command = [sys.executable, ROOT / "tests" / "mutated_files.py", str(count), str(seed), folder]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["number"] for one in found if "told" not in one] == []
    return [one["told"] for one in found]


def check(found: list[str]) -> None:
    """Each is one sentence; most tell what is wrong, and some files are as good as before."""
    for sentence in found:
        check_sentence(sentence)
    refused = [one for one in found if not one.startswith(("It answers", "inspect shows"))]
    assert len(found) / 4 < len(refused) < len(found) * 0.9
    assert sum("is cut short or damaged" in one for one in refused) < len(refused)


def test_a_hundred_files(tmp_path):
    found = sentences(100, 0, tmp_path)
    assert len(found) == 100
    check(found)


@pytest.mark.slow
def test_a_thousand_files(tmp_path):
    found = sentences(1000, 1, tmp_path)
    assert len(found) == 1000
    check(found)
