"""A spec of whichever task: from names, and from JSON."""

from dataclasses import dataclass
from pathlib import Path

from mnv3_tf.errors import UserError
from mnv3_tf.networks import spec_json
from mnv3_tf.networks.named import NETWORKS
from mnv3_tf.tasks import CLASSIFY, TASKS, find_task, task_of
from mnv3_tf.tasks.task import Head, Resolution, Spec, parse_resolution, resolution_text
from mnv3_tf.ui.settings import Checked, setting

WEIGHTS_RANGE = (
    "What the weights take the bytes 0 to 255 of a pixel as, where neither the file nor its "
    "library says so: 0..255, 0..1, -1..1, or imagenet (less its mean, by its deviation)."
)
"""The help of --input_range where it is of weights."""

VIEW = (
    "What a classifier sees of a picture where it is judged: crop, the central square of 7/8 of "
    "its shorter side, or whole, all of it squeezed to the input, as MediaPipe does. If not given, "
    "what the run or the file records, else what suits the pictures."
)
"""The help of --view."""


@dataclass(frozen=True)
class NamedNetwork(Checked):
    """A network of any task; None is what the named one has."""

    model: str = setting(
        "large", f"A network's name ({', '.join(NETWORKS)}), or the path of a spec JSON."
    )
    width: float = setting(1.0, "Width multiplier.")
    resolution: Resolution | None = setting(
        None,
        "Side of the square input in pixels, or HEIGHTxWIDTH to segment.",
        read=parse_resolution,
        write=resolution_text,
    )
    num_classes: int | None = setting(None, "Number of classes.")
    task: str = setting(CLASSIFY.name, f"What the network is for: {', '.join(TASKS)}.")


def resolve_spec(
    task: str,
    model: str,
    width: float = 1.0,
    resolution: Resolution | None = None,
    num_classes: int | None = None,
    head: Head | None = None,
    pretrained: bool = False,
) -> Spec:
    """What `make_spec` makes of these."""
    named = NamedNetwork(model, width, resolution, num_classes, task)
    return make_spec(named, head or Head(), pretrained)


def make_spec(asked: NamedNetwork, head: Head, pretrained: bool) -> Spec:
    """The spec of a task on a named network, or on a spec JSON file, which may be of the task.

    None keeps what the spec says; detectors see 320x320, segmentation the network's own square.

    Raises UserError for anything unknown, out of range, or that does not fit the task.
    """
    task = find_task(asked.task)
    if asked.model.endswith(".json") and Path(asked.model).is_file():
        written = from_json(Path(asked.model).read_text(errors="replace"))
        if written.task != CLASSIFY.name:
            return _changed(written, asked)
    return task.make(asked, head, pretrained)


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


def _changed(spec: Spec, asked: NamedNetwork) -> Spec:
    model, task = asked.model, find_task(asked.task)
    if spec.task != task.name:
        raise UserError(f"{model} is a spec of --task={spec.task}, not of --task={task.name}.")
    if asked.width != 1:
        raise UserError(f"{model} has its width already; leave out --width={asked.width}.")
    if asked.resolution is not None:
        spec = spec.replace(resolution=task.fitted(asked.resolution))
    return spec if asked.num_classes is None else spec.replace(num_classes=asked.num_classes)
