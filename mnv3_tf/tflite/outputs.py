"""What each output of a .tflite is: classes, a mask, or something else that is told by its name.

Shapes alone do not tell: 17 points of three figures, a picture and a mask of three classes all have
four sides. A mask's sides are in proportion to those of the picture, points are few and of two or
three figures, and the operator that makes an output says what range its values have.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mnv3_tf.errors import UserError
from mnv3_tf.tflite.model_graph import Graph, OperatorNode, TensorNode, layout_of

Scores = Literal["probabilities", "logarithms", "logits", "unknown"]

REMEDY = "this toolkit reads classes, masks, and detections of TFLite_Detection_PostProcess"
PASSES_ON = ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "CAST")
SCORES: dict[str, Scores] = {
    "SOFTMAX": "probabilities",
    "LOGISTIC": "probabilities",
    "LOG_SOFTMAX": "logarithms",
    **dict.fromkeys(("FULLY_CONNECTED", "CONV_2D", "MEAN", "AVERAGE_POOL_2D", "ADD"), "logits"),
}
PICTURE_MAKERS = ("LOGISTIC", "TANH", "MUL", "ADD", "SUB", "DEPTH_TO_SPACE", "MAXIMUM", "MINIMUM")
"""What the last operator of a network that draws pictures is; that of a mask is a convolution, or
what makes it larger or a distribution.
"""

SAID = {
    "key points": "landmarks?|keypoints?|key_points?|pose|joints?",
    "an embedding": "embeddings?|feature_vector|descriptor",
    "heatmaps and offsets of key points": "heatmaps?|offsets?|displacement",
    "boxes": "anchors?|bbox|boxes|regressors?",
}
"""Words in the names that people give to outputs, by what they mean by them."""

MOST_MASK_CLASSES = 256
FEWEST_ANCHORS = 100
COARSEST = 32  # pixels of the picture for one of a mask


@dataclass(frozen=True)
class Answer:
    """What an output is: `form` is None unless it can be read, `told` says it in words.

    A mask's classes may stand first, (1, classes, H, W).
    """

    told: str
    form: Literal["vector", "scores", "classes"] | None = None
    num_classes: int | None = None
    scores: Scores = "unknown"
    single: bool = False
    channels_first: bool = False


def output_number(graph: Graph, name: str | None, path: object) -> int:
    """Which output is called so, in the signature or by its tensor; the first of no name.

    Raises UserError, listing them, where none is.
    """
    called = [graph.called(number) for number in graph.outputs]
    tensors = [graph.tensors[number].name for number in graph.outputs]
    if name is None:
        return 0
    for names in (called, tensors):
        if name in names:
            return names.index(name)
    raise UserError(f"--output_name={name} is not an output of {path}; it has {', '.join(called)}.")


def answer_of(graph: Graph, number: int) -> Answer:
    """Of an output tensor."""
    tensor = graph.tensors[number]
    shape, text = tensor.shape, _text(tensor)
    maker = maker_of(graph, number)
    hint = _hint(graph.called(number)) or _hint(tensor.name)
    if hint and not (maker and maker.op == "SOFTMAX"):
        return Answer(f"{hint} ({text})")
    if shape and shape[0] != 1 and any(side != 1 for side in shape[1:]):
        return Answer(f"answers for {shape[0]} pictures ({text})")
    if sum(side != 1 for side in shape) <= 1:
        return _vector(tensor, maker)
    if len(shape) in (3, 4) and _in_proportion(graph, shape):
        return _mask(graph, tensor, maker)
    if len(shape) == 4 and _in_proportion(graph, last := (shape[0], *shape[2:], shape[1])):
        mask = _mask(graph, replace(tensor, shape=last), maker)
        return replace(mask, channels_first=True)
    return Answer(f"{_of_no_proportion(shape)} ({text})")


def of_ours(graph: Graph, number: int) -> Answer:
    """The same of a file that is known to classify or to segment."""
    tensor, maker = graph.tensors[number], maker_of(graph, number)
    if sum(side != 1 for side in tensor.shape) <= 1:
        scores = SCORES.get(maker.op, "unknown") if maker else "unknown"
        return Answer("classes", "vector", math.prod(tensor.shape), scores)
    if is_whole(tensor):
        return Answer("a mask", "classes", _arg_max_classes(graph, maker))
    return Answer("a mask", "scores", max(2, tensor.shape[-1]))


def what_they_are(graph: Graph) -> str | None:
    """Several outputs that mean something together, which no one of them says; None of others."""
    ends = [graph.tensors[number] for number in graph.outputs]
    shapes = [tensor.shape for tensor in ends if len(tensor.shape) > 1]
    text = ", ".join(_text(tensor) for tensor in ends)
    maps = [shape for shape in shapes if len(shape) == 4 and _in_proportion(graph, shape)]
    for grid in maps:
        if any(other[:3] == grid[:3] and other[3] == 2 * grid[3] for other in maps):
            return f"heatmaps and offsets of key points ({text})"
    rows = [shape for shape in shapes if len(shape) == 3]
    for one in rows:
        if any(other[:2] == one[:2] for other in rows if other is not one):
            if one[1] < FEWEST_ANCHORS and all(other[2] != 4 for other in rows):
                return f"points and what is known of each ({text})"
            return f"codes and scores of anchors, of which boxes have still to be made ({text})"
    if any(shape[-1] == 4 for shape in rows) and len(ends) > 1:
        return f"boxes in an order of their own ({text})"
    sizes = sorted(math.prod(tensor.shape) for tensor in ends)
    if len(sizes) == 2 and sizes[0] == 1 and sizes[1] >= 30 and not (sizes[1] % 2 and sizes[1] % 3):
        return f"key points and how sure they are ({text})"
    return None


def maker_of(graph: Graph, number: int) -> OperatorNode | None:
    """The operator that an output's values are from, conversions aside."""
    for _ in graph.operators:
        maker = graph.producers.get(number)
        if maker is None or maker.op not in PASSES_ON:
            return maker
        number = maker.inputs[0]
    return None


def _vector(tensor: TensorNode, maker: OperatorNode | None) -> Answer:
    count, text = math.prod(tensor.shape), _text(tensor)
    if is_whole(tensor):
        said = "the number of a class" if count == 1 else "whole numbers"
        return Answer(f"{said}, and no scores ({text})")
    op, clipped = (maker.op, maker.activation) if maker else ("", "")
    if op == "L2_NORMALIZATION":
        return Answer(f"an embedding ({text})")
    scores: Scores = "unknown" if clipped else SCORES.get(op, "unknown")
    if count > 1:
        return Answer("classes", "vector", count, scores)
    if scores == "unknown" and not _is_unit(tensor):
        return Answer(f"one figure that need not be from 0 to 1 ({text})")
    return Answer("one of two classes", "vector", 2, scores, single=True)


def _mask(graph: Graph, tensor: TensorNode, maker: OperatorNode | None) -> Answer:
    shape, text = tensor.shape, _text(tensor)
    op, clipped = (maker.op, maker.activation) if maker else ("", "")
    if is_whole(tensor):
        if shape[3:] in ((), (1,)):
            return Answer("a mask", "classes", _arg_max_classes(graph, maker))
        return Answer(f"a picture ({text})")
    if len(shape) == 3:
        return Answer(f"one figure for each pixel, as depth is ({text})")
    classes = shape[3]
    if classes == 1:
        if op == "LOGISTIC" or _is_unit(tensor):
            return Answer("a mask", "scores", 2)
        return Answer(f"one figure for each pixel, as depth is ({text})")
    if classes > MOST_MASK_CLASSES or clipped in ("RELU", "RELU6"):
        return Answer(f"features of a network without its head ({text})")
    if classes == 3 and op in PICTURE_MAKERS:
        return Answer(f"a picture ({text})")
    return Answer("a mask", "scores", classes)


def _of_no_proportion(shape: Sequence[int]) -> str:
    """What has more than one side, and not those of the picture."""
    inner = [side for side in shape[1:-1] if side != 1]
    if shape[-1] in (2, 3) and len(inner) <= 1:
        return f"{math.prod(inner)} key points of {shape[-1]} figures each"
    if len(shape) == 4 and shape[-1] in (1, 3):
        return "a picture of another size"
    sides = [side for side in shape[1:] if side != 1]
    if len(sides) == 2 and max(sides) >= max(FEWEST_ANCHORS, 4 * min(sides)):
        few = min(sides)
        return f"boxes of {max(sides)} anchors" + (
            "" if few == 4 else f", {few} figures each, as YOLO's are"
        )
    return "neither classes nor a mask of the picture's proportions"


def _in_proportion(graph: Graph, shape: Sequence[int]) -> bool:
    """Whether (1, H, W, ...) is the picture on a grid, as a mask is."""
    picture = graph.tensors[graph.inputs[0]].shape if graph.inputs else ()
    if len(picture) not in (3, 4) or shape[0] != 1 or shape[1] * shape[2] <= 1:
        return False
    (_, (rows, columns), _), (height, width) = layout_of(picture), shape[1:3]
    if height > rows or width > columns:
        return False
    down, across = rows / height, columns / width
    # Sides are rounded: a pixel of the mask more or less.
    coarser = max(down, across)
    return coarser <= COARSEST + 1 and abs(height * across - rows) <= coarser


def _arg_max_classes(graph: Graph, maker: OperatorNode | None) -> int | None:
    """How many scores the operator chose among, for each pixel."""
    if maker is None or maker.op != "ARG_MAX":
        return None
    scores = graph.tensors[maker.inputs[0]].shape
    return scores[-1] if scores else None


def is_whole(tensor: TensorNode) -> bool:
    """Whole numbers, rather than real ones that are stored as such."""
    return not tensor.scales and "int" in tensor.dtype


def _is_unit(tensor: TensorNode) -> bool:
    """Whether what it stores is from 0 to 1, as quantised probabilities are."""
    (scales, zeros) = tensor.quantized
    if not scales or tensor.dtype not in ("int8", "uint8"):
        return False
    low = -zeros[0] - (128 if tensor.dtype == "int8" else 0)
    return low == 0 and abs(scales[0] * 256 - 1) < 0.01


def _hint(name: str) -> str | None:
    words = {meant: f"(?<![a-z])({said})(?![a-z])" for meant, said in SAID.items()}
    return next((meant for meant, word in words.items() if re.search(word, name.lower())), None)


def _text(tensor: TensorNode) -> str:
    return f"{tensor.dtype} {'x'.join(map(str, tensor.shape)) or 'scalar'}"
