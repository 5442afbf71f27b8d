"""A classifier's answers class by class: which was taken for which, and where it was surest and
wrong.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray

MOST_MISTAKES = 24
"""That are kept, the surest ones."""


@dataclass(frozen=True)
class Mistake:
    """A picture, uint8 (H, W, 3) as the network saw it, number `place` of its split.

    It is of class `truth` and was taken for `answer`, at a probability of `confidence`.
    """

    place: int
    truth: int
    answer: int
    confidence: float
    picture: Array


@dataclass(frozen=True)
class ByClass:
    """`matrix`, int64 (C, C), counts pictures: a row for the true class, a column for the answer.

    Figures are from 0 to 1, and None of no pictures. `mistakes` are the surest, the surest first.
    """

    names: tuple[str, ...]
    matrix: Array
    mistakes: tuple[Mistake, ...] = ()

    @property
    def images(self) -> list[int]:
        """Of each class."""
        counts: list[int] = self.matrix.sum(1).tolist()
        return counts

    @property
    def recall(self) -> list[float | None]:
        """The part of a class's pictures that is recognised."""
        return _parts(self.matrix.diagonal(), self.matrix.sum(1))

    @property
    def precision(self) -> list[float | None]:
        """The part of the pictures taken for a class that is of it."""
        return _parts(self.matrix.diagonal(), self.matrix.sum(0))

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean recall of the classes that have pictures."""
        known = [value for value in self.recall if value is not None]
        return sum(known) / len(known) if known else None

    @property
    def missed(self) -> list[int]:
        """Classes that have pictures, none of which is recognised."""
        return [index for index, recall in enumerate(self.recall) if recall == 0]

    def per_class(self) -> list[dict[str, Any]]:
        columns = (self.names, self.images, self.precision, self.recall)
        keys = ("name", "images", "precision", "recall")
        return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]

    def as_json(self) -> dict[str, Any]:
        return {
            "per_class": self.per_class(),
            "balanced_accuracy": self.balanced_accuracy,
            "confusion": self.matrix.tolist(),
        }

    def confusions(self) -> list[tuple[int, int, int]]:
        """(true class, answer, pictures) of all that are wrong, the most frequent first."""
        wrong = self.matrix * (1 - np.eye(len(self.matrix), dtype=np.int64))
        rows, columns = np.nonzero(wrong)
        order = np.argsort(-wrong[rows, columns], kind="stable")
        return [(int(rows[i]), int(columns[i]), int(wrong[rows[i], columns[i]])) for i in order]


class Answers:
    """Collects the answers to batches."""

    def __init__(self) -> None:
        self._matrix: Array | None = None
        self._pictures = 0
        self._mistakes: list[tuple[float, int, Mistake]] = []

    def add(self, pictures: Any, labels: Any, scores: Any) -> None:
        """`pictures` (N, H, W, 3) in [-1, 1], `labels` (N,), below 0 where there is no picture, and
        `scores` (N, C), logits or probabilities.
        """
        labels, scores = np.asarray(labels), np.asarray(scores, np.float32)
        if self._matrix is None:
            self._matrix = np.zeros((scores.shape[1],) * 2, np.int64)
        answers = scores.argmax(1)
        known = labels >= 0
        np.add.at(self._matrix, (labels[known], answers[known]), 1)
        for index in np.flatnonzero(known & (labels != answers)).tolist():
            answer, place = int(answers[index]), self._pictures + index
            confidence = float(as_probabilities(scores[index])[answer])
            if len(self._mistakes) < MOST_MISTAKES or confidence > self._mistakes[0][0]:
                seen = np.rint((np.asarray(pictures[index]) + 1) * 127.5).clip(0, 255)
                mistake = Mistake(
                    place, int(labels[index]), answer, confidence, seen.astype(np.uint8)
                )
                heapq.heappush(self._mistakes, (confidence, -place, mistake))
                if len(self._mistakes) > MOST_MISTAKES:
                    heapq.heappop(self._mistakes)
        self._pictures += len(labels)

    def named(self, names: Sequence[str]) -> ByClass:
        """`names` are of the first classes; further ones are called by their number."""
        matrix = np.zeros((0, 0), np.int64) if self._matrix is None else self._matrix
        further = (f"class {index}" for index in range(len(names), len(matrix)))
        surest = sorted(self._mistakes, key=lambda one: one[:2], reverse=True)
        return ByClass(
            (*names[: len(matrix)], *further), matrix, tuple(mistake for *_, mistake in surest)
        )


def as_probabilities(scores: Array, given: str = "unknown") -> Array:
    """float32 (C,) of what `Signature.answered` calls "probabilities", "logarithms" or "logits".

    What is unknown is taken as probabilities if it lies in [0, 1], else as logits.
    """
    if given == "probabilities" or (given == "unknown" and scores.min() >= 0 and scores.max() <= 1):
        return scores
    if given == "logarithms":
        return np.asarray(np.exp(scores), np.float32)
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum(), np.float32)


def _parts(counts: Array, of: Array) -> list[float | None]:
    return [float(n / all_) if all_ else None for n, all_ in zip(counts, of, strict=True)]
