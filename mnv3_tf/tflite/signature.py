"""What the outputs of a .tflite mean, by their shapes, types, names and operators alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flatbuffers import flexbuffers

from mnv3_tf.errors import UserError
from mnv3_tf.tasks import TASKS
from mnv3_tf.tflite import outputs
from mnv3_tf.tflite.model_graph import Graph, OperatorNode
from mnv3_tf.tflite.outputs import Scores
from mnv3_tf.tflite.post_process import OPERATOR, RAW

Form = Literal["vector", "detections", "raw", "scores", "classes"]
DETECTIONS_GIVEN = 4


@dataclass(frozen=True)
class Signature:
    """`form` is how the task is answered:

    "vector": classify, any shape of which at most one side is not 1, `answered` in probabilities,
    logarithms of them or logits, where the operators tell; a single one is how sure the second of
    two classes is;
    "detections": detect, what TFLite_Detection_PostProcess gives: boxes (1, N, 4), classes
    (1, N), scores (1, N) and their count (1,);
    "raw": detect, box codes (1, A, 4) and scores (1, A, 1 + classes), as `post_process.in_order`
    names them;
    "scores": segment, (1, H, W, classes), or (1, H, W, 1) from 0 to 1 for a single figure; with
    `channels_first` (1, classes, H, W);
    "classes": segment, class indices (1, H, W) or (1, H, W, 1).

    `num_classes` is without a detector's background; None where the file does not say. `order`
    lists the outputs that the form speaks of, by their number in the file; `others` are the names
    of outputs that could have answered in their place, `name` that of the one that does.
    `class_by_class`: the operator suppresses boxes of each class by themselves.
    """

    form: Form
    num_classes: int | None
    order: tuple[int, ...] = (0,)
    class_by_class: bool = False
    answered: Scores = "unknown"
    single: bool = False
    channels_first: bool = False
    name: str = ""
    others: tuple[str, ...] = ()

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


def signature_of(
    graph: Graph,
    output_name: str | None = None,
    ours: bool = False,
    path: object = "The file",
) -> Signature:
    """Of a verified file, which `ours` says is known to classify, detect or segment.

    Raises UserError, in which the file is called `path`, for outputs that are none of these, and
    says what they are, as far as they tell; and for an `output_name` that is none of theirs.
    """
    if output_name is None and (detections := _detections(graph)):
        return detections
    names = [graph.tensors[number].name for number in graph.outputs]
    if tuple(names) == RAW and output_name is None:
        return Signature("raw", graph.tensors[graph.outputs[1]].shape[-1] - 1, (0, 1))
    called = [graph.called(number) for number in graph.outputs]
    wanted = list(range(len(names)))
    if output_name is not None:
        wanted = [outputs.output_number(graph, output_name, path)]
    elif not ours and (together := outputs.what_they_are(graph)):
        raise UserError(f"{path} gives {together}; {outputs.REMEDY}.")
    read = outputs.of_ours if ours else outputs.answer_of
    found = {i: read(graph, graph.outputs[i]) for i in wanted}
    usable = [i for i, answer in found.items() if answer.form]
    if not usable:
        listed = ", ".join(
            f"{called[i]} ({answer.told})" if len(called) > 1 else answer.told
            for i, answer in found.items()
        )
        raise UserError(f"{path} gives {listed or 'nothing'}; {outputs.REMEDY}.")
    chosen = usable[0]
    answer = found[chosen]
    assert answer.form is not None
    return Signature(
        answer.form,
        answer.num_classes,
        (chosen,),
        answered=answer.scores,
        single=answer.single,
        channels_first=answer.channels_first,
        name=called[chosen],
        others=tuple(called[i] for i in usable[1:]),
    )


def _detections(graph: Graph) -> Signature | None:
    for operator in graph.operators:
        given = operator.outputs[:DETECTIONS_GIVEN]
        if operator.op != OPERATOR or len(given) < DETECTIONS_GIVEN:
            continue
        if set(given) <= set(graph.outputs):
            # Converters list them in any order; the operator does not.
            order = tuple(graph.outputs.index(number) for number in given)
            options = _options(operator)
            count = options.get("num_classes")
            count = count if isinstance(count, int) and count > 0 else None
            one_by_one = bool(options.get("use_regular_nms", False))
            return Signature("detections", count, order, one_by_one)
    return None


def _options(operator: OperatorNode) -> Mapping[str, Any]:
    try:
        options = flexbuffers.Loads(operator.custom or b"")
    except Exception:  # the runtime does not verify the options
        return {}
    return options if isinstance(options, dict) else {}
