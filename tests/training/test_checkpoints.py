"""What is saved of a training, and what is taken of it again, by way of a few variables."""

import pytest
import tensorflow as tf

from mnv3_tf.errors import Failure
from mnv3_tf.training import checkpoints as module
from mnv3_tf.training.checkpoints import Checkpoints, RunState


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


@pytest.fixture
def weight():
    return tf.Variable(tf.zeros(200))


def save(folder, weight, count: int, keep: int = 3) -> None:
    """`count` checkpoints; the weights in each are its number."""
    checkpoints = Checkpoints(folder, 0, keep, weight=weight)
    for number in range(1, count + 1):
        weight.assign(tf.fill(200, float(number)))
        checkpoints.save()
    weight.assign(tf.zeros(200))


def numbers(folder) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.index"))


def damage(folder, number: int) -> None:
    (data,) = folder.glob(f"ckpt-{number}.data-*")
    content = bytearray(data.read_bytes())
    for place in range(0, len(content), 50):
        content[place] ^= 255
    data.write_bytes(content)


@pytest.mark.parametrize("keep", [1, 4])
def test_as_many_are_kept_as_asked_for(folder, weight, keep):
    save(folder, weight, 5, keep)
    assert numbers(folder) == [f"ckpt-{number}" for number in range(6 - keep, 6)]


def test_unless_told_otherwise_two_are_kept(folder, weight):
    checkpoints = Checkpoints(folder, 0, weight=weight)
    for _ in range(3):
        checkpoints.save()
    assert numbers(folder) == ["ckpt-2", "ckpt-3"]


def test_the_newest_is_taken_also_of_more_than_nine(folder, weight):
    save(folder, weight, 11)
    assert Checkpoints(folder, 0, weight=weight).restore()
    assert weight[0] == 11.0


def test_where_there_is_none(folder, weight):
    assert not Checkpoints(folder, 0, weight=weight).restore()


def test_a_lost_index_is_no_loss(folder, weight):
    save(folder, weight, 2)
    (folder / "checkpoint").write_text("nonsense {")
    assert Checkpoints(folder, 0, weight=weight).restore()
    assert weight[0] == 2.0


def test_a_damaged_one_falls_back_to_the_one_before(folder, weight):
    save(folder, weight, 3)
    damage(folder, 3)
    said: list[str] = []
    assert Checkpoints(folder, 0, weight=weight).restore(said.append)
    assert weight[0] == 2.0
    (line,) = said
    assert line.startswith(f"{folder / 'ckpt-3'} is damaged (")
    assert line.endswith("); trying ckpt-2.")


def test_where_all_are_damaged_it_stops(folder, weight):
    save(folder, weight, 2)
    for number in (1, 2):
        damage(folder, number)
    said: list[str] = []
    with pytest.raises(Failure, match=r"No checkpoint in .* can be read; restore .*--overwrite"):
        Checkpoints(folder, 0, weight=weight).restore(said.append)
    assert [line.rpartition("); ")[2] for line in said] == [
        "trying ckpt-1.",
        "there is none before it.",
    ]


def test_one_of_another_network_is_not_passed_over(folder, weight):
    save(folder, weight, 2)
    with pytest.raises(Failure, match=r"ckpt-2 was saved by another version .*--overwrite"):
        Checkpoints(folder, 0, weight=weight, more=tf.Variable(1.0)).restore()


def test_a_full_disk_leaves_the_one_before(small_disk):
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


def test_where_the_first_cannot_be_saved(folder, weight):
    checkpoints = Checkpoints(folder, 0, weight=weight)
    folder.write_text("a file")
    with pytest.raises(Failure, match=r"Cannot save .*, none was saved before; make room"):
        checkpoints.save()


def test_when_one_is_due(folder, weight, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    often, seldom, never = (
        Checkpoints(folder, every, by_time=by_time, weight=weight)
        for every, by_time in ((4, True), (0, True), (0, False))
    )
    assert [step for step in range(1, 10) if often.due(step)] == [4, 8]
    now[0] = 300.0
    assert not seldom.due(1)
    now[0] = 301.0
    assert seldom.due(1)
    assert not never.due(1)
    seldom.save()
    assert not seldom.due(2)


def test_the_end_of_an_epoch_empties_what_is_of_that_epoch():
    state = RunState()
    for value in (state.step, state.loss_sum, state.seconds, state.unreadable, state.wall_seconds):
        value.assign(7)
    state.finish_epoch()
    assert [int(v) for v in (state.step, state.epochs, state.wall_seconds)] == [7, 1, 7]
    assert [int(v) for v in (state.loss_sum, state.seconds, state.unreadable)] == [0, 0, 0]
