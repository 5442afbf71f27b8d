"""What the networks are for: to classify, to detect, to segment.

A task is one `Task` value in a file of its own, and a line in `TASKS`.
"""

from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.tasks.classify import CLASSIFY
from mnv3_tf.tasks.detect import DETECT
from mnv3_tf.tasks.segment import SEGMENT
from mnv3_tf.tasks.task import Metric, Resolution, Spec, Task

__all__ = [
    "CLASSIFY",
    "DETECT",
    "SEGMENT",
    "TASKS",
    "Metric",
    "Resolution",
    "Spec",
    "Task",
    "find_task",
    "task_of",
]

TASKS: dict[str, Task[Any]] = {task.name: task for task in (CLASSIFY, DETECT, SEGMENT)}


def find_task(name: str) -> Task[Any]:
    """The task of that name. Raises UserError, listing those there are, for another."""
    if name not in TASKS:
        raise UserError(f"--task={name} is not one of {', '.join(TASKS)}.")
    return TASKS[name]


def task_of(spec: Spec) -> Task[Any]:
    return TASKS[spec.task]
