"""A phone as the place where a latency table's files are timed."""

import json
from pathlib import Path

import pytest
from fake_phone import write_binary

from benchmark.phone_timer import PhoneTimer
from mnv3_tf.cost import operators
from mnv3_tf.errors import Failure, UserError
from mnv3_tf.export import skeleton
from mnv3_tf.networks import resolve

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """A long operator and a short one: a convolution, and one of a single pixel."""
    listed = [op for op in operators(resolve("small", resolution=64)) if op.kind == "conv"]
    chosen = max(listed, key=lambda op: op.madds), min(listed, key=lambda op: op.madds)
    paths = [tmp_path / "files" / f"{number}.tflite" for number in range(2)]
    paths[0].parent.mkdir()
    for path, op in zip(paths, chosen, strict=True):
        path.write_bytes(skeleton.single(op))
    return paths


def test_each_file_gets_its_own_time(phone, adb_client, tmp_path, files, capsys):
    program = write_binary(tmp_path / "benchmark_model")
    timer = PhoneTimer(phone.serial, adb_client, str(program), threads=2, rounds=2)
    long, short = timer.time(files, 4.0)
    assert long > 2 * short > 0
    assert timer.time(files[::-1], 4.0)[0] > 0
    runs = [text for text in phone.commands if "--graph=" in text and "pkill" not in text]
    assert all("--num_threads=2" in text for text in runs)
    assert set(phone.masks) == {"c0"}


def test_the_conditions_say_which_phone_and_program(phone, adb_client, tmp_path):
    timers = [
        PhoneTimer(phone.serial, adb_client, str(program), threads, rounds=3)
        for threads, program in (
            (1, write_binary(tmp_path / "one")),
            (2, write_binary(tmp_path / "one")),
            (1, write_binary(tmp_path / "other", steady=1)),
        )
    ]
    first = timers[0].conditions
    assert (first["device"], first["threads"], first["rounds"]) == ("Pixel 6", 1, 3)
    assert (first["mask"], first["delegate"]) == ("c0", "xnnpack")
    assert json.loads(json.dumps(first)) == first
    assert len({json.dumps(timer.conditions) for timer in timers}) == 3


def test_a_file_that_does_not_run_is_a_failure(phone, adb_client, tmp_path, files):
    program = write_binary(tmp_path / "benchmark_model", crash=1)
    timer = PhoneTimer(phone.serial, adb_client, str(program), threads=1, rounds=1)
    with pytest.raises(Failure, match="did not run an operator: crashed"):
        timer.time(files[:1], 4.0)


def test_a_phone_that_is_not_there_is_told(adb_client, phone, binary):
    with pytest.raises(UserError, match="NOWHERE"):
        PhoneTimer("NOWHERE", adb_client, str(binary), threads=1, rounds=1)
