"""A phone as the place where a latency table's files are timed."""

import json

import pytest
from phones.fake_phone import write_binary
from refusals import refused

from mnv3_tf.errors import Failure
from mnv3_tf.measuring.phone.timer import PhoneTimer


@pytest.fixture
def files(model_files, tmp_path):
    """In a folder of their own, where the timer keeps its journal."""
    (tmp_path / "files").mkdir()
    copies = [tmp_path / "files" / file.name for file in model_files]
    for file, copy in zip(model_files, copies, strict=True):
        copy.write_bytes(file.read_bytes())
    return copies


def test_each_file_gets_its_own_time(phone, adb_client, binary, files):
    timer = PhoneTimer(phone.serial, adb_client, str(binary), threads=2, rounds=2)
    us = iter((5000.0, 1000.0, 5400.0, 1200.0, 1.0, 1.0))
    phone.inference_us = lambda command: next(us)
    assert timer.time(files, 4.0) == [5200.0, 1100.0]
    assert timer.time(files[::-1], 4.0) == [1100.0, 5200.0]  # they are known by their content
    timed = [text for text in phone.runs if "memory" not in text]
    assert len(timed) == 2 * 2
    assert all("--num_threads=2 --num_runs=50 --use_xnnpack=true" in text for text in timed)
    assert set(phone.masks) == {"c0"}


def test_the_conditions_say_which_phone_and_program(phone, adb_client, tmp_path):
    timers = [
        PhoneTimer(phone.serial, adb_client, str(program), threads, rounds=3)
        for threads, program in (
            (1, write_binary(tmp_path / "one")),
            (2, write_binary(tmp_path / "one")),
            (1, write_binary(tmp_path / "other", fault="crash")),
        )
    ]
    first = timers[0].conditions
    assert (first["device"], first["threads"], first["rounds"]) == ("Pixel 6", 1, 3)
    assert (first["mask"], first["delegate"]) == ("c0", "xnnpack")
    assert first["build"] == phone.properties["ro.build.fingerprint"]
    assert json.loads(json.dumps(first)) == first
    assert len({json.dumps(timer.conditions) for timer in timers}) == 3


def test_a_file_that_does_not_run_is_a_failure(phone, adb_client, tmp_path, files):
    program = write_binary(tmp_path / "benchmark_model", fault="crash")
    timer = PhoneTimer(phone.serial, adb_client, str(program), threads=1, rounds=1)
    with refused("did not run an operator: crashed", phone.serial, by=Failure):
        timer.time(files[:1], 4.0)


def test_a_phone_that_is_not_there_is_told(adb_client, phone, binary):
    with refused("NOWHERE"):
        PhoneTimer("NOWHERE", adb_client, str(binary), threads=1, rounds=1)
