"""Behind a detector: its two outputs named and in order, and TFLite_Detection_PostProcess.

That operator, which every build of TFLite has, decodes boxes and drops what overlaps; Android's
object detectors expect its four outputs. It computes in float, on the processor.
Source: tensorflow/lite/kernels/detection_postprocess.cc.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from mnv3_tf.errors import UserError
from mnv3_tf.networks.anchors import CODE_SCALES
from mnv3_tf.tflite.packing import pack_model

OPERATOR = "TFLite_Detection_PostProcess"
RAW = ("box_codes", "scores")
DETECTIONS = ("boxes", "classes", "scores", "count")
PASSES_ON = ("QUANTIZE", "DEQUANTIZE", "RESHAPE")
SCORE_MAKERS = ("LOGISTIC", "SOFTMAX")


@dataclass(frozen=True)
class Suppression:
    """What is kept: the best class of each anchor, scores from `score`, boxes that overlap a better
    one by less than `overlap` (intersection over union), and at most `total`.
    """

    score: float = 0.01
    overlap: float = 0.6
    total: int = 100


def in_order(content: bytes) -> bytes:
    """The detector's file with the outputs "box_codes" (1, A, 4) and "scores" (1, A, 1 + classes).

    Raises UserError for a file that has no such outputs.
    """
    tree, graph = _open(content)
    scores = [t for t in graph.outputs if _maker(tree, graph, t) in SCORE_MAKERS]
    codes = [t for t in graph.outputs if t not in scores]
    if len(scores) != 1 or len(codes) != 1:
        raise UserError(
            f"A detector's file gives box codes and scores, and this one has {len(graph.outputs)} "
            "outputs of another kind; export it again."
        )
    graph.outputs = [*codes, *scores]
    for tensor, name in zip(graph.outputs, RAW, strict=True):
        graph.tensors[tensor].name = name.encode()
    tree.signatureDefs = None
    return pack_model(tree)


def append(content: bytes, anchors: np.ndarray, keep: Suppression | None = None) -> bytes:
    """What `in_order` gives, with the operator behind it.

    The file then gives float32 boxes (1, total, 4), ymin, xmin, ymax, xmax as parts of the picture,
    classes (1, total) from 0, scores (1, total), and how many there are (1,). `anchors` are
    (A, 4), cy, cx, h, w.
    """
    from ai_edge_litert import schema_py_generated as schema

    keep = keep or Suppression()
    tree, graph = _open(content)
    codes, scores = (_as_float(schema, tree, graph, tensor) for tensor in graph.outputs)
    classes = int(graph.tensors[scores].shape[-1]) - 1
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.asarray(anchors, np.float32).tobytes(), np.uint8)
    tree.buffers.append(buffer)
    constant = _tensor(schema, graph, "anchors", anchors.shape, len(tree.buffers) - 1)
    shapes = ((1, keep.total, 4), (1, keep.total), (1, keep.total), (1,))
    outputs = [
        _tensor(schema, graph, name, shape) for name, shape in zip(DETECTIONS, shapes, strict=True)
    ]
    operator = schema.OperatorT()
    operator.opcodeIndex = _code(schema, tree, schema.BuiltinOperator.CUSTOM, OPERATOR)
    operator.inputs, operator.outputs = [codes, scores, constant], outputs
    operator.customOptions = np.frombuffer(_options(keep, classes), np.uint8)
    graph.operators.append(operator)
    graph.outputs = outputs
    return pack_model(tree)


def _options(keep: Suppression, classes: int) -> bytes:
    builder = flexbuffers.Builder()
    y, x, height, width = CODE_SCALES
    with builder.Map():
        builder.Int("max_detections", keep.total)
        builder.Int("max_classes_per_detection", 1)
        builder.Int("detections_per_class", keep.total)
        # Class by class would be nearer to how detectors are evaluated, but with T threads the
        # operator then never finds class T (tensorflow/tensorflow issue 56058).
        builder.Bool("use_regular_nms", False)
        builder.Float("nms_score_threshold", keep.score)
        builder.Float("nms_iou_threshold", keep.overlap)
        builder.Int("num_classes", classes)
        builder.Float("y_scale", y)
        builder.Float("x_scale", x)
        builder.Float("h_scale", height)
        builder.Float("w_scale", width)
    return bytes(builder.Finish())


def _open(content: bytes) -> tuple[Any, Any]:
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    return tree, tree.subgraphs[0]


def _name_of(tree: Any, operator: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema

    code = tree.operatorCodes[operator.opcodeIndex].builtinCode
    return next(k for k, v in vars(schema.BuiltinOperator).items() if v == code)


def _maker(tree: Any, graph: Any, tensor: int) -> str:
    """The operator that computes a tensor, conversions aside."""
    made = {int(output): op for op in graph.operators for output in op.outputs}
    while tensor in made:
        name = _name_of(tree, made[tensor])
        if name not in PASSES_ON:
            return name
        tensor = int(made[tensor].inputs[0])
    return ""


def _as_float(schema: Any, tree: Any, graph: Any, tensor: int) -> int:
    """The tensor itself, or that of a DEQUANTIZE behind what it stores in int8."""
    made = {int(output): op for op in graph.operators for output in op.outputs}
    source = graph.tensors[tensor]
    if source.type == schema.TensorType.FLOAT32:
        return tensor
    if _name_of(tree, made[tensor]) == "QUANTIZE":  # from int8 to the uint8 that was asked for
        operator = made[tensor]
        graph.operators.remove(operator)
        tensor = int(operator.inputs[0])
        source = graph.tensors[tensor]
    dequantized = _tensor(schema, graph, f"{source.name.decode()}_float", source.shape)
    operator = schema.OperatorT()
    operator.opcodeIndex = _code(schema, tree, schema.BuiltinOperator.DEQUANTIZE)
    operator.inputs, operator.outputs = [tensor], [dequantized]
    graph.operators.append(operator)
    return dequantized


def _tensor(schema: Any, graph: Any, name: str, shape: Any, buffer: int = 0) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.shape = name.encode(), [int(side) for side in shape]
    tensor.type, tensor.buffer = schema.TensorType.FLOAT32, buffer
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _code(schema: Any, tree: Any, builtin: int, custom: str | None = None) -> int:
    """The number of an operator's code, which is added where the file does not have it."""
    for number, code in enumerate(tree.operatorCodes):
        if code.builtinCode == builtin and (custom is None or code.customCode == custom.encode()):
            return number
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode = builtin, min(builtin, 127)
    code.version = 2 if custom is None else 1
    code.customCode = None if custom is None else custom.encode()
    tree.operatorCodes.append(code)
    return len(tree.operatorCodes) - 1
