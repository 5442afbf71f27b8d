"""A fourth task, as somebody may add it: pictures of one class get vectors that lie together.

The last convolution of a classifier makes them, so they have as many numbers as there are classes.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mnv3_tf.networks import spec_json
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.tasks import CLASSIFY
from mnv3_tf.tasks.task import Metric, Parity, Task, pair, rounded

TEMPERATURE = 0.1


@dataclass(frozen=True)
class EmbeddingSpec(NetworkSpec):
    task: ClassVar[str] = "embed"

    def to_json(self) -> str:
        return spec_json.dump({"task": self.task} | spec_json.tree_of(self))


def normalized(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def recall(vectors: np.ndarray, labels: np.ndarray) -> float:
    """The part of pictures whose nearest neighbour is of their class."""
    alike = vectors @ vectors.T - 2 * np.eye(len(vectors))
    return float((labels[alike.argmax(1)] == labels).mean())


@dataclass(frozen=True)
class Embed(Task[EmbeddingSpec]):
    def make(self, asked, head, pretrained):
        return EmbeddingSpec(**vars(CLASSIFY.make(asked, head, pretrained)))

    def keras_outputs(self, tensors):
        return CLASSIFY.keras_outputs(tensors)

    def learner(self, spec, model, recipe, seed, teacher=None):
        import tensorflow as tf

        from mnv3_tf.training.learner import Learner, Score

        class Embedding(Learner):
            task, blank = self, -1

            def loss(self, images, targets, step, head_only):
                vectors = tf.math.l2_normalize(self.model(images, training=True), -1)
                alike = vectors @ tf.transpose(vectors) / TEMPERATURE - 1e9 * tf.eye(
                    tf.shape(images)[0]
                )
                same = tf.cast(targets[:, None] == targets[None], tf.float32)
                same -= tf.linalg.diag(tf.linalg.diag_part(same))
                each = tf.reduce_sum(same * tf.nn.log_softmax(alike), -1)
                pairs = tf.maximum(tf.reduce_sum(same, -1), 1.0)
                return -tf.reduce_mean(each / pairs) + self._penalty()

            def tally(self, images, targets):
                return self.evaluated(images, training=False), targets

            def gather(self, strategy, tallies):
                return tf.nest.map_structure(lambda part: strategy.gather(part, 0), tallies)

            def score(self, tallies):
                vectors, labels = (np.concatenate(part) for part in zip(*tallies, strict=True))
                found = recall(normalized(vectors), labels)
                return Score({"val_recall1": found}, len(labels))

        return Embedding(model, recipe, seed, ["logits"])

    def keras_predictor(self, spec, model):
        return lambda images: normalized(np.asarray(model(images, training=False)))

    def measure(self, predict, batches, num_classes):
        found = [(predict(pictures), np.asarray(labels)) for pictures, labels in batches]
        vectors, labels = (np.concatenate(part) for part in zip(*found, strict=True))
        return {"recall1": recall(vectors, labels), "images": len(labels)}

    def file_outputs(self, given, output, rounded, spec):
        import tensorflow as tf

        return tf.math.l2_normalize(given, -1)

    def compare(self, made, batches):
        keras, batches = self.keras_predictor(made.spec, made.trained), list(batches)
        ours, theirs = (self.measure(p, batches, 0) for p in (keras, made.file.predict))
        near = [(keras(p) * made.file.predict(np.asarray(p))).sum(-1) > 0.99 for p, _ in batches]
        metrics = {"recall1": pair(ours["recall1"], theirs["recall1"])}
        return Parity(ours["images"], metrics, float(np.concatenate(near).mean()))

    def skeleton_outputs(self, spec, graph, tensors):
        return [tensors["logits"]]

    def file_predictor(self, model):
        return model.classify

    def answer(self, model, picture):
        return model.classify(model.viewed(picture)[np.newaxis])[0]

    def as_json(self, model, answer, picture, score, top):
        return {"vector": [rounded(value) for value in answer]}

    def rows(self, result):
        return [(" ".join(f"{value:.2f}" for value in result["vector"]),)]

    def draw(self, model, picture, answer, result):
        return picture


EMBED = Embed(
    name="embed",
    spec_class=EmbeddingSpec,
    targets="classes",
    metrics=(Metric("recall1", "recall at 1"),),
    outputs=("embedding",),
    forms=("vector",),
    columns=("vector",),
    quick="quick",
    finetune="finetune",
    views=("crop", "whole"),
    has_val_loss=False,
)
