"""Turns, ratios, and the commands that measure training."""

import functools
import json
import os
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from PIL import Image
from refusals import check_command

from benchmark import input_pipeline, memory, train_step
from mnv3_tf.errors import Failure
from mnv3_tf.measuring import throughput
from mnv3_tf.ui import cli

# -- turns -----------------------------------------------------------------------------------


def test_ratios_are_of_speed_and_to_the_first(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now[0])

    def nap(seconds: float) -> None:
        now[0] += seconds

    turns = {
        name: lambda s=seconds: throughput.timed(lambda: nap(s), 4)
        for name, seconds in {"first": 0.008, "slow": 0.016}.items()
    }
    first, slow = throughput.compare(turns, 8)
    assert (first["name"], slow["name"]) == ("first", "slow")
    assert first["ratio"] == 1.0
    assert slow["ratio"] == pytest.approx(0.5)
    assert slow["ratio_ci"] == pytest.approx([0.5, 0.5])
    assert first["images_per_s"] == pytest.approx(500)
    assert first["images_per_s_ci"] == pytest.approx([500, 500])


def test_first_turns_do_not_count_and_all_take_turns_in_changing_order():
    calls = []

    def turn(name, seconds):
        times = iter([99.0, *seconds])

        def take():
            calls.append(name)
            return next(times)

        return take

    seconds = {"a": [1.0, 2.0, 1.0, 1.0, 1.0], "b": [2.0, 2.0, 1.0, 4.0, 4.0]}
    a, b = throughput.compare({name: turn(name, of) for name, of in seconds.items()}, 5)
    assert (a["images_per_s"], b["images_per_s"]) == (1.0, 0.5)
    assert b["ratio"] == 0.5  # of 0.5, 1, 1, 0.25, 0.25
    # The slowest and the fastest are the other way round than the seconds.
    assert b["images_per_s_ci"] == [0.25, 1.0]
    assert b["ratio_ci"] == [0.25, 1.0]
    assert calls[:2] == ["a", "b"]
    rounds = ["".join(calls[at : at + 2]) for at in range(2, 12, 2)]
    assert set(rounds) == {"ab", "ba"}


def test_a_table_of_speeds(capsys, tmp_path):
    row = {"name": "ours", "images_per_s": 123.456, "images_per_s_ci": [1, 2]}
    row |= {"ratio": 1.23456, "ratio_ci": [1.1, 1.3]}
    results = throughput.report("A title", "a command", [row])
    assert (results["command"], results["rows"]) == ("a command", [row])
    assert results["machine"]["cpu"]
    printed = capsys.readouterr().out
    assert "A title" in printed
    cells = ["ours", "123.5", "1.235", "1.100-1.300"]
    assert cells in [line.split() for line in printed.splitlines()]
    throughput.write(results, tmp_path / "new")
    assert json.loads((tmp_path / "new" / "results.json").read_text()) == results


def run(module, *flags):
    return cli.call(module.main, module.define_flags, ["benchmark", *flags])


def told(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


# -- the input pipeline ----------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Five, two of which count as JPEGs by .jpeg and by the folder within."""
    rng = np.random.default_rng(0)
    (tmp_path / "pictures" / "within").mkdir(parents=True)
    for name in ("0.jpg", "1.jpg", "2.jpg", "3.jpeg", "within/4.jpg"):
        pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / name, "JPEG")
    (tmp_path / "pictures" / "letter.txt").touch()
    return tmp_path / "pictures"


def test_input_pipeline(pictures, monkeypatch, tmp_path, capsys):
    """Each way takes a turn, of views that tell how they were asked for; speeds are made up."""
    import tensorflow as tf

    from mnv3_tf.data import dataset
    from mnv3_tf.data.augment import Augmentation
    from mnv3_tf.data.task_views import Views

    speeds = {"bound: decode whole": 400.0, "view": 200.0, "view, unchecked files": 160.0}
    took, hows, asked = [], [], []

    def look(content, label, resolution, seed, how):
        hows.append((resolution, how))
        return tf.zeros(2), label

    def compare(turns, rounds):
        assert rounds == 5
        asked.extend(dict.fromkeys(how for _, how in hows))
        took.extend(turn() for turn in turns.values())
        speed = [{"name": name, "images_per_s": speeds.get(name, 100.0)} for name in turns]
        return [row | {"ratio": 1.0, "ratio_ci": [1.0, 1.0]} for row in speed]

    split = functools.partial(dataset.Split, views=Views(look, look))
    monkeypatch.setattr(dataset, "Split", split)
    monkeypatch.setattr(throughput, "compare", compare)
    monkeypatch.setattr(throughput, "timed", lambda work, images: (work(), images))
    monkeypatch.setattr(input_pipeline, "WARM_UP", 1)
    flags = ["--resolution=16", "--batch_size=3", "--batches=2", "--rounds=5", "--json"]
    assert run(input_pipeline, f"--pictures={pictures}", f"--out={tmp_path}", *flags) == 0
    # Every turn is of two batches of three; what comes before it does not count.
    assert took == [(None, 6)] * 6
    assert {resolution for resolution, _ in hows} == {16}
    assert asked == [
        Augmentation(),
        Augmentation(brightness=0.4, contrast=0.4, saturation=0.4),
        Augmentation(erase=0.25),
        Augmentation(randaugment_layers=2),
    ]
    printed = capsys.readouterr().out
    results = json.loads(printed.splitlines()[-1])
    assert [row["name"] for row in results["rows"]] == [
        "bound: decode whole",
        "view",
        "view, unchecked files",
        "view, colour",
        "view, erase",
        "view, RandAugment",
    ]
    assert [row.get("cost_percent") for row in results["rows"]] == [None, None, 25, 100, 100, 100]
    assert "view, unchecked files: +25 % of a view's time" in printed
    assert "Input pipeline, 5 JPEGs to 16 x 16" in printed
    assert results["command"] == (
        f"python -m benchmark input_pipeline --pictures={pictures} --resolution=16 "
        "--batch_size=3 --batches=2 --rounds=5"
    )
    assert json.loads((tmp_path / "results.json").read_text()) == results


def test_input_pipeline_without_pictures(tmp_path, capsys):
    assert input_pipeline.WARM_UP == 16
    check_command(input_pipeline, [], "--pictures is missing", capsys, tmp_path)
    flags = [f"--pictures={tmp_path}"]
    check_command(input_pipeline, flags, "holds no .jpg; give a folder", capsys, tmp_path)


# -- a training step -------------------------------------------------------------------------


def test_train_step_is_of_each_network_by_itself(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(cli, "import_tensorflow", lambda args: None)
    monkeypatch.setattr(train_step, "turns", lambda *of: of)

    def compare(turns, rounds):
        asked.append((turns, rounds))
        rates = {"images_per_s": 1.0, "ratio": 1.0, "ratio_ci": [1.0, 1.0]}
        return [{"name": f"{by} {turns[0]}"} | rates for by in ("theirs", "ours")]

    monkeypatch.setattr(throughput, "compare", compare)
    flags = ("--resolution=64", "--batch_size=3", "--steps=4", "--rounds=6", "--jit_compile")
    assert run(train_step, "--models=small,v2", *flags, f"--out={tmp_path}", "--json") == 0
    assert asked == [(("small", 64, 3, 4, True), 6), (("v2", 64, 3, 4, True), 6)]
    printed = capsys.readouterr().out
    results = json.loads(printed.splitlines()[-1])
    names = [row["name"] for row in results["rows"]]
    assert names == ["theirs small", "ours small", "theirs v2", "ours v2"]
    assert shlex.split(results["command"]) == [
        *("python", "-m", "benchmark", "train_step", "--models=small,v2", "--resolution=64"),
        *("--batch_size=3", "--steps=4", "--rounds=6", "--jit_compile"),
    ]
    assert "Training step, batches of 3 at 64; speed: by Keras'" in " ".join(printed.split())
    assert json.loads((tmp_path / "results.json").read_text()) == results


@pytest.mark.slow
def test_train_step(capsys, monkeypatch):
    """Of real networks, in one round."""
    compare = throughput.compare
    monkeypatch.setattr(throughput, "compare", lambda turns, rounds: compare(turns, 1))
    flags = ["--resolution=32", "--batch_size=2", "--steps=1", "--json"]
    assert run(train_step, "--models=small", *flags) == 0
    results = told(capsys)
    names = [row["name"] for row in results["rows"]]
    assert names == ["tf_keras MobileNetV3Small", "mnv3_tf small"]


@pytest.mark.slow
def test_both_networks_of_a_train_step_are_the_same_size():
    import tf_keras

    from mnv3_tf.networks.cost import cost
    from mnv3_tf.networks.named import resolve

    for name, peer in train_step.PEERS.items():
        theirs = getattr(tf_keras.applications, peer)(weights=None)
        ours = cost(resolve(name)).params
        assert ours == pytest.approx(theirs.count_params(), rel=0.02)


def test_a_network_that_keras_does_not_have(capsys, tmp_path):
    named = "--models=mnasnet_a1 is not one of large, small, v2."
    check_command(train_step, ["--models=mnasnet_a1"], named, capsys, tmp_path)
    assert train_step.PEERS == {
        "large": "MobileNetV3Large",
        "small": "MobileNetV3Small",
        "v2": "MobileNetV2",
    }


# -- memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ([104.0, 104.0], "100 MB in the second fifth, 104 MB in the last: flat (+4.0%)."),
        ([99.0, 99.0], "100 MB in the second fifth, 99 MB in the last: flat (-1.0%)."),
        ([105.0, 105.0], "100 MB in the second fifth, 105 MB in the last: it grows (+5.0%)."),
        ([110.0, 130.0], "100 MB in the second fifth, 120 MB in the last: it grows (+20.0%)."),
    ],
)
def test_growth_is_from_the_second_fifth_to_the_last(monkeypatch, capsys, tmp_path, last, said):
    megabytes = [1.0, 1.0, 90.0, 110.0, 1.0, 1.0, 999.0, 999.0, *last]
    asked = []
    monkeypatch.setattr(
        memory, "measure", lambda words: asked.append(words) or (list(range(10)), megabytes)
    )
    flags = ("--steps=7", "--model=large", "--resolution=64", "--batch_size=3", "--recipe=other")
    assert run(memory, *flags, "--json", f"--out={tmp_path}") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"7 steps: {said}\n")
    assert asked == [list(flags)]
    results = json.loads(printed.splitlines()[-1])
    assert results["command"] == f"python -m benchmark memory {' '.join(flags)}"
    assert (results["begin_mb"], results["end_mb"]) == (100.0, sum(last) / 2)
    assert results["growth"] == pytest.approx(sum(last) / 200 - 1)
    assert (results["seconds"], results["megabytes"]) == (list(range(10)), megabytes)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_of_memory_begins_at_zero(drawn, tmp_path):
    memory.draw([0.0, 1.0, 2.0], [100.0, 110.0, 105.0], tmp_path / "m.png")
    (axes,) = drawn[0].axes
    assert axes.lines[0].get_xydata().tolist() == [[0, 100], [1, 110], [2, 105]]
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylabel() == "resident memory (MB)"


class Training:
    """Instead of the process of a training: this one, which begins when it is first looked at."""

    def __init__(self, returncode: int = 0, looks: int = 4, says: bytes = b"") -> None:
        self.returncode, self.looks, self.says = returncode, looks, says
        self.pid, self.killed = os.getpid(), False

    def begin(self, argv, stdout, stderr):
        self.argv = argv
        stdout.write(self.says)
        (out,) = [word.removeprefix("--out=") for word in argv if word.startswith("--out=")]
        self.run = Path(out)
        return self

    def poll(self):
        self.looks -= 1
        if self.looks == 2:
            self.run.mkdir()
            (self.run / "run.json").touch()
        return None if self.looks >= 0 else self.returncode

    def kill(self):
        self.killed = True

    def wait(self):
        pass


@pytest.fixture
def watched(monkeypatch):
    """A process that is watched by a clock of one second a look."""

    def watch(training: Training) -> Training:
        clock = iter(range(100))
        time = SimpleNamespace(sleep=lambda seconds: None, monotonic=lambda: float(next(clock)))
        monkeypatch.setattr(memory, "time", time)
        monkeypatch.setattr(memory.subprocess, "Popen", training.begin)
        return training

    return watch


def test_memory_is_looked_at_from_the_first_step_on(watched):
    training = watched(Training())
    seconds, megabytes = memory.measure(["--steps=7"])
    assert len(seconds) == len(megabytes) == 3
    assert seconds == sorted(seconds)
    status = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert megabytes[-1] == pytest.approx(kilobytes / 1024, rel=0.2)
    assert training.killed
    assert training.argv[1:4] == ["-m", "train", "--dataset=shapes"]
    assert training.argv[-1] == "--steps=7"


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (Training(1, says=b"a page\nThe reason.\n"), "Training failed: The reason."),
        (Training(3), "Training failed: 3"),
        (Training(0, looks=1, says=b"It was quick."), "Training failed: It was quick."),
    ],
)
def test_memory_of_a_training_that_fails(watched, training, said):
    watched(training)
    with pytest.raises(Failure) as caught:
        memory.measure([])
    assert str(caught.value) == said


@pytest.mark.slow
def test_memory_of_a_real_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(memory, "SECONDS", 0.05)
    (tmp_path / "tiny.json").write_text(tiny.SHALLOW.to_json())
    network = [f"--model={tmp_path / 'tiny.json'}", "--resolution=32", "--batch_size=4"]
    flags = [*network, "--steps=20", f"--out={tmp_path}"]
    assert run(memory, *flags, "--json") == 0
    said = capsys.readouterr().out.splitlines()
    assert "20 steps: " in said[0]
    results = json.loads(said[-1])
    assert len(results["seconds"]) == len(results["megabytes"]) > 2
    assert results["begin_mb"] > 100
    assert (tmp_path / "memory.png").stat().st_size > 1000


@pytest.mark.slow
def test_memory_of_a_real_training_that_fails(capsys):
    assert run(memory, "--model=nonsense", "--steps=2") == 1
    assert "Training failed: Unknown model 'nonsense'" in capsys.readouterr().err
