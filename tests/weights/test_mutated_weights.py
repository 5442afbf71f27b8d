"""Damaged and senseless weights: one sentence each, in a process that survives them."""

from pathlib import Path

import mutated_weights
import numpy as np
import pytest
from mutated_weights import SPEC
from refusals import check_sentence

from mnv3_tf import weights
from mnv3_tf.errors import UserError
from mnv3_tf.weights import keras_files


def sentences(count: int, seed: int, folder: Path) -> list[str]:
    """What is said of each file; nothing of those that can be read."""
    sources = mutated_weights.whole_files(folder)
    found = []
    for number in range(count):
        suffix, content = mutated_weights.mutated(sources, np.random.default_rng([seed, number]))
        path = folder / f"{number}{suffix}"
        path.write_bytes(content)
        try:
            weights.read(str(path), SPEC)
            found.append("")
        except UserError as error:
            check_sentence(str(error), path)
            found.append(str(error))
        path.unlink()
    return found


def check(found: list[str]) -> None:
    """Some files are as good as before, some are of another network, most are damaged."""
    refused = [sentence for sentence in found if sentence]
    assert len(found) * 0.6 < len(refused) < len(found) * 0.95
    assert sum("another architecture" in sentence for sentence in refused) > len(found) * 0.05
    assert sum("damaged or cut short" in sentence for sentence in refused) > len(found) * 0.3


@pytest.fixture
def quick_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_files, "try_out", mutated_weights.try_out_by_fork)


@pytest.mark.usefixtures("quick_trials")
def test_a_hundred_files(tmp_path: Path) -> None:
    check(sentences(100, 0, tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_trials")
def test_a_thousand_files(tmp_path: Path) -> None:
    check(sentences(1000, 1, tmp_path))


def test_a_file_is_tried_by_another_process(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.h5", tmp_path / "cut.h5"
    content = dict(mutated_weights.whole_files(tmp_path))[".weights.h5"]
    whole.write_bytes(content)
    cut.write_bytes(content[: len(content) // 2])
    assert keras_files.try_out(whole) is None
    assert "truncated file" in (keras_files.try_out(cut) or "")


@pytest.mark.parametrize(
    ("stands_for_it", "named"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "reading it crashes"),
        ("while True: pass", "reading it takes more than 0.5 s"),
        ("import sys; sys.exit('out of sense')", "out of sense"),
    ],
)
def test_what_becomes_of_that_process(
    stands_for_it: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crashes and endless loops of the HDF5 library."""
    script, path = tmp_path / "reader.py", tmp_path / "a.h5"
    script.write_text(stands_for_it)
    path.write_bytes(dict(mutated_weights.whole_files(tmp_path))[".h5"])
    monkeypatch.setattr(keras_files, "__file__", str(script))
    monkeypatch.setattr(keras_files, "SECONDS", 0.5)
    with pytest.raises(UserError) as caught:
        weights.read(str(path), SPEC)
    check_sentence(str(caught.value), path, "damaged or cut short", named)
