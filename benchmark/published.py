"""The figures of *Searching for MobileNetV3* (Howard et al., ICCV 2019), to compare with.

Latencies are of one large core through TFLite, in milliseconds, on Pixel 1, 2 and 3.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A row of a table; `network` and `width` as `networks.resolve` takes them, 224x224.

    `top1` is in percent on ImageNet.
    """

    network: str
    width: float
    top1: float
    pixel_ms: tuple[float, float, float]


FLOAT = (
    Published("large", 1.0, 75.2, (51, 61, 44)),
    Published("large", 0.75, 73.3, (39, 46, 40)),
    Published("mnasnet_a1", 1.0, 75.2, (71, 86, 61)),
    Published("v2", 1.0, 72.0, (64, 76, 56)),
    Published("small", 1.0, 67.4, (15.8, 19.4, 14.4)),
    Published("small", 0.75, 65.4, (12.8, 15.6, 11.7)),
    Published("v2", 0.35, 60.8, (16.6, 19.6, 13.9)),
)
"""Table 3."""

INT8 = (
    Published("large", 1.0, 73.8, (44, 42.5, 31.7)),
    Published("v2", 1.0, 70.9, (52, 48.3, 37.0)),
    Published("small", 1.0, 64.9, (15.5, 14.9, 10.7)),
    Published("v2", 0.35, 57.2, (16.7, 15.6, 11.9)),
)
"""Table 4, 8 bit."""

MINIMALISTIC_FLOAT = (
    Published("large_minimalistic", 1.0, 72.3, (44.1, 51, 35)),
    Published("small_minimalistic", 1.0, 61.9, (12.2, 15.1, 11)),
)
"""Not in the paper: its authors' figures in the README of TF-slim's MobileNet."""

MINIMALISTIC_INT8 = (Published("large_minimalistic", 1.0, 71.3, (37, 35, 27)),)
"""From the same README, 8 bit."""
