"""Pictures that are evaluated on once, at the end, and choose nothing."""

import json
import shutil

import numpy as np
import pytest
from making import colours
from refusals import refused

from mnv3_tf.data.dataset import Split
from mnv3_tf.data.sources import open_dataset
from mnv3_tf.training.trained import load_run


@pytest.fixture
def tested(made, tmp_path):
    """(folder) -> of `colours`: val/ as folder/, red and green swapped, and without blue."""

    def make(name: str):
        for there, here in (("red", "green"), ("green", "red")):
            shutil.copytree(made(colours) / "val" / there, tmp_path / name / here)
        return tmp_path / name

    return make


@pytest.mark.slow
def test_a_set_of_its_own_is_evaluated_on_whole_by_names(train, made, tested, run, finished):
    summary = train(test=f"folder:{tested('other')}")
    shown, labels = next(
        iter(open_dataset(f"folder:{made(colours)}", training=False).val.eval_batches(15, 32))
    )
    answers = np.argmax(load_run(run.path).model(shown), 1)[labels > 0]
    swapped = {1: 2, 2: 1}
    right = [swapped[label] for label in labels.numpy() if label] == answers
    assert (summary["test_top1"], summary["test_images"]) == (np.mean(right), 10)
    assert json.loads(run.summary.read_text())["test_top1"] == summary["test_top1"]
    assert summary["val_top1"] == json.loads(finished.summary.read_text())["val_top1"]


def test_test_beside_train_and_val(train, made, tested, tmp_path):
    whole = tmp_path / "whole"
    shutil.copytree(made(colours), whole)
    shutil.move(tested("swapped"), whole / "test")
    summary = train(dataset=f"folder:{whole}", test=f"folder:{whole}/", steps=1)
    assert summary["test_images"] == 10
    assert {"test_top1", "test_top5", "val_top1"} <= summary.keys()


def test_what_judges_is_seen_as_asked(train, made, tested, run, monkeypatch):
    seen, batches = [], Split.eval_batches

    def keep(split, *asked, **more):
        seen.append((len(split), split.view))
        return batches(split, *asked, **more)

    monkeypatch.setattr(Split, "eval_batches", keep)
    train(view="whole", test=f"folder:{tested('other')}", steps=1)
    assert set(seen) == {(15, "whole"), (10, "whole")}
    recorded = run.recorded()
    assert (recorded["settings"]["view"], recorded["preprocessing"]["view"]) == ("whole", "whole")
    assert load_run(run.path).view == "whole"


@pytest.mark.parametrize(
    ("test", "named"),
    [
        ("folder:{own}", "--test=folder:{own} is what is trained on"),
        ("folder:{own}/../{name}", "is what is trained on"),
        ("folder:{other}", "has the class dog, but folder:{own} knows blue, green, red"),
        ("folder:/nowhere", "There is no folder /nowhere"),
    ],
)
def test_what_cannot_test(train, made, tested, run, test, named):
    own, other = made(colours), tested("other")
    shutil.copytree(other / "red", other / "dog")
    places = {"own": own, "name": own.name, "other": other}
    with refused(named.format(**places)):
        train(test=test.format(**places))
    assert not run.path.exists()
