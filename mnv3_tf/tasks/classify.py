"""One of several classes for each picture."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mnv3_tf.networks.graph import Operator
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.tasks.answers import Answers, as_probabilities
from mnv3_tf.tasks.task import (
    Array,
    Batches,
    Export,
    Function,
    Metric,
    Parity,
    Result,
    Task,
    rounded,
)
from mnv3_tf.ui.tables import percent

if TYPE_CHECKING:
    from mnv3_tf.tasks.task import Head, Learner, NamedNetwork, Predictor, Recipe


@dataclass(frozen=True)
class Classify(Task[NetworkSpec]):
    """Models give logits (N, classes), files probabilities or logits (1, classes)."""

    def make(self, asked: "NamedNetwork", head: "Head", pretrained: bool) -> NetworkSpec:
        side = None if asked.resolution is None else self.fitted(asked.resolution)
        return resolve(asked.model, asked.width, side, asked.num_classes)

    def keras_outputs(self, tensors: Mapping[str, Any]) -> Any:
        import tf_keras

        return tf_keras.layers.Flatten(name="flatten")(tensors["logits"])

    def initializers(self, operators: Iterable[Operator]) -> dict[str, Any]:
        import tf_keras

        return {"logits": tf_keras.initializers.RandomNormal(stddev=0.01)}

    def learner(
        self, spec: NetworkSpec, model: Any, recipe: "Recipe", seed: int, teacher: Any = None
    ) -> "Learner":
        from mnv3_tf.training.classification import Classification

        return Classification(model, recipe, seed, teacher)

    def keras_predictor(self, spec: NetworkSpec, model: Any) -> Function:
        import tensorflow as tf

        return tf.function(lambda images: model(images, training=False))

    def measure(self, predict: Function, batches: Batches, num_classes: int) -> dict[str, Any]:
        from mnv3_tf.training import classification

        answers = Answers()
        found = classification.measure(predict, batches, answers)
        figures = {"top1": found.top1, "top5": found.top5, "images": found.images}
        return {**figures, "answers": answers}

    def file_outputs(
        self, given: Any, output: str, as_stored: Function, spec: NetworkSpec | None
    ) -> Any:
        import tensorflow as tf

        return as_stored(tf.nn.softmax(given)) if output == "probabilities" else given

    def compare(self, made: Export[NetworkSpec], batches: Batches) -> Parity:
        from mnv3_tf.export.parity import compare_answers

        return compare_answers(made.trained, made.file, batches, made.simulated, made.output)

    def skeleton_outputs(
        self, spec: NetworkSpec, graph: Any, tensors: Mapping[str, int]
    ) -> Sequence[int]:
        return [graph.softmax(graph.reshape(tensors["logits"], (spec.num_classes,)))]

    def file_predictor(self, model: "Predictor") -> Function:
        return model.classify

    def answer(self, model: "Predictor", picture: Array) -> Any:
        """Probabilities, float32 (classes,)."""
        scores = model.classify(model.viewed(picture)[np.newaxis])[0]
        return as_probabilities(scores, model.signature.answered)

    def as_json(
        self, model: "Predictor", answer: Any, picture: Array, score: float, top: int
    ) -> dict[str, Any]:
        best = (-answer).argsort(kind="stable")[:top].tolist()
        return {
            "classes": [
                {"label": model.label(i), "index": i, "probability": rounded(answer[i])}
                for i in best
            ]
        }

    def rows(self, result: Result) -> list[tuple[object, ...]]:
        return [(c["label"], percent(c["probability"])) for c in result["classes"]]

    def draw(self, model: "Predictor", picture: Array, answer: Any, result: Result) -> Array:
        from mnv3_tf.ui import drawing

        lines = [(c["label"], percent(c["probability"])) for c in result["classes"]]
        return drawing.caption(picture, lines)


CLASSIFY = Classify(
    name="classify",
    spec_class=NetworkSpec,
    targets="classes",
    metrics=(Metric("top1", "top-1"), Metric("top5", "top-5")),
    outputs=("probabilities", "logits"),
    forms=("vector",),
    columns=("class", "probability"),
    quick="quick",
    finetune="finetune",
    distill="distill",
    views=("crop", "whole"),
    weighs_classes=True,
)
