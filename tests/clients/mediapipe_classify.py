"""What MediaPipe Tasks, a client that knows nothing of this toolkit, sees in pictures.

Run by the interpreter of an environment that has `mediapipe`:

    PYTHON mediapipe_classify.py MODEL PICTURE...

prints a JSON list with one [{"index", "name", "score"}, ...] per picture, best first.
"""

import json
import sys

from mediapipe import Image
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions


def main(model: str, *pictures: str) -> None:
    options = ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model))
    with ImageClassifier.create_from_options(options) as classifier:
        found = [classifier.classify(Image.create_from_file(picture)) for picture in pictures]
    tables = [
        [
            {"index": c.index, "name": c.category_name, "score": c.score}
            for c in result.classifications[0].categories
        ]
        for result in found
    ]
    print(json.dumps(tables))


if __name__ == "__main__":
    main(*sys.argv[1:])
