"""What a .tflite takes, gives and is called inside: read once, for all who run it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnv3_tf.errors import UserError
from mnv3_tf.networks.pixels import View
from mnv3_tf.tasks import TASKS, Spec
from mnv3_tf.tasks.class_names import read_class_names
from mnv3_tf.tflite import metadata
from mnv3_tf.tflite.causes import DAMAGED
from mnv3_tf.tflite.model_graph import Graph, read_graph
from mnv3_tf.tflite.picture_input import PictureInput, picture_input
from mnv3_tf.tflite.reading import AS_IT_SAYS, Reading
from mnv3_tf.tflite.signature import Signature, signature_of

BACKGROUND = ("background", "__background__", "???")
"""What the first of the names is called where it is of no class."""

WITH_BACKGROUND = 1001
"""Classes of a network that TF-slim trained on ImageNet, whose first is the background."""

BESIDE = "labels.txt"
"""A file of names that is found without being named."""


@dataclass(frozen=True)
class Description:
    """`picture` is what the file takes, `signature` what it gives; `spec` is of a file of ours.

    `labels` are names of the classes, None if there are none. `background`: the first of the scores
    is of no class and left out; then `num_classes` and `labels` are without it. `num_classes` is
    without a detector's background too, and 0 where neither the file nor its labels say. `view` is
    what it shall see of a picture, None where nobody says. `notes` are sentences, without a full
    stop, on what was not certain.
    """

    picture: PictureInput
    signature: Signature
    spec: Spec | None
    labels: tuple[str, ...] | None
    num_classes: int
    background: bool = False
    notes: tuple[str, ...] = ()
    view: View | None = None

    @property
    def task(self) -> str:
        """Files of several tasks may look alike, so that a spec decides."""
        return self.spec.task if self.spec else self.signature.task


def describe(
    path: str | Path,
    reading: Reading = AS_IT_SAYS,
    shapes: Mapping[int, tuple[int, ...]] | None = None,
) -> Description:
    """Of a file that runs; `shapes` are of those tensors that the input's shape decides.

    Raises UserError for a file that takes no single picture, whose outputs are no `Signature`, and
    for labels of another number of classes, or a view that its task does not have.
    """
    content = Path(path).read_bytes()
    try:
        graph = read_graph(content).resized(shapes or {})
        spec = metadata.spec_of(content)
        picture = picture_input(path, graph, content, reading)
        return _described(path, graph, content, reading, picture, spec)
    except UserError:
        raise
    except Exception:  # good offsets to what makes no sense
        raise UserError(f"{path} {DAMAGED}.") from None


def _described(
    path: str | Path,
    graph: Graph,
    content: bytes,
    reading: Reading,
    picture: PictureInput,
    spec: Spec | None,
) -> Description:
    signature = signature_of(graph, reading.output_name, spec is not None, path)
    if spec and not _is_of(spec, signature, picture):
        spec, signature = None, signature_of(graph, reading.output_name, path=path)
    notes = list(picture.note(path))
    if signature.others:
        notes.append(
            f"{path} gives {signature.name} and also {', '.join(signature.others)}; "
            f"{signature.name} answers unless --output_name says otherwise"
        )
    given, source = _written(path, content, reading)
    count, background = signature.num_classes or 0, False
    if signature.form == "vector" and not spec and not signature.single:
        background = _has_background(count, given)
        if background:
            count -= 1
            notes.append(f"output 0 of {path} was taken for the background, and left out")
    labels = _fitting(given, count, signature) if given else None
    if labels and source and count not in (0, len(labels)):
        wrong = f"{source} names {len(labels)} classes, and {path} has {count}"
        if reading.labels:
            raise UserError(f"{wrong}; give the names that it was trained with.")
        labels = None
        notes.append(f"{wrong}, so that they are not its names")
    task = TASKS[spec.task if spec else signature.task]
    view = reading.view or metadata.view_of(content)
    return Description(
        picture,
        signature,
        spec,
        labels,
        count or len(labels or ()),
        background,
        tuple(notes),
        view and task.view(view),
    )


def _is_of(spec: Spec, signature: Signature, picture: PictureInput) -> bool:
    """Whether the spec speaks of this file, not of one that another tool has changed since."""
    return (
        signature.form in TASKS[spec.task].forms
        and spec.image_size == picture.image_size
        and signature.num_classes in (None, spec.num_classes)
    )


# -- names -----------------------------------------------------------------------------------


def _written(
    path: str | Path, content: bytes, reading: Reading
) -> tuple[Sequence[str] | None, str | None]:
    """Names as they are written, and the file that they are from if it is not the .tflite."""
    if reading.labels:
        return read_class_names(reading.labels), reading.labels
    beside = Path(path).with_name(BESIDE)
    if (inside := metadata.labels_of(content, path)) or not beside.is_file():
        return inside, None
    return read_class_names(beside), str(beside)


def _has_background(count: int, labels: Sequence[str] | None) -> bool:
    """Whether the first of `count` scores is of no class."""
    named = labels is None or len(labels) == count - 1 or labels[0].lower() in BACKGROUND
    return count == WITH_BACKGROUND and named


def _fitting(given: Sequence[str], count: int, signature: Signature) -> tuple[str, ...]:
    """The names of the classes, in their order and without a background that has no score."""
    labels = tuple(given)
    if signature.single and len(labels) == 1:
        return (f"not {labels[0]}", *labels)
    without = signature.form in ("vector", "detections") and len(labels) != count
    return labels[1:] if without and labels[0].lower() in BACKGROUND else labels
