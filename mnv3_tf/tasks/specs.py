"""A spec of whichever task: from names, and from JSON."""

from pathlib import Path
from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.networks import spec_json
from mnv3_tf.tasks import CLASSIFY, TASKS, find_task, task_of
from mnv3_tf.tasks.task import Head, Resolution, Spec, Task

__all__ = ["DATASETS", "Head", "Resolution", "Spec", "for_phones", "from_json", "resolve_spec"]

DATASETS = (
    "shapes, folder:DIR, csv:FILE, shards:DIR, tfds:NAME, "
    "coco:ANNOTATIONS.json,IMAGES[,VAL.json,VAL_IMAGES], voc:DIR or masks:DIR"
)
"""What --dataset may be."""

EVALUATION_MARGIN = 256 / 224
"""How classifiers are judged: the shorter side before the central crop, by the resolution."""


def resolve_spec(
    task: str,
    model: str,
    width: float = 1.0,
    resolution: Resolution | None = None,
    num_classes: int | None = None,
    head: Head | None = None,
    pretrained: bool = False,
) -> Spec:
    """The spec of a task on a named network, or on a spec JSON file, which may be of the task.

    None keeps what the spec says; detectors see 320x320, segmentation the network's own square.

    Raises UserError for anything unknown, out of range, or that does not fit the task.
    """
    wanted = find_task(task)
    if model.endswith(".json") and Path(model).is_file():
        written = from_json(Path(model).read_text(errors="replace"))
        if written.task != CLASSIFY.name:
            return _changed(written, wanted, model, width, resolution, num_classes)
    return wanted.make(model, width, resolution, num_classes, head or Head(), pretrained)


def from_json(text: str) -> Spec:
    """The inverse of every spec's `to_json`. Raises UserError for what is no valid spec."""
    tree = spec_json.load(text)
    name = tree.pop("task", CLASSIFY.name) if isinstance(tree, dict) else CLASSIFY.name
    if name not in TASKS:
        known = ", ".join(TASKS)
        raise UserError(f"In the network spec, task is {name!r} but must be one of {known}.")
    return spec_json.decode(TASKS[name].spec_class, tree, "spec")


def for_phones(spec: Spec) -> Spec:
    """The spec of what is exported: the same function from operators that suit XNNPACK."""
    return task_of(spec).for_phones(spec)


def _changed(
    spec: Spec,
    task: Task[Any],
    model: str,
    width: float,
    resolution: Resolution | None,
    num_classes: int | None,
) -> Spec:
    if spec.task != task.name:
        raise UserError(f"{model} is a spec of --task={spec.task}, not of --task={task.name}.")
    if width != 1:
        raise UserError(f"{model} has its width already; leave out --width={width}.")
    if resolution is not None:
        spec = spec.replace(resolution=task.fitted(resolution))
    return spec if num_classes is None else spec.replace(num_classes=num_classes)
