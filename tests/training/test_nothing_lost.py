"""Whatever stops a run, what it had done is kept, and it ends as if nothing had happened."""

import signal

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.errors import Failure
from mnv3_tf.training import progress
from mnv3_tf.training.checkpoints import Checkpoints
from mnv3_tf.training.run import train
from mnv3_tf.training.run_folder import RunFolder

EVERYTHING = (
    "--override=ema_decay=0.9",
    "--override=mixup=0.2",
    "--override=cutmix=1.0",
    "--override=drop_path=0.2",
    "--override=dropout=0.2",
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
    checkpoints = RunFolder(killed).checkpoints
    for step in (1, 4):  # numbers of checkpoints, after which it is killed in some later step
        process = start(killed, *flags)
        wait_for(checkpoints / f"ckpt-{step}.index", process)
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


def damage(folder: RunFolder, number: int) -> None:
    (data,) = folder.checkpoints.glob(f"ckpt-{number}.data-*")
    content = bytearray(data.read_bytes())
    for place in range(0, len(content), 50):
        content[place] ^= 255
    data.write_bytes(content)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(settings, capsys, tmp_path):
    train(settings(epochs=3))
    folder = RunFolder(settings().out)
    folder.summary.unlink()
    damage(folder, 3)
    train(settings(epochs=3))
    said = capsys.readouterr().out
    assert "ckpt-3 is damaged" in said
    assert "trying ckpt-2." in said
    assert "Going on after step 12 of 18." in said
    assert [row["epoch"] for row in folder.read_metrics()] == [1, 2, 3]


def test_where_every_checkpoint_is_damaged_it_stops(settings):
    train(settings())
    folder = RunFolder(settings().out)
    folder.summary.unlink()
    for number in (1, 2):
        damage(folder, number)
    with pytest.raises(Failure, match=r"No checkpoint in .* can be read; restore"):
        train(settings())


def test_a_lost_index_is_no_loss(settings, capsys):
    train(settings())
    folder = RunFolder(settings().out)
    folder.summary.unlink()
    (folder.checkpoints / "checkpoint").write_text("nonsense {")
    train(settings())
    assert "Going on after step 12 of 12." in capsys.readouterr().out


@pytest.mark.parametrize("keep", [1, 4])
def test_as_many_checkpoints_are_kept_as_asked_for(settings, keep):
    train(settings(checkpoint_every=2, keep_checkpoints=keep))
    assert len(list(RunFolder(settings().out).checkpoints.glob("*.index"))) == keep


def test_a_full_disk_leaves_the_checkpoint_before(small_disk):
    weight = tf.Variable(tf.zeros((200_000,)))
    checkpoints = Checkpoints(small_disk / "checkpoints", 0, weight=weight)
    checkpoints.save()
    (small_disk / "filler").write_bytes(b"\0" * 2_900_000)
    weight.assign_add(tf.ones((200_000,)))
    with pytest.raises(Failure, match=r"Cannot save a checkpoint in .*ckpt-1 is whole; make room"):
        checkpoints.save()
    (small_disk / "filler").unlink()
    again = Checkpoints(small_disk / "checkpoints", 0, weight=weight)
    assert again.restore()
    assert float(tf.reduce_max(weight)) == 0.0
    again.save()


def test_pictures_that_cannot_be_decoded_are_counted_and_too_many_stop_it(
    settings, monkeypatch, color_pictures
):
    from mnv3_tf.training import run

    real = run.open_dataset
    bad = 0

    def opened(name, **arguments):
        """The same dataset, of which `bad` labels of the training batches say "not decoded"."""
        dataset = real(name, **arguments)
        batches = dataset.train.train_batches

        def spoilt(*arguments):
            def mark(images, labels):
                return images, tf.where(tf.range(8) < bad, -1, labels)

            stream = batches(*arguments)
            return stream.take(1).map(mark).concatenate(stream.skip(1))

        dataset.train.train_batches = spoilt
        return dataset

    monkeypatch.setattr(run, "open_dataset", opened)
    train(settings())
    assert [row["unreadable"] for row in RunFolder(settings().out).read_metrics()] == [0, 0]
    bad = 1
    with pytest.raises(Failure, match=r"1 of the 48 pictures of epoch 1 .* more than 1 %"):
        train(settings(overwrite=True))
    monkeypatch.setattr("mnv3_tf.training.loop.LARGEST_UNREADABLE_PART", 0.05)
    train(settings(overwrite=True))
    assert [row["unreadable"] for row in RunFolder(settings().out).read_metrics()] == [1, 0]


def test_a_weight_that_is_no_number_is_never_saved(settings, monkeypatch):
    from mnv3_tf.training.loop import Diverged, Trainer

    step = Trainer._step

    def poisoned(self, number, images, labels):
        loss = step(self, number, images, labels)
        if number == 8:
            self.task.model.trainable_variables[0].assign_add(
                tf.fill(self.task.model.trainable_variables[0].shape, float("nan"))
            )
        return loss

    monkeypatch.setattr(Trainer, "_step", poisoned)
    with pytest.raises(Diverged, match=r"A weight .* in step 9 \(batch 3 of epoch 2\)"):
        train(settings(checkpoint_every=9))
    values = [np.asarray(value) for value in all_variables(settings().out).values()]
    assert all(np.isfinite(value).all() for value in values if value.dtype.kind == "f")


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
        assert progress.duration(seconds) == said
