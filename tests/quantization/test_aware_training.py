"""Quantisation-aware training to its end, stopped half way, and gone wrong."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from refusals import refused
from toy_network import ToyDistiller, toy_batches, toy_pictures

from mnv3_tf.errors import Failure
from mnv3_tf.quantization import aware_training
from mnv3_tf.quantization.aware_training import mixed, train

STEPS = 8
JOB = {"weights": "abc", "steps": STEPS}

Values = dict[str, np.ndarray]


def ending_after(count: int, end: type[BaseException]):
    """Batches of which the one after `count` is never reached."""

    def batches(start: int) -> Iterator[np.ndarray]:
        yield from itertools.islice(toy_batches(start), count)
        raise end

    return batches


def nowhere_finite(after: int):
    def batches(start: int) -> Iterator[np.ndarray]:
        stream = toy_batches(start)
        yield from itertools.islice(stream, after)
        yield next(stream) * np.float32(np.nan)

    return batches


class Recorder:
    """Batches that remember from which step on they were asked for."""

    start: int | None = None

    def __call__(self, start: int) -> Iterator[np.ndarray]:
        self.start = start
        return toy_batches(start)


@pytest.fixture(scope="module")
def shared_distiller() -> ToyDistiller:
    return ToyDistiller(STEPS)


@pytest.fixture
def fresh(shared_distiller: ToyDistiller) -> Callable[[], ToyDistiller]:
    """What a new process would begin with."""
    return shared_distiller.afresh


@pytest.fixture(scope="module")
def uninterrupted(shared_distiller: ToyDistiller) -> Values:
    distiller = shared_distiller.afresh()
    train(distiller, toy_batches, STEPS)
    assert int(distiller.step_number) == STEPS
    return distiller.values()


def train_half(distiller: ToyDistiller, folder: Path | None) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(distiller, ending_after(STEPS // 2, KeyboardInterrupt), STEPS, folder, JOB)


def check_same(found: Values, expected: Values) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_what_was_stopped_goes_on(tmp_path, capsys, fresh, uninterrupted):
    folder = tmp_path / "m.qat"
    train_half(fresh(), folder)
    assert (
        "Stopped after step 4 of 8; the same command goes on from there" in capsys.readouterr().out
    )
    assert json.loads((folder / "job.json").read_text()) == JOB
    recorder, distiller = Recorder(), fresh()
    train(distiller, recorder, STEPS, folder, JOB)
    assert recorder.start == STEPS // 2
    told = capsys.readouterr().out
    assert "Going on after step 4 of 8" in told
    assert "step 8/8" in told
    assert int(distiller.step_number) == STEPS
    check_same(distiller.values(), uninterrupted)
    assert folder.is_dir()  # left to the caller, who knows when its product is safe


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch, fresh, uninterrupted):
    """And half of a training is not all of it, so that the comparisons mean something."""
    monkeypatch.chdir(tmp_path)
    distiller = fresh()
    train_half(distiller, None)
    half = distiller.values()
    assert any(not np.allclose(half[name], uninterrupted[name], rtol=1e-4) for name in half)
    assert not list(tmp_path.iterdir())


def test_a_kill_costs_what_came_after_the_last_checkpoint(
    tmp_path, monkeypatch, fresh, uninterrupted
):
    monkeypatch.setattr(aware_training, "CHECKPOINT_EVERY", 3)
    folder = tmp_path / "m.qat"
    with pytest.raises(MemoryError):
        train(fresh(), ending_after(5, MemoryError), STEPS, folder, JOB)
    recorder, distiller = Recorder(), fresh()
    train(distiller, recorder, STEPS, folder, JOB)
    assert recorder.start == 3
    check_same(distiller.values(), uninterrupted)


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch, fresh, uninterrupted):
    """As where the export failed after the training."""
    monkeypatch.setattr(aware_training, "CHECKPOINT_EVERY", STEPS)
    train(fresh(), toy_batches, STEPS, tmp_path / "m.qat", JOB)
    distiller = fresh()
    train(distiller, lambda start: iter(()), STEPS, tmp_path / "m.qat", JOB)
    check_same(distiller.values(), uninterrupted)


@pytest.mark.parametrize(
    "change", [{"weights": "xyz"}, {"steps": STEPS + 1}, {"another": None}, "damaged"], ids=str
)
def test_another_job_begins_anew(change, tmp_path, capsys, fresh, uninterrupted):
    folder, job = tmp_path / "m.qat", JOB
    train_half(fresh(), folder)
    if change == "damaged":
        (folder / "job.json").write_text("{")
    else:
        job = JOB | change
    recorder, distiller = Recorder(), fresh()
    train(distiller, recorder, STEPS, folder, job)
    assert recorder.start == 0
    assert "Going on" not in capsys.readouterr().out
    assert json.loads((folder / "job.json").read_text()) == job
    check_same(distiller.values(), uninterrupted)


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_is_not_ours_is_left_alone(is_folder, tmp_path, fresh):
    theirs = tmp_path / "m.qat"
    if is_folder:
        theirs.mkdir()
    kept = theirs / "thesis.txt" if is_folder else theirs
    kept.write_text("years of work")
    with refused(f"{theirs} exists and holds no job.json; move it"):
        train(fresh(), toy_batches, STEPS, theirs, JOB)
    assert kept.read_text() == "years of work"


@pytest.mark.parametrize("after", [0, 1])
def test_a_divergence_that_is_not_finite_is_named(after, tmp_path, fresh, uninterrupted):
    """And leaves no checkpoint to go on from."""
    folder = tmp_path / "m.qat"
    with refused(f"diverged in step {after + 1}; use --method=ptq", by=Failure):
        train(fresh(), nowhere_finite(after), STEPS, folder, JOB)
    recorder, distiller = Recorder(), fresh()
    train(distiller, recorder, STEPS, folder, JOB)
    assert recorder.start == 0
    check_same(distiller.values(), uninterrupted)


def test_half_of_the_batches_are_overlaid_with_themselves():
    pictures = toy_pictures(count=4)
    shares = []
    for step in range(200):
        found = mixed(pictures, step)
        np.testing.assert_array_equal(found, mixed(pictures, step))
        if found is not pictures:
            across = pictures - pictures[::-1]
            share = float(np.vdot(found - pictures[::-1], across) / np.vdot(across, across))
            np.testing.assert_allclose(
                found, share * pictures + (1 - share) * pictures[::-1], atol=1e-5
            )
            shares.append(share)
    assert 70 < len(shares) < 130
    assert 0 <= min(shares) < 0.1
    assert 0.9 < max(shares) <= 1 + 1e-6
    # Beta(0.4, 0.4) prefers the ends: a flat one has a variance of 0.083.
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.2)
