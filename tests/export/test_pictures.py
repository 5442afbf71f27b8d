"""Which pictures an export calibrates on, trains on and evaluates on."""

from contextlib import nullcontext
from itertools import count, islice
from pathlib import Path

import pytest

from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.sources import Origin
from mnv3_tf.export import pictures
from mnv3_tf.export.pictures import Pictures, open_pictures, training_on
from mnv3_tf.quantization.aware_training import STEPS
from mnv3_tf.training import recipe


class Split:
    """Batches that say whose they are and which."""

    def __init__(self, name: str, size: int = 100) -> None:
        self.name, self.size, self.asked, self.view = name, size, [], "crop"

    def seen_as(self, view):
        assert view is None  # what suits it
        return self

    def __len__(self) -> int:
        return self.size

    def explained(self):
        return nullcontext()

    def images(self, *asked):
        return (self.name, *asked)

    def train_batches(self, batch, resolution, how, seed, start_step):
        self.asked.append((batch, resolution, how, seed))
        return ((f"{self.name}{number}", "labels") for number in count(start_step))


SETS = {
    "own": {"train": Split("own train"), "val": Split("own val")},
    "parts": {"train": Split("parts train"), "val": Split("parts val")},
    "one": {"train": Split("one train"), "val": None},
    "judge": {"train": None, "val": Split("judge val")},
}


@pytest.fixture
def opened(monkeypatch) -> list[dict]:
    """What each opened set was asked."""
    found = []

    def open_dataset(name, **options):
        found.append({"name": name, **options})
        return Dataset(name, (), **SETS[name])

    monkeypatch.setattr(pictures, "open_dataset", open_dataset)
    return found


@pytest.mark.parametrize(
    ("sources", "judged", "used", "judge", "shared"),
    [
        (["own"], "own", ["own train"], "own val", False),
        (["parts"], "own", ["parts train"], "own val", False),
        (["parts", "one"], "parts", ["parts train", "one train"], "parts val", False),
        (["one"], "one", ["one train"], "one train", True),
        (["judge"], "judge", ["judge val"], "judge val", True),
        (["parts", "judge"], "judge", ["parts train", "judge val"], "judge val", True),
        ([], "one", [], "one train", False),
        (["one"], None, ["one train"], None, False),
        ([], None, [], None, False),
    ],
)
def test_which_parts_are_taken(sources, judged, used, judge, shared, opened):
    found = open_pictures(sources, judged, 32)
    assert [split.name for split in found.sources] == used
    assert (found.evaluation and found.evaluation.name) == judge
    assert (found.evaluation_set and found.evaluation_set.name) == judged
    assert found.shared == shared


def test_how_the_sets_are_opened(opened):
    """Each once; those that must be split for training are told so."""
    origin = Origin("elsewhere", "own", None, 0)
    open_pictures(["own", "parts", "own"], "judge", 48, "/data", 5, origin, "detect")
    common = {"data_dir": "/data", "seed": 5, "resolution": 48, "task": "detect"}
    assert opened == [
        {"name": "own", "training": True, **common},
        {"name": "parts", "training": False, **common},
        {"name": "judge", "training": False, **common},
    ]
    opened.clear()
    open_pictures(["parts"], "parts", 32)
    open_pictures([], "parts", 32)
    common = {"data_dir": None, "seed": 0, "resolution": 32, "task": "classify"}
    assert opened == [
        {"name": "parts", "training": True, **common},
        {"name": "parts", "training": False, **common},
    ]


def test_the_first_source_calibrates():
    both = Pictures((Split("a"), Split("b")), None)
    assert both.calibration(7, (32, 64)) == ("a", 7, (32, 64))
    assert Pictures((), Split("c")).calibration(7, 32) is None


@pytest.mark.parametrize(
    ("names", "start", "expected"),
    [
        ("a", 3, ["a3", "a4", "a5"]),
        ("ab", 0, ["a0", "b0", "a1", "b1", "a2"]),
        ("ab", 3, ["b1", "a2", "b2", "a3"]),
        ("abc", 4, ["b1", "c1", "a2", "b2", "c2"]),
    ],
)
def test_sources_take_turns(names, start, expected):
    """Also where training goes on: with the batch that would have come."""
    training = training_on([Split(name) for name in names], 32)
    assert list(islice(training.batches(start), len(expected))) == expected


@pytest.mark.parametrize(
    ("task", "name"),
    [("classify", "finetune"), ("detect", "detect_finetune"), ("segment", "segment_finetune")],
)
def test_views_are_those_of_fine_tuning(task, name):
    large, small = Split("large"), Split("small", 5)
    training = training_on([large, small], 32, task=task)
    next(training.batches(0))
    how = recipe.load(name).augmentation
    assert large.asked == [(32, 32, how, 0)]
    assert small.asked == [(5, 32, how, 0)]
    assert (training.steps, training.checkpoints) == (STEPS, None)
    assert training.pictures == f"100 pictures, 5 pictures; {how}"


def test_training_as_it_is_told():
    how, split = recipe.load("quick").augmentation, Split("a")
    training = training_on([split], 448, 7, Path("m.qat"), how)
    next(training.batches(0))
    assert split.asked == [(8, 448, how, 0)]  # as much memory as 32 of 224
    assert (training.steps, training.checkpoints) == (7, Path("m.qat"))
    assert training.pictures == f"100 pictures; {how}"
