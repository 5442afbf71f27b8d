"""The flatbuffers of standard TFLite metadata, written and read with `flatbuffers` alone.

The writers of tflite-support need an old NumPy, and those of MediaPipe a package of 100 MB. The
slots below are the field order of `metadata_schema.fbs` (file identifier M001), which MediaPipe
and tflite-support share, and of MediaPipe's `image_segmenter_metadata_schema.fbs` (V001).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import encode, packer
from flatbuffers.table import Table

from mnv3_tf.tflite.packing import aligned_bytes
from mnv3_tf.tflite.signature import Form, Signature

MEAN = STD = 127.5

# Values of enumerations and unions in the schema.
OTHER_FILE, TENSOR_AXIS_LABELS, TENSOR_VALUE_LABELS = 0, 2, 3
FEATURE_PROPERTIES, IMAGE_PROPERTIES, BOUNDING_BOX_PROPERTIES = 1, 2, 3
NORMALIZATION_OPTIONS = 1
RGB, GRAYSCALE = 1, 2
BOUNDARIES = 1  # of a box; RATIO, parts of the picture, is 0
SOFTMAX = 2

LEFT_TOP_RIGHT_BOTTOM = (1, 0, 3, 2)
"""Where these are in ymin, xmin, ymax, xmax."""

LABELS_TYPE = {
    "vector": TENSOR_AXIS_LABELS,
    "detections": TENSOR_VALUE_LABELS,
    # The background's score is on the axis too and has no name.
    "raw": OTHER_FILE,
    "scores": TENSOR_AXIS_LABELS,
    "classes": TENSOR_VALUE_LABELS,
}
PARSER_VERSIONS = {"detections": "1.2.0", "scores": "1.5.0"}
"""The schema's versions that brought groups of tensors and metadata of a task's own."""


def pack(
    name: str,
    description: str,
    signature: Signature,
    image_size: tuple[int, int],
    input_range: tuple[float, float],
    score_range: tuple[float, float],
    labels_file: str | None,
) -> bytes:
    """Metadata of a network that takes one RGB picture.

    Normalisation is (byte - 127.5) / 127.5. `image_size` is (height, width); `input_range` and
    `score_range` are what inputs and scores may be; the names of classes are in a file called
    `labels_file`, if at all.
    """
    form = signature.form
    writer = _Writer()
    table = writer.table
    files = [] if labels_file is None else [_labels(writer, form, labels_file)]
    outputs = {
        "vector": _vector,
        "detections": _detections,
        "raw": _raw,
        "scores": _scores,
        "classes": _classes,
    }[form](writer, files, score_range)
    # SubGraphMetadata: name, description, input_tensor_metadata, output_tensor_metadata,
    # associated_files, input_process_units, output_process_units, input_tensor_groups,
    # output_tensor_groups, custom_metadata.
    in_file = [outputs[signature.order.index(number)] for number in sorted(signature.order)]
    subgraph: dict[int, Any] = {2: [_image(writer, image_size, input_range)], 3: in_file}
    if form == "detections":
        # TensorGroup: name, tensor_names.
        subgraph[8] = [table(2, {0: "detection_result", 1: ["location", "category", "score"]})]
    if form == "scores":
        # CustomMetadata: name, data.
        subgraph[9] = [table(2, {0: "SEGMENTER_METADATA", 1: _segmenter_options()})]
    # ModelMetadata: name, description, version, subgraph_metadata, author, license,
    # associated_files, min_parser_version.
    version = PARSER_VERSIONS.get(form, "1.0.0")
    model = table(8, {0: name, 1: description, 3: [table(10, subgraph)], 7: version})
    return writer.finish(model, b"M001")


def labels_file(packed: bytes, default: str) -> str | None:
    """The first file of class names that is recorded for an output tensor.

    That is one of labels, or called `default`.
    """
    for tensor in _tensors(packed, 3):
        for file in _tables(tensor, 6):
            name = _string(file, 0)
            if _byte(file, 2) in (TENSOR_AXIS_LABELS, TENSOR_VALUE_LABELS) or name == default:
                return name
    return None


ABOUT = {0: "name", 1: "description", 2: "version", 4: "author", 5: "license"}
"""Slots of ModelMetadata that say in words what the model is."""


def about(packed: bytes) -> dict[str, str]:
    """What the metadata say of the whole model, of what they do."""
    said = {name: _string(_root(packed), slot) for slot, name in ABOUT.items()}
    return {name: text for name, text in said.items() if text}


def normalization(packed: bytes) -> tuple[list[float], list[float]] | None:
    """Means and standard deviations of bytes, one or one for each channel, of the first input."""
    for tensor in _tensors(packed, 2):
        for unit in _tables(tensor, 4):
            options = _table(unit, 1)
            if _byte(unit, 0) == NORMALIZATION_OPTIONS and options is not None:
                return _floats(options, 0), _floats(options, 1)
        break
    return None


def input_bounds(packed: bytes) -> tuple[float, float] | None:
    """The least and the largest value of the first input, if it has one of each."""
    for tensor in _tensors(packed, 2):
        stats = _table(tensor, 5)
        most, least = (_floats(stats, slot) if stats is not None else [] for slot in (0, 1))
        return (least[0], most[0]) if len(least) == len(most) == 1 else None
    return None


# -- tensors ---------------------------------------------------------------------------------


def _image(writer: "_Writer", image_size: tuple[int, int], input_range: tuple[float, float]) -> int:
    table = writer.table
    height, width = image_size
    # ImageSize: width, height. ImageProperties: color_space, default_size.
    size = table(2, {0: ("uint", width), 1: ("uint", height)})
    properties = table(2, {0: ("byte", RGB), 1: size})
    # NormalizationOptions: mean, std. ProcessUnit: options (type, value).
    options = table(2, {0: _real(MEAN), 1: _real(STD)})
    return _tensor(
        writer,
        "image",
        "RGB picture; real values are in [-1, 1].",
        _content(writer, IMAGE_PROPERTIES, properties),
        units=[table(2, {0: ("byte", NORMALIZATION_OPTIONS), 1: options})],
        values=input_range,
    )


def _vector(writer: "_Writer", files: list[int], score_range: tuple[float, float]) -> list[int]:
    content = _feature(writer)
    described = "Score of each class."
    return [_tensor(writer, "probability", described, content, files, values=score_range)]


def _detections(writer: "_Writer", files: list[int], score_range: tuple[float, float]) -> list[int]:
    return [
        _location(writer, "Boxes: ymin, xmin, ymax, xmax as parts of the picture.", (2, 2)),
        _tensor(writer, "category", "Class of each box, from 0.", _feature(writer, (2, 2)), files),
        _tensor(
            writer, "score", "Score of each box.", _feature(writer, (2, 2)), values=score_range
        ),
        _tensor(writer, "number of detections", "How many boxes there are.", _feature(writer)),
    ]


def _raw(writer: "_Writer", files: list[int], score_range: tuple[float, float]) -> list[int]:
    described = "Scores of each anchor: of the background, then of each class."
    return [
        _tensor(writer, "location", "Box of each anchor, relative to it.", _feature(writer)),
        _tensor(writer, "score", described, _feature(writer), files, values=score_range),
    ]


def _scores(writer: "_Writer", files: list[int], score_range: tuple[float, float]) -> list[int]:
    properties = writer.table(2, {0: ("byte", GRAYSCALE)})
    content = _content(writer, IMAGE_PROPERTIES, properties, (1, 2))
    described = "Logits of the classes of each pixel."
    return [_tensor(writer, "segmentation_masks", described, content, files)]


def _classes(writer: "_Writer", files: list[int], score_range: tuple[float, float]) -> list[int]:
    properties = writer.table(2, {0: ("byte", GRAYSCALE)})
    content = _content(writer, IMAGE_PROPERTIES, properties)
    return [_tensor(writer, "classes", "Class of each pixel, from 0.", content, files)]


def _location(writer: "_Writer", description: str, dimensions: tuple[int, int]) -> int:
    # BoundingBoxProperties: index, type, coordinate_type.
    index = np.array(LEFT_TOP_RIGHT_BOTTOM, np.uint32)
    properties = writer.table(3, {0: index, 1: ("byte", BOUNDARIES)})
    content = _content(writer, BOUNDING_BOX_PROPERTIES, properties, dimensions)
    return _tensor(writer, "location", description, content)


def _feature(writer: "_Writer", dimensions: tuple[int, int] | None = None) -> int:
    return _content(writer, FEATURE_PROPERTIES, writer.table(0, {}), dimensions)


def _content(
    writer: "_Writer", kind: int, properties: int, dimensions: tuple[int, int] | None = None
) -> int:
    # Content: content_properties (a union takes two slots: type, value), range.
    fields: dict[int, Any] = {0: ("byte", kind), 1: properties}
    if dimensions is not None:
        # ValueRange: min, max.
        fields[2] = writer.table(2, {0: ("int", dimensions[0]), 1: ("int", dimensions[1])})
    return writer.table(3, fields)


def _tensor(
    writer: "_Writer",
    name: str,
    description: str,
    content: int,
    files: Sequence[int] = (),
    units: Sequence[int] = (),
    values: tuple[float, float] | None = None,
) -> int:
    # TensorMetadata: name, description, dimension_names, content, process_units, stats,
    # associated_files.
    fields: dict[int, Any] = {0: name, 1: description, 3: content}
    if units:
        fields[4] = list(units)
    if values:
        # Stats: max, min.
        fields[5] = writer.table(2, {0: _real(values[1]), 1: _real(values[0])})
    if files:
        fields[6] = list(files)
    return writer.table(7, fields)


def _labels(writer: "_Writer", form: Form, name: str) -> int:
    # AssociatedFile: name, description, type, locale, version.
    described = "Class names, one per line."
    return writer.table(5, {0: name, 1: described, 2: ("byte", LABELS_TYPE[form])})


def _segmenter_options() -> bytes:
    """A flatbuffer of its own: that MediaPipe is to make probabilities of the logits."""
    writer = _Writer()
    # ImageSegmenterOptions: activation, min_parser_version.
    return writer.finish(writer.table(2, {0: ("byte", SOFTMAX), 1: "1.0.0"}), b"V001")


def _real(value: float) -> np.ndarray:
    return np.array([value], np.float32)


# -- writing ---------------------------------------------------------------------------------


class _Writer:
    """Tables as {slot: value}, made before what refers to them.

    A value is a str, bytes, an array, the offset of a table (int), a list of offsets or of str, or
    ("byte" | "uint" | "int", number).
    """

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    def table(self, slots: int, fields: dict[int, Any]) -> int:
        builder = self._builder
        offsets = {
            slot: self._offset(value)
            for slot, value in fields.items()
            if not isinstance(value, tuple)
        }
        builder.StartObject(slots)
        for slot, offset in offsets.items():
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        prepend = {
            "byte": builder.PrependUint8Slot,
            "uint": builder.PrependUint32Slot,
            "int": builder.PrependInt32Slot,
        }
        for slot, value in fields.items():
            if isinstance(value, tuple):
                prepend[value[0]](slot, value[1], 0)
        return int(builder.EndObject())

    def finish(self, root: int, identifier: bytes) -> bytes:
        self._builder.Finish(root, identifier)
        return bytes(self._builder.Output())

    def _offset(self, value: Any) -> int:
        match value:
            case str():
                return int(self._builder.CreateString(value))
            case bytes():
                return aligned_bytes(self._builder, value)
            case np.ndarray():
                return int(self._builder.CreateNumpyVector(value))
            case list():
                return self._offsets(value)
        return int(value)

    def _offsets(self, values: list[Any]) -> int:
        made = [self._offset(value) for value in values]
        self._builder.StartVector(4, len(made), 4)
        for offset in reversed(made):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())


# -- reading: nothing has verified these bytes, so that any exception may come of them ---------


def _tensors(packed: bytes, slot: int) -> Iterator[Any]:
    """TensorMetadata of inputs (slot 2) or outputs (3)."""
    for subgraph in _tables(_root(packed), 3):
        yield from _tables(subgraph, slot)


def _root(packed: bytes) -> Any:
    return Table(packed, encode.Get(packer.uoffset, packed, 0))


def _table(table: Any, slot: int) -> Any:
    field = table.Offset(4 + 2 * slot)
    return Table(table.Bytes, table.Indirect(table.Pos + field)) if field else None


def _tables(table: Any, slot: int) -> Iterator[Any]:
    field = table.Offset(4 + 2 * slot)
    if field:
        start = table.Vector(field)
        for i in range(table.VectorLen(field)):
            yield Table(table.Bytes, table.Indirect(start + 4 * i))


def _floats(table: Any, slot: int) -> list[float]:
    field = table.Offset(4 + 2 * slot)
    if not field:
        return []
    start, count = table.Vector(field), table.VectorLen(field)
    return [float(v) for v in np.frombuffer(table.Bytes, "<f4", count, start)]


def _byte(table: Any, slot: int) -> int:
    field = table.Offset(4 + 2 * slot)
    return table.Bytes[table.Pos + field] if field else 0


def _string(table: Any, slot: int) -> str | None:
    field = table.Offset(4 + 2 * slot)
    return table.String(table.Pos + field).decode() if field else None
