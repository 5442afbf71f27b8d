"""What travels inside a .tflite: standard TFLite metadata with class names, our spec, our view.

Android's Task Library and MediaPipe read the former: normalisation, what the outputs mean, and
class names, a text file in a zip archive at the end of the model. The spec, as JSON, and what the
file's figures were measured on of each picture are entries of the model's list of metadata that
only this toolkit reads.
"""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, get_args

from mnv3_tf.errors import UserError
from mnv3_tf.networks.pixels import View
from mnv3_tf.tasks import specs
from mnv3_tf.tflite import metadata_tables
from mnv3_tf.tflite.model_graph import read_graph
from mnv3_tf.tflite.packing import pack_model
from mnv3_tf.tflite.signature import signature_of

LABELS_FILE = "labels.txt"
ENTRY = "TFLITE_METADATA"
SPEC_ENTRY = "mnv3_tf_spec"
VIEW_ENTRY = "mnv3_tf_view"


def add_metadata(
    model: bytes,
    labels: Sequence[str] | None,
    name: str = "MobileNetV3",
    description: str = "Classifies pictures.",
    spec: str | None = None,
    view: View | None = None,
) -> bytes:
    """The .tflite `model` with metadata; what it had of it before is replaced.

    What the outputs are (`signature_of`) decides what is recorded of them. Normalisation is (byte -
    127.5) / 127.5, which is the identity on the bytes of a quantised input with scale 1/127.5 and
    zero point 127 or 128. `labels` None leaves the names out; a detector's are without its
    background. `spec` is the JSON text of the network, `view` what evaluation sees of a picture;
    None leaves them out. Equal arguments give equal bytes.

    Raises UserError if the labels are not one line each, or not as many as there are classes, or
    for outputs of no known signature.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    graph, signature = tree.subgraphs[0], signature_of(read_graph(model), ours=spec is not None)
    if labels is not None:
        _check_labels(labels, signature.num_classes)
    # Scores come last in every form that has scores: by themselves, after boxes or after classes.
    scores = graph.outputs[signature.order[min(2, len(signature.order) - 1)]]
    image = graph.tensors[graph.inputs[0]]

    def values(tensor: Any, low: float, high: float) -> tuple[float, float]:
        return (low, high) if tensor.type == schema.TensorType.FLOAT32 else (0.0, 255.0)

    packed = metadata_tables.pack(
        name,
        description,
        signature,
        image_size=(int(image.shape[1]), int(image.shape[2])),
        input_range=values(image, -1.0, 1.0),
        score_range=values(graph.tensors[scores], 0.0, 1.0),
        labels_file=None if labels is None else LABELS_FILE,
    )
    _store(schema, tree, ENTRY, packed)
    _store(schema, tree, SPEC_ENTRY, None if spec is None else spec.encode())
    _store(schema, tree, VIEW_ENTRY, None if view is None else view.encode())
    content = pack_model(tree)
    if labels is None:
        return content
    return _append_file(content, LABELS_FILE, "".join(f"{label}\n" for label in labels))


def read_labels(path: str | Path) -> list[str] | None:
    """Class names that travel inside a .tflite; None if it has none.

    The model must have been verified (`runtime.check_loads` or `inspection.inspect`). Raises
    UserError if the names are recorded but the end of the file, where they were, is cut off.
    """
    return labels_of(Path(path).read_bytes(), path)


def labels_of(content: bytes, path: object = "The file") -> list[str] | None:
    """`read_labels` of a file's content; what is raised calls it `path`."""
    try:
        packed = _entry(content, ENTRY)
        name = packed and metadata_tables.labels_file(packed, LABELS_FILE)
    except Exception:
        # The runtime verifies models but not the metadata inside: damaged is as good as absent.
        name = None
    if not name:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(name).decode(errors="replace").splitlines()
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError):
        # Tools that rewrite a model drop the archive whole; the start of one means a cut.
        if b"PK\x03\x04" in content:
            raise UserError(
                f"{path} ends before its class names ({name}) do; copy or export it again."
            ) from None
        return None


def read_spec(path: str | Path) -> specs.Spec | None:
    """The network that a .tflite of ours is; None of others, and where it is damaged.

    The model must have been verified, as for `read_labels`.
    """
    return spec_of(Path(path).read_bytes())


def spec_of(content: bytes) -> specs.Spec | None:
    """`read_spec` of a file's content."""
    try:
        stored = _entry(content, SPEC_ENTRY)
        return None if stored is None else specs.from_json(stored.decode())
    except Exception:  # whatever the text is, it is data
        return None


def view_of(content: bytes) -> View | None:
    """What evaluation sees of a picture, as a verified file says; None where it does not."""
    try:
        stored = (_entry(content, VIEW_ENTRY) or b"").decode()
    except Exception:
        return None
    return cast(View, stored) if stored in get_args(View) else None


def normalization_of(content: bytes) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation by which a verified file wants bytes normalised.

    Lists of one or three, by channel; None where the file does not say, or nonsense.
    """
    try:
        packed = _entry(content, ENTRY)
        normalization = packed and metadata_tables.normalization(packed)
    except Exception:
        return None
    if not normalization or not all(normalization[1]):
        return None
    return normalization if all(len(values) in (1, 3) for values in normalization) else None


def about(content: bytes) -> dict[str, str]:
    """A verified file's own words, of `metadata_tables.ABOUT` those that it has."""
    try:
        packed = _entry(content, ENTRY)
        return metadata_tables.about(packed) if packed else {}
    except Exception:
        return {}


def input_factors(content: bytes) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Scale and offset by which a verified file wants bytes as real values, as its metadata say.

    By its normalisation, or else by the least and the largest value of its input.
    """
    if stated := normalization_of(content):
        mean, deviation = stated
        if len(mean) == len(deviation):
            return (
                tuple(1 / each for each in deviation),
                tuple(-m / d for m, d in zip(mean, deviation, strict=True)),
            )
    try:
        packed = _entry(content, ENTRY)
        bounds = packed and metadata_tables.input_bounds(packed)
    except Exception:
        return None
    if not bounds or bounds not in ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)):
        return None
    return ((bounds[1] - bounds[0]) / 255,), (bounds[0],)


def _entry(content: bytes, name: str) -> bytes | None:
    """What the model's list of metadata has under that name."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == name.encode() and model.Buffers(entry.Buffer()).DataLength():
            return bytes(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return None


def _store(schema: Any, tree: Any, name: str, packed: bytes | None) -> None:
    """Puts it where an earlier one was, or else into a new buffer; None removes it."""
    tree.metadata = tree.metadata or []
    for entry in tree.metadata:
        if entry.name == name.encode():
            tree.buffers[entry.buffer].data = packed
            if packed is None:
                tree.metadata.remove(entry)
            return
    if packed is None:
        return
    entry, buffer = schema.MetadataT(), schema.BufferT()
    entry.name, entry.buffer, buffer.data = name.encode(), len(tree.buffers), packed
    tree.metadata.append(entry)
    tree.buffers.append(buffer)


def _check_labels(labels: Sequence[str], classes: int | None) -> None:
    if classes is not None and len(labels) != classes:
        raise UserError(
            f"There are {len(labels)} class names for {classes} classes; give one line per class."
        )
    for label in labels:
        if not label.strip() or len(label.splitlines()) != 1:
            raise UserError(f"The class name {label!r} is not one line of text; rename it.")


def _append_file(content: bytes, name: str, text: str) -> bytes:
    stream = io.BytesIO()
    stream.write(content)
    with zipfile.ZipFile(stream, "a") as archive:
        # Stored, not compressed, and with a fixed date: clients map the file into memory, and
        # equal models should be equal files.
        archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text.encode())
    return stream.getvalue()
