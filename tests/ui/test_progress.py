"""Lines while trials run: now and then, with the time left."""

from mnv3_tf.ui import progress


def test_a_line_a_minute(monkeypatch):
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    said: list[str] = []
    assert list(progress.reported(iter("abcdef"), 6, "step 2", said.append)) == list("abcdef")
    assert said == [
        "  step 2: 3 of 6 evaluated, 75 s left",
    ]


def test_the_last_needs_no_line(monkeypatch):
    clock = iter([0.0, 1000.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    said: list[str] = []
    assert list(progress.reported(iter([1]), 1, "step 1", said.append)) == [1]
    assert said == []
