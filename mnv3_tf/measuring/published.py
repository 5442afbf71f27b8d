"""The figures of *Searching for MobileNetV3* (Howard et al., ICCV 2019), to compare with.

Latencies are of one large core through TFLite, in milliseconds, on Pixel 1, 2 and 3.
"""

from dataclasses import dataclass

from mnv3_tf.tasks import CLASSIFY, DETECT, SEGMENT

PAPER_FLOAT, PAPER_INT8, SLIM = "Table 3", "Table 4", "TF-slim"
"""Where a figure is from; minimalistic networks stand in no table, but in the README of the
authors' code."""

V4 = "MobileNetV4's paper"
"""Qin et al. 2024 (arXiv 2404.10518), Table 5: a later network, and no row of this paper."""

MULTIPLIERS, PLACEMENT, REDESIGN = "Table 9", "Table 5", "section 5"


@dataclass(frozen=True)
class Published:
    """A row of a table; `network` and `width` as `networks.named.resolve` takes them.

    `quantize` is "none" or "int8". `top1` is in percent on ImageNet; `pixel_ms` as far as given.
    """

    network: str
    width: float
    quantize: str
    top1: float
    pixel_ms: tuple[float, ...]
    source: str
    resolution: int = 224


ROWS = (
    Published("large", 1.0, "none", 75.2, (51, 61, 44), PAPER_FLOAT),
    Published("large", 0.75, "none", 73.3, (39, 46, 40), PAPER_FLOAT),
    Published("mnasnet_a1", 1.0, "none", 75.2, (71, 86, 61), PAPER_FLOAT),
    Published("v2", 1.0, "none", 72.0, (64, 76, 56), PAPER_FLOAT),
    Published("small", 1.0, "none", 67.4, (15.8, 19.4, 14.4), PAPER_FLOAT),
    Published("small", 0.75, "none", 65.4, (12.8, 15.6, 11.7), PAPER_FLOAT),
    Published("v2", 0.35, "none", 60.8, (16.6, 19.6, 13.9), PAPER_FLOAT),
    Published("large_minimalistic", 1.0, "none", 72.3, (44.1, 51, 35), SLIM),
    Published("small_minimalistic", 1.0, "none", 61.9, (12.2, 15.1, 11), SLIM),
    Published("v4_conv_small", 1.0, "none", 73.8, (), V4),
    Published("large", 1.0, "int8", 73.8, (44, 42.5, 31.7), PAPER_INT8),
    Published("v2", 1.0, "int8", 70.9, (52, 48.3, 37.0), PAPER_INT8),
    Published("small", 1.0, "int8", 64.9, (15.5, 14.9, 10.7), PAPER_INT8),
    Published("v2", 0.35, "int8", 57.2, (16.7, 15.6, 11.9), PAPER_INT8),
    Published("large_minimalistic", 1.0, "int8", 71.3, (37, 35, 27), SLIM),
)

FAMILY = tuple(dict.fromkeys((row.network, row.width) for row in ROWS))
"""Every network and width of the tables; not each has published figures in int8."""

WIDTHS, RESOLUTIONS = (0.35, 0.5, 0.75, 1.0, 1.25), (96, 128, 160, 192, 224, 256)

_LARGE = {
    (1.25, 224): (76.6, 77.0),
    (1.0, 224): (75.2, 51.2),
    (0.75, 224): (73.3, 39.8),
    (0.5, 224): (68.8, 21.7),
    (0.35, 224): (64.2, 15.1),
    (1.0, 256): (76.0, 65.6),
    (1.0, 192): (73.7, 38.0),
    (1.0, 160): (71.7, 27.8),
    (1.0, 128): (68.4, 17.8),
    (1.0, 96): (63.3, 12.5),
}
_SMALL = {
    (1.25, 224): (70.4, 23.6),
    (1.0, 224): (67.5, 15.8),
    (0.75, 224): (65.4, 12.8),
    (0.5, 224): (58.0, 7.7),
    (0.35, 224): (49.8, 5.7),
    (1.0, 256): (68.5, 20.0),
    (1.0, 160): (62.8, 8.6),
    (1.0, 128): (57.3, 5.8),
    (1.0, 96): (51.7, 4.4),
}

MULTIPLIER_ROWS = tuple(
    Published(network, width, "none", top1, (pixel1_ms,), MULTIPLIERS, resolution)
    for network, rows in (("large", _LARGE), ("small", _SMALL))
    for (width, resolution), (top1, pixel1_ms) in rows.items()
)
"""Table 9; it has no Small at 192."""

_BY_KEY = {
    (row.network, row.width, row.resolution, row.quantize): row for row in (*MULTIPLIER_ROWS, *ROWS)
}
"""Tables 3 and 4 come last, and count where Table 9 says it again."""


def find(network: str, width: float, quantize: str, resolution: int = 224) -> Published | None:
    return _BY_KEY.get((network, width, resolution, quantize))


# -- detection and segmentation --------------------------------------------------------------

DETECTION, SEGMENTATION, OUTPUT_STRIDES = "Table 6", "Table 7", "Table 8"
COCO_CLASSES, CITYSCAPES_CLASSES = 90, 19
CLASSES = {DETECT.name: COCO_CLASSES, SEGMENT.name: CITYSCAPES_CLASSES}
"""By task, other than of ImageNet."""
PIXELS = {CLASSIFY.name: (1, 2, 3), DETECT.name: (1,), SEGMENT.name: (3,)}
"""The phones of which the tables of a task have milliseconds."""
CITYSCAPES_SIZE, HALF_SIZE = (1024, 2048), (512, 1024)
"""Height and width of Cityscapes' pictures, and of their half resolution."""


@dataclass(frozen=True)
class PublishedDetector:
    """SSDLite at 320x320, float. `tail` "half" is the paper's dagger.

    `mean_ap` is in percent on COCO's test set; parameters in millions, multiply-adds in billions.
    """

    network: str
    width: float
    tail: str
    mean_ap: float
    pixel1_ms: float
    params_m: float
    madds_b: float


DETECTORS = (
    PublishedDetector("large", 1.0, "full", 22.0, 137, 4.97, 0.62),
    PublishedDetector("large", 1.0, "half", 22.0, 119, 3.22, 0.51),
    PublishedDetector("small", 1.0, "full", 16.0, 52, 2.49, 0.21),
    PublishedDetector("small", 1.0, "half", 16.1, 43, 1.77, 0.16),
    PublishedDetector("v2", 1.0, "full", 22.1, 162, 4.3, 0.80),
    PublishedDetector("v2", 0.5, "full", 16.6, 79, 1.54, 0.27),
    PublishedDetector("v2", 0.35, "full", 13.7, 66, 0.93, 0.16),
    PublishedDetector("mnasnet_a1", 1.0, "full", 23.0, 174, 4.88, 0.84),
    PublishedDetector("mnasnet_a1", 0.5, "full", 18.5, 85, 1.68, 0.29),
    PublishedDetector("mnasnet_a1", 0.35, "full", 15.6, 68, 1.02, 0.18),
)
"""Table 6 without MobileNetV1. The sizes of MobileNetV2 at full width are of its own paper."""


@dataclass(frozen=True)
class PublishedSegmenter:
    """Segmentation of Cityscapes, float. `tail` "half" is the paper's RF2.

    `miou` is in percent on the validation set (Table 7), `test_miou` on the test set (Table 8);
    parameters are in millions, multiply-adds in billions at 1024x2048. Latency is of one large
    core of a Pixel 3, in milliseconds, at 1024x2048 and at 512x1024.
    """

    network: str
    width: float
    tail: str
    head: str
    filters: int
    output_stride: int
    miou: float | None
    test_miou: float | None
    params_m: float | None
    madds_b: float
    pixel3_ms: float
    pixel3_half_ms: float
    source: str = SEGMENTATION


SEGMENTERS = (
    PublishedSegmenter("v2", 1.0, "full", "raspp", 256, 16, 72.84, None, 2.11, 21.29, 3900, 1020),
    PublishedSegmenter("v2", 1.0, "half", "raspp", 256, 16, 72.56, None, 1.15, 13.68, 3030, 793),
    PublishedSegmenter("v2", 1.0, "half", "lraspp", 256, 16, 72.97, None, 1.02, 12.83, 2980, 786),
    PublishedSegmenter("v2", 1.0, "half", "lraspp", 128, 16, 72.74, None, 0.98, 12.57, 2890, 766),
    PublishedSegmenter("large", 1.0, "full", "raspp", 256, 16, 72.64, None, 3.60, 18.43, 3550, 906),
    PublishedSegmenter("large", 1.0, "half", "raspp", 256, 16, 71.91, None, 1.76, 11.24, 2600, 668),
    PublishedSegmenter(
        "large", 1.0, "half", "lraspp", 256, 16, 72.37, None, 1.63, 10.33, 2550, 659
    ),
    PublishedSegmenter("large", 1.0, "half", "lraspp", 128, 16, 72.36, 72.6, 1.51, 9.74, 2470, 657),
    PublishedSegmenter("v2", 0.5, "half", "lraspp", 128, 16, 68.57, None, 0.28, 4.00, 1590, 415),
    PublishedSegmenter("v2", 0.35, "half", "lraspp", 128, 16, 66.83, None, 0.16, 2.54, 1270, 354),
    PublishedSegmenter("small", 1.0, "half", "lraspp", 128, 16, 68.38, 69.4, 0.47, 2.90, 1210, 327),
    PublishedSegmenter(
        "large", 1.0, "half", "lraspp", 128, 32, None, 72.0, None, 7.74, 2060, 534, OUTPUT_STRIDES
    ),
    PublishedSegmenter(
        "small", 1.0, "half", "lraspp", 128, 32, None, 68.3, None, 2.06, 1030, 275, OUTPUT_STRIDES
    ),
)
"""Table 7, then what Table 8 adds; its rows of output stride 16 are of Table 7's networks."""
