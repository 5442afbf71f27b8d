"""Quantisation-aware training to its end, stopped half way, and gone wrong."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from toy_network import toy_batches, toy_distiller, values

from mnv3_tf.errors import UserError
from mnv3_tf.quantization import aware_training
from mnv3_tf.quantization.aware_training import train

STEPS = 8
JOB = {"weights": "abc", "steps": STEPS}


def stopping_after(count: int):
    """Batches of which the user interrupts the one after `count`."""

    def batches(start: int) -> Iterator[np.ndarray]:
        stream = toy_batches(start)
        for _ in range(count):
            yield next(stream)
        raise KeyboardInterrupt

    return batches


class Recorder:
    """Batches that remember from which step on they were asked for."""

    start: int | None = None

    def __call__(self, start: int) -> Iterator[np.ndarray]:
        self.start = start
        return toy_batches(start)


def train_half(folder: Path, job: dict = JOB) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(toy_distiller(STEPS), stopping_after(STEPS // 2), STEPS, folder, job)


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, np.ndarray]:
    distiller = toy_distiller(STEPS)
    train(distiller, toy_batches, STEPS)
    assert int(distiller.step_number) == STEPS
    return values(distiller)


def check_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_what_was_stopped_goes_on(tmp_path, capsys, uninterrupted):
    folder = tmp_path / "m.qat"
    train_half(folder)
    assert (
        "Stopped after step 4 of 8; the same command goes on from there" in capsys.readouterr().out
    )
    assert json.loads((folder / "job.json").read_text()) == JOB
    recorder, distiller = Recorder(), toy_distiller(STEPS)
    train(distiller, recorder, STEPS, folder, JOB)
    assert recorder.start == STEPS // 2
    assert "Going on after step 4 of 8" in capsys.readouterr().out
    assert int(distiller.step_number) == STEPS
    check_same(values(distiller), uninterrupted)
    assert folder.is_dir()  # left to the caller, who knows when its product is safe


def test_it_differs_from_half_of_it(tmp_path, uninterrupted):
    """So that the comparison above means something."""
    distiller = toy_distiller(STEPS)
    with pytest.raises(KeyboardInterrupt):
        train(distiller, stopping_after(STEPS // 2), STEPS)
    half = values(distiller)
    assert any(not np.allclose(half[name], uninterrupted[name], rtol=1e-4) for name in half)
    assert not list(tmp_path.iterdir())


def test_a_kill_costs_what_came_after_the_last_checkpoint(tmp_path, monkeypatch, uninterrupted):
    monkeypatch.setattr(aware_training, "CHECKPOINT_EVERY", 3)
    folder = tmp_path / "m.qat"

    def killed(start: int) -> Iterator[np.ndarray]:
        stream = toy_batches(start)
        for _ in range(5):
            yield next(stream)
        raise MemoryError

    with pytest.raises(MemoryError):
        train(toy_distiller(STEPS), killed, STEPS, folder, JOB)
    recorder, distiller = Recorder(), toy_distiller(STEPS)
    train(distiller, recorder, STEPS, folder, JOB)
    assert recorder.start == 3
    check_same(values(distiller), uninterrupted)


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch, uninterrupted):
    """As where the export failed after the training."""
    monkeypatch.setattr(aware_training, "CHECKPOINT_EVERY", STEPS)
    train(toy_distiller(STEPS), toy_batches, STEPS, tmp_path / "m.qat", JOB)
    distiller = toy_distiller(STEPS)
    train(distiller, lambda start: iter(()), STEPS, tmp_path / "m.qat", JOB)
    check_same(values(distiller), uninterrupted)


@pytest.mark.parametrize(
    "change", [{"weights": "xyz"}, {"steps": STEPS + 1}, {"another": None}], ids=str
)
def test_another_job_begins_anew(change, tmp_path, capsys, uninterrupted):
    folder = tmp_path / "m.qat"
    train_half(folder)
    recorder, distiller = Recorder(), toy_distiller(STEPS)
    train(distiller, recorder, STEPS, folder, JOB | change)
    assert recorder.start == 0
    assert "Going on" not in capsys.readouterr().out
    assert json.loads((folder / "job.json").read_text()) == JOB | change
    check_same(values(distiller), uninterrupted)


def test_a_damaged_description_begins_anew(tmp_path):
    folder = tmp_path / "m.qat"
    train_half(folder)
    (folder / "job.json").write_text("{")
    recorder = Recorder()
    train(toy_distiller(STEPS), recorder, STEPS, folder, JOB)
    assert recorder.start == 0


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_is_not_ours_is_left_alone(is_folder, tmp_path):
    theirs = tmp_path / "m.qat"
    if is_folder:
        theirs.mkdir()
        (theirs / "thesis.txt").write_text("years of work")
    else:
        theirs.write_text("years of work")
    with pytest.raises(UserError, match=r"m\.qat exists and holds no job\.json; move it") as caught:
        train(toy_distiller(STEPS), toy_batches, STEPS, theirs, JOB)
    assert "\n" not in str(caught.value)
    kept = theirs / "thesis.txt" if is_folder else theirs
    assert kept.read_text() == "years of work"


def test_a_divergence_that_is_not_finite_is_named(tmp_path):
    def broken(start: int) -> Iterator[np.ndarray]:
        stream = toy_batches(start)
        yield next(stream)
        yield next(stream) * np.float32(np.nan)

    with pytest.raises(RuntimeError, match=r"diverged in step 2; use --method=ptq"):
        train(toy_distiller(STEPS), broken, STEPS, tmp_path / "m.qat", JOB)


def test_a_diverged_training_leaves_no_checkpoint_to_go_on_from(tmp_path):
    def broken(start: int) -> Iterator[np.ndarray]:
        yield next(toy_batches(start)) * np.float32(np.nan)

    folder = tmp_path / "m.qat"
    with pytest.raises(RuntimeError, match="diverged"):
        train(toy_distiller(STEPS), broken, STEPS, folder, JOB)
    recorder, distiller = Recorder(), toy_distiller(STEPS)
    train(distiller, recorder, STEPS, folder, JOB)
    assert recorder.start == 0
    assert all(np.isfinite(value).all() for value in values(distiller).values())


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(toy_distiller(2), toy_batches, 2)
    assert not list(tmp_path.iterdir())
