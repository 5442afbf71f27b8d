"""A spec of whichever task: from flags, and from JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.networks import spec_json
from mnv3_tf.networks.lraspp import HEADS, HOPS, POOLINGS, SegmenterSpec, make_segmenter
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.networks.ssdlite import RESOLUTION, DetectorSpec, make_detector

Spec = NetworkSpec | DetectorSpec | SegmenterSpec
Resolution = int | tuple[int, int]
"""The side of square pictures, or height and width, in pixels."""

TASKS = ("classify", "detect", "segment")
DATASETS = (
    "shapes, folder:DIR, csv:FILE, shards:DIR, tfds:NAME, "
    "coco:ANNOTATIONS.json,IMAGES[,VAL.json,VAL_IMAGES], voc:DIR or masks:DIR"
)
"""What --dataset may be."""

EVALUATION_MARGIN = 256 / 224
"""How classifiers are judged: the shorter side before the central crop, by the resolution."""

TAILS = ("auto", "full", "half")


@dataclass(frozen=True)
class Head:
    """What the tasks other than classification have to choose, as flags give it.

    `tail` "half" has half the channels from C4 to C5 (the paper's dagger and RF2), "auto" too
    unless there are weights to start from, which are of whole networks. The others are those of
    `lraspp.SegmenterSpec`.
    """

    tail: str = "auto"
    head: str = "lraspp"
    head_filters: int = 128
    output_stride: int = 16
    pooling: str = "window"

    def __post_init__(self) -> None:
        choices: Mapping[str, Any] = {
            "tail": TAILS,
            "head": HEADS,
            "output_stride": tuple(HOPS),
            "pooling": POOLINGS,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise UserError(
                    f"--{name}={getattr(self, name)} is not one of {', '.join(map(str, known))}."
                )


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
    check_task(task)
    if model.endswith(".json") and Path(model).is_file():
        written = from_json(Path(model).read_text(errors="replace"))
        if not isinstance(written, NetworkSpec):
            return _changed(written, task, model, width, resolution, num_classes)
    head = head or Head()
    half = head.tail == "half" or (head.tail == "auto" and not pretrained)
    if task == "segment":
        backbone = resolve(model, num_classes=num_classes)
        return make_segmenter(
            backbone,
            sides(resolution or backbone.resolution),
            width,
            half,
            head=head.head,
            filters=head.head_filters,
            output_stride=head.output_stride,
            pooling=head.pooling,
        )
    side = None if resolution is None else square(resolution, task)
    if task == "classify":
        return resolve(model, width, side, num_classes)
    backbone = resolve(model, resolution=side or RESOLUTION, num_classes=num_classes)
    return make_detector(backbone, width, half)


def check_task(task: str) -> None:
    if task not in TASKS:
        raise UserError(f"Unknown task {task!r}; choose one of {', '.join(TASKS)}.")


def from_json(text: str) -> Spec:
    """The inverse of every spec's `to_json`. Raises UserError for what is no valid spec."""
    tree = spec_json.load(text)
    task = tree.pop("task", "classify") if isinstance(tree, dict) else "classify"
    kinds: dict[str, type[Spec]] = {
        "classify": NetworkSpec,
        "detect": DetectorSpec,
        "segment": SegmenterSpec,
    }
    if task not in kinds:
        raise UserError(f"In the network spec, task is {task!r} but must be one of {TASKS}.")
    spec: Spec = spec_json.decode(kinds[task], tree, "spec")
    return spec


def for_phones(spec: Spec) -> Spec:
    """The spec of what is exported: the same function from operators that suit XNNPACK."""
    return spec.replace(mobile=True) if isinstance(spec, SegmenterSpec) else spec


def parse_resolution(text: str | None) -> Resolution | None:
    """ "224", or "360x480" for height and width. Raises UserError for anything else."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise UserError(f"--resolution={text} must be a number of pixels, or HEIGHTxWIDTH.")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def square(resolution: Resolution, task: str) -> int:
    """The side. Raises UserError where height and width differ."""
    height, width = sides(resolution)
    if height != width:
        raise UserError(
            f"--resolution={height}x{width} is not square, which --task={task} needs; give one "
            "number."
        )
    return height


def sides(resolution: Resolution) -> tuple[int, int]:
    """Height and width."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def _changed(
    spec: DetectorSpec | SegmenterSpec,
    task: str,
    model: str,
    width: float,
    resolution: Resolution | None,
    num_classes: int | None,
) -> Spec:
    if spec.task != task:
        raise UserError(f"{model} is a spec of --task={spec.task}, not of --task={task}.")
    if width != 1:
        raise UserError(f"{model} has its width already; leave out --width={width}.")
    if resolution is not None:
        both = sides(resolution)
        spec = spec.replace(resolution=both if task == "segment" else square(resolution, task))
    return spec if num_classes is None else spec.replace(num_classes=num_classes)
