"""Standard TFLite metadata: class names, normalisation and names of the input and output.

Written here with `flatbuffers` alone: the writers of tflite-support need an old NumPy, and those
of MediaPipe a package of 100 MB. The slots below are the field order of `metadata_schema.fbs`
(file identifier M001), which MediaPipe and tflite-support share. Class names are a text file in
a zip archive at the end of the model, where Android apps find them too.
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mnv3_tf.errors import UserError

MEAN = STD = 127.5
LABELS_FILE = "labels.txt"
ENTRY = "TFLITE_METADATA"
MIN_PARSER_VERSION = "1.0.0"

# Values of enumerations and unions in the schema.
TENSOR_AXIS_LABELS = 2
FEATURE_PROPERTIES, IMAGE_PROPERTIES = 1, 2
NORMALIZATION_OPTIONS = 1
RGB = 1


def add_metadata(
    model: bytes,
    labels: Sequence[str] | None,
    name: str = "MobileNetV3",
    description: str = "Classifies pictures.",
) -> bytes:
    """The .tflite `model` with metadata; what it had of it before is replaced.

    Normalisation is (byte - 127.5) / 127.5, which is the identity on the bytes of a quantised
    input with scale 1/127.5 and zero point 127 or 128. `labels` None leaves the names out.
    Equal arguments give equal bytes.

    Raises UserError if the labels are not one line each, or not as many as there are classes.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = tree.subgraphs[0]
    image, scores = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    if labels is not None:
        _check_labels(labels, int(scores.shape[-1]))
    is_float = scores.type == schema.TensorType.FLOAT32
    packed = _pack_metadata(
        name,
        description,
        image_size=(int(image.shape[1]), int(image.shape[2])),
        input_range=(-1.0, 1.0) if image.type == schema.TensorType.FLOAT32 else (0.0, 255.0),
        output_range=(0.0, 1.0) if is_float else (0.0, 255.0),
        has_labels=labels is not None,
    )
    _store(schema, tree, packed)
    content = pack_model(tree)
    if labels is None:
        return content
    return _append_file(content, LABELS_FILE, "".join(f"{label}\n" for label in labels))


def read_labels(path: str | Path) -> list[str] | None:
    """Class names that travel inside a .tflite; None if it has none.

    The model must have been verified (`runtime.check_loads` or `inspection.inspect`). Raises
    UserError if the names are recorded but the end of the file, where they were, is cut off.
    """
    return labels_of(Path(path).read_bytes())


def labels_of(content: bytes) -> list[str] | None:
    """`read_labels` of a file's content."""
    try:
        name = _recorded_labels_file(content)
    except Exception:
        # The runtime verifies models but not the metadata inside: damaged is as good as absent.
        name = None
    if name is None:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(name).decode(errors="replace").splitlines()
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError):
        # Tools that rewrite a model drop the archive whole; the start of one means a cut.
        if b"PK\x03\x04" in content:
            raise UserError(
                f"The file ends before its class names ({name}) do; copy or export it again."
            ) from None
        return None


def pack_model(tree: Any) -> bytes:
    """A schema's `ModelT` as a .tflite, with weights on 16-byte boundaries.

    The generated packer forgets the schema's `force_align`, and kernels read misaligned floats
    slowly or, on some ARM processors, not at all.
    """
    import flatbuffers

    tree.buffers = [_AlignedBuffer(buffer) for buffer in tree.buffers]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _AlignedBuffer:
    """A `BufferT` that packs its data as the schema says."""

    def __init__(self, buffer: Any) -> None:
        self.data = None if buffer.data is None else bytes(buffer.data)

    def Pack(self, builder: Any) -> int:
        vector = None
        if self.data is not None:
            builder.StartVector(1, len(self.data), 16)
            builder.head = builder.head - len(self.data)
            builder.Bytes[builder.Head() : builder.Head() + len(self.data)] = self.data
            vector = builder.EndVector()
        builder.StartObject(3)
        if vector is not None:
            builder.PrependUOffsetTRelativeSlot(0, vector, 0)
        return int(builder.EndObject())


def _store(schema: Any, tree: Any, packed: bytes) -> None:
    """Puts the metadata where an earlier one was, or else into a new buffer."""
    tree.metadata = tree.metadata or []
    for entry in tree.metadata:
        if entry.name == ENTRY.encode():
            tree.buffers[entry.buffer].data = packed
            return
    entry, buffer = schema.MetadataT(), schema.BufferT()
    entry.name, entry.buffer, buffer.data = ENTRY.encode(), len(tree.buffers), packed
    tree.metadata.append(entry)
    tree.buffers.append(buffer)


def _check_labels(labels: Sequence[str], classes: int) -> None:
    if len(labels) != classes:
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


# -- the metadata's own flatbuffer -----------------------------------------------------------


class _Writer:
    """Tables as {slot: value}: str, list of float, table offsets (int), or ("byte" | "uint", n)."""

    def __init__(self) -> None:
        import flatbuffers

        self.builder = flatbuffers.Builder(1024)

    def table(self, slots: int, fields: dict[int, Any]) -> int:
        builder = self.builder
        offsets: dict[int, int] = {}
        for slot, value in fields.items():
            if isinstance(value, str):
                offsets[slot] = builder.CreateString(value)
            elif isinstance(value, list):
                offsets[slot] = self._vector(value)
            elif isinstance(value, int):
                offsets[slot] = value
        builder.StartObject(slots)
        for slot, offset in offsets.items():
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, value in fields.items():
            if isinstance(value, tuple):
                kind, number = value
                prepend = builder.PrependUint8Slot if kind == "byte" else builder.PrependUint32Slot
                prepend(slot, number, 0)
        return int(builder.EndObject())

    def _vector(self, values: list[Any]) -> int:
        builder = self.builder
        builder.StartVector(4, len(values), 4)
        prepend: Callable[[Any], None] = (
            builder.PrependFloat32
            if isinstance(values[0], float)
            else builder.PrependUOffsetTRelative
        )
        for value in reversed(values):
            prepend(value)
        return int(builder.EndVector())


def _pack_metadata(
    name: str,
    description: str,
    image_size: tuple[int, int],
    input_range: tuple[float, float],
    output_range: tuple[float, float],
    has_labels: bool,
) -> bytes:
    writer = _Writer()
    table = writer.table
    height, width = image_size
    # ImageSize: width, height. ImageProperties: color_space, default_size.
    size = table(2, {0: ("uint", width), 1: ("uint", height)})
    properties = table(2, {0: ("byte", RGB), 1: size})
    # Content: content_properties (a union takes two slots: type, value), range.
    image_content = table(3, {0: ("byte", IMAGE_PROPERTIES), 1: properties})
    # NormalizationOptions: mean, std. ProcessUnit: options (type, value).
    options = table(2, {0: [MEAN], 1: [STD]})
    normalization = table(2, {0: ("byte", NORMALIZATION_OPTIONS), 1: options})
    # Stats: max, min.
    image_stats = table(2, {0: [input_range[1]], 1: [input_range[0]]})
    # TensorMetadata: name, description, dimension_names, content, process_units, stats,
    # associated_files.
    image = table(
        7,
        {
            0: "image",
            1: "RGB picture; real values are in [-1, 1].",
            3: image_content,
            4: [normalization],
            5: image_stats,
        },
    )
    feature_content = table(3, {0: ("byte", FEATURE_PROPERTIES), 1: table(0, {})})
    score_stats = table(2, {0: [output_range[1]], 1: [output_range[0]]})
    score_fields = {
        0: "probability",
        1: "Score of each class.",
        3: feature_content,
        5: score_stats,
    }
    if has_labels:
        # AssociatedFile: name, description, type, locale, version.
        labels = table(
            5, {0: LABELS_FILE, 1: "Class names, one per line.", 2: ("byte", TENSOR_AXIS_LABELS)}
        )
        score_fields[6] = [labels]
    scores = table(7, score_fields)
    # SubGraphMetadata: name, description, input_tensor_metadata, output_tensor_metadata, and six
    # more.
    subgraph = table(10, {2: [image], 3: [scores]})
    # ModelMetadata: name, description, version, subgraph_metadata, author, license,
    # associated_files, min_parser_version.
    model = table(8, {0: name, 1: description, 3: [subgraph], 7: MIN_PARSER_VERSION})
    writer.builder.Finish(model, b"M001")
    return bytes(writer.builder.Output())


def _recorded_labels_file(content: bytes) -> str | None:
    """The first file of axis labels that the metadata records for an output tensor."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == ENTRY.encode():
            packed = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            break
    else:
        return None
    for subgraph in _tables(_root(packed), 3):
        for tensor in _tables(subgraph, 3):
            for file in _tables(tensor, 6):
                if _byte(file, 2) == TENSOR_AXIS_LABELS:
                    return _string(file, 0)
    return None


def _root(packed: bytes) -> Any:
    from flatbuffers import encode, packer, table

    return table.Table(packed, encode.Get(packer.uoffset, packed, 0))


def _tables(table: Any, slot: int) -> Iterator[Any]:
    from flatbuffers import table as tables

    field = table.Offset(4 + 2 * slot)
    if field:
        start = table.Vector(field)
        for i in range(table.VectorLen(field)):
            yield tables.Table(table.Bytes, table.Indirect(start + 4 * i))


def _byte(table: Any, slot: int) -> int:
    field = table.Offset(4 + 2 * slot)
    return table.Bytes[table.Pos + field] if field else 0


def _string(table: Any, slot: int) -> str | None:
    field = table.Offset(4 + 2 * slot)
    return table.String(table.Pos + field).decode() if field else None
