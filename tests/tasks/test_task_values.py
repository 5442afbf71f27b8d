"""What holds of every task in the registry, and that nobody else tells tasks apart by class."""

import re
from pathlib import Path

import pytest
import tiny
from refusals import refused

from mnv3_tf.tasks import TASKS, find_task, specs, task_of
from mnv3_tf.training import recipe

ROOT = Path(__file__).parents[2]
EVERY = pytest.mark.parametrize("name", TASKS)
OUTSIDE = re.compile(
    r"(isinstance\(.*|case )(DetectorSpec|SegmenterSpec)\b"
    r'|(?<!task: str = )"(classify|detect|segment)"'
)
"""Not but as the default of a parameter."""


@EVERY
def test_a_task_is_found_by_its_name_and_by_its_spec(name):
    task, spec = find_task(name), tiny.NETWORKS[name]
    assert task.name == name
    assert task_of(spec) is task
    assert isinstance(spec, task.spec_class)
    assert specs.from_json(spec.to_json()) == spec


@EVERY
def test_its_recipes_are_for_its_targets(name):
    task = TASKS[name]
    for known in (task.quick, task.finetune, task.distill):
        assert known is None or recipe.load(known).targets == task.targets
    assert task.default_recipe(False, False) == task.quick
    assert task.default_recipe(True, False) == task.finetune
    assert task.default_recipe(True, True) == (task.distill or task.finetune)


def test_no_two_share_what_they_are_known_by():
    for shared in ("outputs", "forms"):
        values = [value for task in TASKS.values() for value in getattr(task, shared)]
        assert len(set(values)) == len(values)
    keys = [metric.key for task in TASKS.values() for metric in task.metrics]
    assert len(set(keys)) == len(keys)


@EVERY
def test_what_is_measured_after_each_epoch(name):
    task = TASKS[name]
    assert task.score.column in task.val_columns
    assert ("val_loss" in task.val_columns) == task.has_val_loss


@EVERY
def test_what_it_sees_of_a_picture(name):
    task = TASKS[name]
    assert task.view(None, "whole") == "whole"
    assert task.view(None, None) == task.view() == task.views[0]
    if task.targets == "classes":
        assert task.view(None, "crop", "whole") == task.view() == "crop"
        return
    with refused(f"--view=crop is of no use to --task={name}, which always takes the whole"):
        task.view("crop", "whole")


def test_nobody_else_tells_tasks_apart_by_class_or_by_a_literal():
    sources = [*ROOT.glob("*.py")]
    for folder in ("mnv3_tf", "benchmark", "android_bench"):
        sources += (ROOT / folder).rglob("*.py")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sources
        for line in path.read_text().splitlines()
        if OUTSIDE.search(line)
        and not path.is_relative_to(ROOT / "mnv3_tf" / "tasks")
        and not path.is_relative_to(ROOT / "mnv3_tf" / "networks")
    ]
    assert not found
