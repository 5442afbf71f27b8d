"""What the outputs of a .tflite mean, by their shapes, types, names and operators alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flatbuffers import flexbuffers

from mnv3_tf.errors import UserError
from mnv3_tf.tasks import TASKS
from mnv3_tf.tflite.post_process import OPERATOR, RAW

Form = Literal["vector", "detections", "raw", "scores", "classes"]
DETECTIONS_GIVEN = 4


@dataclass(frozen=True)
class Signature:
    """`form` is how the task is answered:

    "vector": classify, any shape of which at most one side is not 1, probabilities or logits;
    "detections": detect, what TFLite_Detection_PostProcess gives: boxes (1, N, 4), classes
    (1, N), scores (1, N) and their count (1,);
    "raw": detect, box codes (1, A, 4) and scores (1, A, 1 + classes), as `post_process.in_order`
    names them;
    "scores": segment, (1, H, W, classes), or (1, H, W, 1) from 0 to 1 for a single figure;
    "classes": segment, class indices (1, H, W) or (1, H, W, 1).

    `num_classes` is without a detector's background; None where the file does not say. `order`
    lists the outputs that the form speaks of, by their number in the file. `class_by_class`: the
    operator suppresses boxes of each class by themselves.
    """

    form: Form
    num_classes: int | None
    order: tuple[int, ...] = (0,)
    class_by_class: bool = False

    @property
    def task(self) -> str:
        """That of the form."""
        return next(task.name for task in TASKS.values() if self.form in task.forms)

    def threads(self, wanted: int) -> int:
        """How many threads may run the file: 1 where more would lose a class.

        Where its threads share the classes, the operator leaves out the one whose number is that of
        the threads: of three classes two threads never find the last
        (tensorflow/lite/kernels/detection_postprocess.cc, `next_col` in
        NonMaxSuppressionWorkerTask).
        """
        loses = self.class_by_class and 1 < wanted < (self.num_classes or wanted + 1)
        return 1 if loses else wanted


def signature_of(tree: Any) -> Signature:
    """Of a schema's `ModelT`, which must come from a file that the runtime has verified.

    Raises UserError for outputs that are none of these.
    """
    graph = tree.subgraphs[0]
    outputs = [graph.tensors[number] for number in graph.outputs]
    if detections := _detections(tree, graph):
        return detections
    shapes = [_shape(tensor) for tensor in outputs]
    names = tuple((tensor.name or b"").decode(errors="replace") for tensor in outputs)
    if names == RAW:
        return Signature("raw", shapes[1][-1] - 1, (0, 1))
    if outputs and len(shapes[0]) in (3, 4) and _pixels(shapes[0]) > 1 and shapes[0][0] == 1:
        if _is_whole(outputs[0]) and shapes[0][3:] in ((), (1,)):
            return Signature("classes", _arg_max_classes(tree, graph))
        if len(shapes[0]) == 4:
            return Signature("scores", max(2, shapes[0][3]))
    if outputs and shapes[0] and sum(side != 1 for side in shapes[0]) <= 1:
        return Signature("vector", max(shapes[0]))
    said = ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes) or "nothing"
    raise UserError(
        f"The file's outputs are {said}, which are no classes, masks or detections; export it with "
        "one of these."
    )


def _detections(tree: Any, graph: Any) -> Signature | None:
    made = [op for op in graph.operators if _custom_name(tree, op) == OPERATOR]
    outputs = [int(number) for number in graph.outputs]
    for operator in made:
        given = [int(number) for number in operator.outputs][:DETECTIONS_GIVEN]
        if len(given) == DETECTIONS_GIVEN and set(given) <= set(outputs):
            # Converters list them in any order; the operator does not.
            order = tuple(outputs.index(number) for number in given)
            options = _options(operator)
            count = options.get("num_classes")
            count = count if isinstance(count, int) and count > 0 else None
            one_by_one = bool(options.get("use_regular_nms", False))
            return Signature("detections", count, order, one_by_one)
    return None


def _options(operator: Any) -> dict[str, Any]:
    try:
        options = flexbuffers.Loads(bytes(operator.customOptions))
    except Exception:  # the runtime does not verify the options
        return {}
    return options if isinstance(options, dict) else {}


def _arg_max_classes(tree: Any, graph: Any) -> int | None:
    """How many scores the operator chose among, for each pixel."""
    from ai_edge_litert import schema_py_generated as schema

    for operator in graph.operators:
        code = tree.operatorCodes[operator.opcodeIndex].builtinCode
        if code == schema.BuiltinOperator.ARG_MAX and operator.outputs[0] == graph.outputs[0]:
            scores = _shape(graph.tensors[operator.inputs[0]])
            return scores[-1] if scores else None
    return None


def _custom_name(tree: Any, operator: Any) -> str:
    return (tree.operatorCodes[operator.opcodeIndex].customCode or b"").decode(errors="replace")


def _is_whole(tensor: Any) -> bool:
    """Whole numbers, rather than real ones that are stored as such."""
    from ai_edge_litert import schema_py_generated as schema

    types = schema.TensorType
    quantization = tensor.quantization
    has_scale = quantization is not None and quantization.scale is not None
    return not has_scale and tensor.type in (types.INT32, types.INT64, types.UINT8, types.INT8)


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in (() if tensor.shape is None else tensor.shape))


def _pixels(shape: Sequence[int]) -> int:
    return shape[1] * shape[2]
