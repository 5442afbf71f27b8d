"""What MediaPipe Tasks, a client that knows nothing of this toolkit, sees in pictures.

Run by the interpreter of an environment that has `mediapipe`:

    PYTHON mediapipe_answers.py classify|detect|segment MODEL PICTURE...

prints a JSON list with one entry per picture:

classify: [{"index", "name", "score"}, ...], best first;
detect: [{"name", "score", "box": [left, top, right, bottom]}, ...], in whole pixels, best first;
segment: {"names", "mask": rows of class indices, "total": least and most that a pixel's
probabilities add up to}.
"""

import json
import sys
from typing import Any

from mediapipe import Image
from mediapipe.tasks.python import BaseOptions, vision


def classify(options: BaseOptions, pictures: list[Image]) -> list[Any]:
    settings = vision.ImageClassifierOptions(base_options=options)
    with vision.ImageClassifier.create_from_options(settings) as task:
        found = [task.classify(picture) for picture in pictures]
    return [
        [
            {"index": c.index, "name": c.category_name, "score": c.score}
            for c in result.classifications[0].categories
        ]
        for result in found
    ]


def detect(options: BaseOptions, pictures: list[Image]) -> list[Any]:
    settings = vision.ObjectDetectorOptions(base_options=options)
    with vision.ObjectDetector.create_from_options(settings) as task:
        found = [task.detect(picture) for picture in pictures]
    return [[_object(one) for one in result.detections] for result in found]


def _object(found: Any) -> dict[str, Any]:
    box, category = found.bounding_box, found.categories[0]
    left, top = box.origin_x, box.origin_y
    corners = [left, top, left + box.width, top + box.height]
    return {"name": category.category_name, "score": category.score, "box": corners}


def segment(options: BaseOptions, pictures: list[Image]) -> list[Any]:
    settings = vision.ImageSegmenterOptions(base_options=options, output_category_mask=True)
    answers = []
    with vision.ImageSegmenter.create_from_options(settings) as task:
        for picture in pictures:
            result = task.segment(picture)
            mask = result.category_mask.numpy_view()
            total = sum(one.numpy_view() for one in result.confidence_masks)
            answers.append(
                {
                    "names": task.labels,
                    "mask": mask.reshape(mask.shape[:2]).tolist(),
                    "total": [float(total.min()), float(total.max())],
                }
            )
    return answers


def main(task: str, model: str, *pictures: str) -> None:
    ask = {"classify": classify, "detect": detect, "segment": segment}[task]
    options = BaseOptions(model_asset_path=model)
    print(json.dumps(ask(options, [Image.create_from_file(picture) for picture in pictures])))


if __name__ == "__main__":
    main(*sys.argv[1:])
