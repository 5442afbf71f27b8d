"""Whatever stops a run, what it had done is kept, and it ends as if nothing had happened."""

import signal

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.training import progress
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.ui.progress import duration

EVERYTHING = (
    "--override=mixup=0.2",
    "--override=cutmix=1.0",
    "--override=drop_path=0.2",
    "--override=augmentation.randaugment_layers=2",
    "--override=augmentation.erase=0.3",
)


def all_variables(out: str) -> dict[str, np.ndarray]:
    """Weights, averages, optimisers and counters of the last checkpoint, clocks left out."""
    reader = tf.train.load_checkpoint(str(RunFolder(out).checkpoints))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not any(clock in name for clock in ("seconds", "save_counter"))
    }


@pytest.mark.slow
def test_killed_at_any_step_a_deterministic_run_ends_bit_for_bit_the_same(
    start, finish, wait_for, tmp_path
):
    flags = ("--deterministic", "--steps=20", "--checkpoint_every=3", *EVERYTHING)
    whole, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    finish(start(whole, *flags))
    process = start(killed, *flags)
    wait_for(RunFolder(killed).checkpoints / "ckpt-4.index", process)  # of step 9
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not RunFolder(killed).summary.exists()
    assert "Going on after step" in finish(start(killed, *flags))

    wanted, found = all_variables(whole), all_variables(killed)
    assert any(name.startswith("averaged/") for name in wanted)
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    for ours, theirs in zip(
        RunFolder(killed).read_metrics(), RunFolder(whole).read_metrics(), strict=True
    ):
        assert ours | {"images_per_s": 0} == theirs | {"images_per_s": 0}
    assert RunFolder(killed).best_weights.exists()


@pytest.mark.slow
def test_sigterm_saves_and_ends(start, finish, wait_for, tmp_path):
    out = str(tmp_path / "run")
    process = start(out, "--steps=3000")
    wait_for(RunFolder(out).checkpoints / "checkpoint", process)
    process.send_signal(signal.SIGTERM)
    said = finish(process, 128 + signal.SIGTERM)
    assert "the same command goes on from there" in said
    assert said.splitlines()[-1] == "Terminated."
    step = int(said.split("Stopped after step ")[1].split()[0])
    reader = tf.train.load_checkpoint(str(RunFolder(out).checkpoints))
    assert reader.get_tensor("state/step/.ATTRIBUTES/VARIABLE_VALUE") == step


class TestLines:
    """What is shown where there is no terminal."""

    @pytest.fixture
    def clock(self, monkeypatch):
        now = [0.0]
        monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
        return now

    def test_a_long_epoch_has_a_line_a_minute_with_the_time_left(self, clock, capsys):
        shown = progress.Progress(2, 1000, 400)
        for step in range(401, 421):
            clock[0] += 10.0
            shown.step(1, step, 0.25, 32)
        lines = capsys.readouterr().out.splitlines()
        assert lines == [
            f"step {step}/1000  loss 0.2500  3 images/s  {left} left"
            for step, left in ((406, "1 h 39 min"), (412, "1 h 38 min"), (418, "1 h 37 min"))
        ]

    def test_the_last_line_has_no_time_left(self, clock, capsys):
        shown = progress.Progress(1, 10, 0)
        clock[0] = 5.0
        shown.step(1, 10, 0.5, 32)
        row = {"epoch": 1, "train_loss": 0.5, "val_top1": None, "images_per_s": 64.0}
        shown.epoch(row)
        assert capsys.readouterr().out == "epoch 1/1  loss 0.5000  64 images/s\n"

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [(0, "0 s"), (99, "99 s"), (130, "2 min"), (12_000, "3 h 20 min"), (190_000, "2 d 4 h")],
    )
    def test_durations(self, seconds, said):
        assert duration(seconds) == said
