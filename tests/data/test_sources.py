"""The registry of dataset formats: what it lists can be opened, and one more is one more line."""

import subprocess
import sys
from importlib import import_module

import pytest

from mnv3_tf.data import sources
from mnv3_tf.data.dataset import Dataset
from mnv3_tf.data.sources import FORMATS, Format, Opening, open_dataset, usage
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import DETECT, TASKS
from mnv3_tf.training.settings import TrainSettings


def open_nothing(asked: Opening) -> Dataset:
    return Dataset(f"nothing:{asked}", ("a",), None, None)


@pytest.fixture
def another(monkeypatch):
    """`nothing:THERE`, which has boxes."""
    one = Format("nothing:THERE", ("boxes",), f"{__name__}:open_nothing")
    monkeypatch.setattr(sources, "FORMATS", (*FORMATS, one))


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_every_opener_is_there(one):
    module, _, function = one.opener.partition(":")
    assert callable(getattr(import_module(module), function))


def test_names_are_unique_and_every_task_is_served():
    assert len({one.name for one in FORMATS}) == len(FORMATS)
    for task in TASKS.values():
        assert usage(task.targets)


def test_another_format_is_one_line(another):
    asked = Opening("here", DETECT, seed=3, side=64, training=True, data_dir="/d")
    opened = open_dataset(
        "nothing:here", task="detect", seed=3, resolution=(32, 64), training=True, data_dir="/d"
    )
    assert opened.name == f"nothing:{asked}"
    assert usage().endswith(" or nothing:THERE")
    assert usage("boxes").endswith(", voc:DIR or nothing:THERE")
    assert "nothing" not in usage("masks")
    for name, task, sentence in (
        ("zip:x", "detect", "masks:DIR or nothing:THERE."),
        ("nothing", "detect", "Unknown dataset 'nothing'"),
        ("masks:x", "detect", "voc:DIR or nothing:THERE."),
        ("nothing:x", "segment", "which nothing: does not have; give shapes or masks:DIR."),
    ):
        with pytest.raises(UserError) as caught:
            open_dataset(name, task=task, training=False)
        assert sentence in str(caught.value)


def test_help_names_every_format():
    meaning = TrainSettings.__dataclass_fields__["dataset"].metadata["setting"]
    assert all(one.usage in meaning.help for one in FORMATS)


def test_the_formats_need_no_tensorflow():
    code = "import sys, mnv3_tf.data.sources; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
