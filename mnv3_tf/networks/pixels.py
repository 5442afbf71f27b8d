"""What networks take of a picture: which part of it, and its bytes as which values."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, get_args

InputRange = Literal["0..255", "0..1", "-1..1", "imagenet"]

View = Literal["crop", "whole"]
"""What evaluation sees of a picture.

"crop": its shorter side goes to `EVALUATION_MARGIN` times the input's, then the centre is cut out,
as TF-slim evaluates. "whole": all of it, squeezed to the input; of classifiers as MediaPipe
samples it on a CPU (`image_to_tensor_converter_opencv.cc`): pixel i of n is what lies at i / n of
the side, between the nearest two each way, so that of large photographs most pixels have no say.
"""

EVALUATION_MARGIN = 256 / 224

CLIENTS: Mapping[View, str] = {
    "crop": "predict --view=crop, and apps that cut out the centre themselves",
    "whole": "MediaPipe's ImageClassifier, Android's Task Library, and predict --view=whole",
}
"""Who sees a picture so (the Task Library by `base_vision_task_api.h` of tflite-support)."""

_OLDER_VIEWS: Mapping[Any, View] = {"resize256_crop": "crop", "resize": "whole"}


def recorded_view(tree: Mapping[str, Any]) -> View | None:
    """What a record calls "view", or an older one "resize"; None where it says nothing known."""
    view = tree.get("view", _OLDER_VIEWS.get(tree.get("resize")))
    return cast(View, view) if view in get_args(View) else None


Factors = tuple[tuple[float, ...], tuple[float, ...]]
"""Scale and offset, one or one for each channel: a byte becomes byte * scale + offset."""


def normalised(mean: Sequence[float], deviation: Sequence[float]) -> Factors:
    """Of a mean and a standard deviation that are parts of white, as PyTorch has them."""
    pairs = list(zip(mean, deviation, strict=True))
    return tuple(1 / (255 * d) for _, d in pairs), tuple(-m / d for m, d in pairs)


RANGES: Mapping[InputRange, Factors] = {
    "0..255": ((1.0,), (0.0,)),
    "0..1": ((1 / 255,), (0.0,)),
    "-1..1": ((1 / 127.5,), (-1.0,)),
    "imagenet": normalised((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""ImageNet's mean and standard deviation are those of torchvision and timm."""
