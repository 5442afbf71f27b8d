"""What networks take a picture's bytes as."""

from collections.abc import Mapping, Sequence
from typing import Literal

InputRange = Literal["0..255", "0..1", "-1..1", "imagenet"]

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
