"""COCO's detection metrics, computed by pycocotools."""

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mnv3_tf.detection.postprocess import Detections

SUMMARY = {
    "map": 0,
    "map50": 1,
    "map75": 2,
    "map_small": 3,
    "map_medium": 4,
    "map_large": 5,
    "recall100": 8,
}
"""Names of those of COCOeval's twelve numbers that are kept."""


class Evaluator:
    """Collects pictures, then measures.

    An object is small, medium or large by the area of its box in pixels: up to 32 x 32, up to
    96 x 96, more. COCO's own figures go by the area within the object's outline, which is smaller:
    those three are to be compared with care, the others are the same.
    """

    def __init__(self, num_classes: int) -> None:
        self._classes = num_classes
        self._pictures: list[dict[str, Any]] = []
        self._truths: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []

    def add(
        self,
        found: Detections,
        boxes: np.ndarray,
        classes: np.ndarray,
        crowd: np.ndarray,
        size: tuple[int, int],
    ) -> None:
        """One picture: what was found, and the truth.

        All boxes are corners in [0, 1]: `boxes` (M, 4) with `classes` (M,) and `crowd` bool (M,).
        Rows of a class below 0, here and there, only pad. `size` is (height, width) in pixels of
        the picture as it was taken, which says what is small.
        """
        picture = len(self._pictures) + 1
        self._pictures.append({"id": picture, "height": int(size[0]), "width": int(size[1])})
        for row, many in zip(self._rows(picture, boxes, classes, size), crowd, strict=True):
            self._append(self._truths, row, iscrowd=int(many))
        rows = self._rows(picture, found.boxes, found.classes, size)
        for row, score in zip(rows, found.scores, strict=True):
            self._append(self._found, row, score=float(score), iscrowd=0)

    def result(self) -> dict[str, Any]:
        """Each from 0 to 1, or None where no object says anything of it.

        "map" is the mean over classes, and over IoU 0.5, 0.55 ... 0.95, of average precision;
        "map50" and "map75" are of one IoU, "map_small", "map_medium", "map_large" of some objects;
        "recall100" is the part of objects that 100 detections find, mean as "map"; "per_class"
        lists average precision at IoU 0.5.
        """
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            evaluation = COCOeval(self._coco(self._truths), self._coco(self._found), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        answer: dict[str, Any] = {
            name: _known(evaluation.stats[index]) for name, index in SUMMARY.items()
        }
        # (IoU, recall, class, area, detections): IoU 0.5, objects of any area, 100 detections.
        precision = evaluation.eval["precision"][0, :, :, 0, -1]
        answer["per_class"] = [_known(column.mean()) for column in precision.T]
        return answer

    def _rows(
        self, picture: int, boxes: np.ndarray, classes: np.ndarray, size: tuple[int, int]
    ) -> list[dict[str, Any]]:
        height, width = size
        pixels = np.asarray(boxes, np.float64).reshape(-1, 4) * [height, width, height, width]
        return [
            {
                "image_id": picture,
                "category_id": int(label),
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
            }
            for (top, left, bottom, right), label in zip(pixels.tolist(), classes, strict=True)
        ]

    @staticmethod
    def _append(rows: list[dict[str, Any]], row: dict[str, Any], **more: Any) -> None:
        if row["category_id"] >= 0:
            rows.append({**row, **more, "id": len(rows) + 1})  # COCOeval takes 0 for "no match"

    def _coco(self, annotations: list[dict[str, Any]]) -> COCO:
        coco = COCO()
        coco.dataset = {
            "images": self._pictures,
            "annotations": annotations,
            "categories": [{"id": label} for label in range(self._classes)],
        }
        coco.createIndex()
        return coco


def _known(value: float) -> float | None:
    """COCOeval says -1 for a mean of nothing."""
    return float(value) if value > -1 else None
