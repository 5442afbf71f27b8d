"""How files are timed for tables: on this computer, in chunks, and never twice."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
from refusals import refused

from mnv3_tf.measuring import machine, timers, turns
from mnv3_tf.measuring.timings import CHUNK, TimingJob, Timings
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.named import resolve
from mnv3_tf.tflite import runtime, skeleton

# -- this computer ---------------------------------------------------------------------------


def test_the_host_takes_the_tenth_percentile_of_interleaved_turns(monkeypatch):
    """File k takes 1000 k microseconds, and each inference of a turn one more."""
    taken = []

    class Model:
        def __init__(self, path, threads):
            assert threads == 3
            self.factor = int(Path(path).stem)

        def invoke(self):
            pass

    def sample(invoke, count):
        model = invoke.__self__
        taken.append((model.factor, count))
        return 1000.0 * model.factor + np.arange(count)

    monkeypatch.setattr(runtime, "TFLiteModel", Model)
    monkeypatch.setattr(runtime, "sample", sample)
    timer = timers.open_timer(None, None, None, threads=3, rounds=4)
    assert timer.time([Path("1.tflite"), Path("2.tflite")], 22.0) == [1002.0, 2001.0]
    warm, few = turns.UNTIMED_INVOKES, turns.FEWEST_INVOKES
    assert taken[:4] == [(1, warm), (1, few), (2, warm), (2, few)]
    # Twenty-two milliseconds, at 1.002 and at 2.002 each.
    counts = {1: 22, 2: 11}
    planned = [
        (factor, count)
        for order in turns.plan(2, 4, seed=0)
        for factor in (1 + place for place in order)
        for count in (warm, counts[factor])
    ]
    assert taken[4:] == planned


def test_the_conditions_tell_what_the_numbers_are_of(monkeypatch):
    here = machine.describe_machine(os.getloadavg())
    assert timers.open_timer(None, None, None, 2, 7).conditions == {
        "device": here["cpu"],
        "threads": 2,
        "delegate": "xnnpack",
        "runtime": f"ai-edge-litert {here['versions']['ai-edge-litert']}",
        "rounds": 7,
    }
    monkeypatch.setattr(timers, "PhoneTimer", lambda *told: told)
    assert timers.open_timer("SERIAL", "adb", "binary", 2, 7) == ("SERIAL", "adb", "binary", 2, 7)


def test_a_real_operator_is_timed(tmp_path):
    file = tmp_path / "m.tflite"
    file.write_bytes(skeleton.single(operators(resolve("small", resolution=32))[0]))
    (us,) = timers.HostTimer(threads=1, rounds=2).time([file], 0.1)
    assert 0 < us < 1e5


# -- what is kept ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Stub(TimingJob):
    """Its file is as long as its number says."""

    def content(self) -> bytes:
        return b"x" * int(self.name)


def stub(number: int, burst_ms: float = 4.0) -> TimingJob:
    return Stub(str(number), None, "none", burst_ms)


class Timer:
    """A microsecond for each byte of a file."""

    conditions = {"device": "made up"}  # noqa: RUF012

    def __init__(self):
        self.chunks: list[tuple[int, float]] = []

    def time(self, paths, burst_ms):
        self.chunks.append((len(paths), burst_ms))
        return [float(path.stat().st_size) for path in paths]


def told(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_each_job_gets_its_own_time_in_chunks_of_mixed_files(tmp_path):
    timer, jobs = Timer(), [stub(number, 2.5) for number in range(CHUNK + 1)]
    assert CHUNK == 60
    assert Timings(tmp_path / "t.jsonl", timer).of(jobs, "") == list(map(float, range(CHUNK + 1)))
    assert timer.chunks == [(60, 2.5), (1, 2.5)]
    first, *rest = told(tmp_path / "t.jsonl")
    assert first == {"conditions": Timer.conditions}
    names = [entry["name"] for entry in rest]
    assert sorted(map(int, names)) == list(range(CHUNK + 1))
    assert names != sorted(names, key=int)
    assert all(entry["us"] == float(entry["name"]) for entry in rest)


def test_what_is_known_is_not_timed_again(tmp_path):
    timer = Timer()
    timings = Timings(tmp_path / "t.jsonl", timer)
    assert timings.of([stub(1), stub(2)], "") == [1, 2]
    assert timings.of([stub(3), stub(1)], "") == [3, 1]
    assert [count for count, _ in timer.chunks] == [2, 1]
    again = Timer()
    assert Timings(tmp_path / "t.jsonl", again).of([stub(n) for n in (3, 2, 1)], "") == [3, 2, 1]
    assert again.chunks == []


def test_a_cut_last_line_is_timed_again(tmp_path):
    file, timer = tmp_path / "t.jsonl", Timer()
    Timings(file, timer).of([stub(1), stub(2)], "")
    whole = told(file)
    file.write_bytes(file.read_bytes()[:-9])
    assert Timings(file, timer).of([stub(1), stub(2)], "") == [1, 2]
    assert [count for count, _ in timer.chunks] == [2, 1]
    assert told(file) == whole


def test_a_cut_first_line_leaves_the_conditions_told(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text('{"conditio')
    assert Timings(file, Timer()).of([stub(5)], "") == [5]
    assert told(file) == [{"conditions": Timer.conditions}, {"name": "5", "us": 5.0}]


def test_timings_of_other_conditions_are_refused(tmp_path):
    Timings(tmp_path / "t.jsonl", Timer()).of([stub(5)], "")
    other, before = Timer(), (tmp_path / "t.jsonl").read_text()
    other.conditions = {"device": "another"}
    with refused(f"under {Timer.conditions}, not {other.conditions}; remove it, or give"):
        Timings(tmp_path / "t.jsonl", other)
    assert (tmp_path / "t.jsonl").read_text() == before


def test_a_job_is_of_an_operator_or_a_network():
    spec = resolve("small_minimalistic", resolution=32)
    op = operators(spec)[0]
    for quantize in ("none", "int8"):
        job = TimingJob("", op, quantize, 4.0)
        assert job.content() == skeleton.single(op, quantize)
        assert TimingJob("", spec, quantize, 4.0).content() == skeleton.network(spec, quantize)
