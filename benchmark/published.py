"""The figures of *Searching for MobileNetV3* (Howard et al., ICCV 2019), to compare with.

Latencies are of one large core through TFLite, in milliseconds, on Pixel 1, 2 and 3.
"""

from dataclasses import dataclass

PAPER_FLOAT, PAPER_INT8, SLIM = "Table 3", "Table 4", "TF-slim"
"""Where a figure is from; minimalistic networks stand in no table, but in the README of the
authors' code."""

MULTIPLIERS, PLACEMENT, REDESIGN = "Table 9", "Table 5", "section 5"


@dataclass(frozen=True)
class Published:
    """A row of a table; `network` and `width` as `networks.resolve` takes them.

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
