"""The figures of *Searching for MobileNetV3* (Howard et al., ICCV 2019), to compare with.

Latencies are of one large core through TFLite, in milliseconds, on Pixel 1, 2 and 3.
"""

from dataclasses import dataclass

PAPER_FLOAT, PAPER_INT8, SLIM = "Table 3", "Table 4", "TF-slim"
"""Where a figure is from; minimalistic networks stand in no table, but in the README of the
authors' code."""


@dataclass(frozen=True)
class Published:
    """A row of a table; `network` and `width` as `networks.resolve` takes them, 224x224.

    `quantize` is "none" or "int8". `top1` is in percent on ImageNet.
    """

    network: str
    width: float
    quantize: str
    top1: float
    pixel_ms: tuple[float, float, float]
    source: str


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


_BY_KEY = {(row.network, row.width, row.quantize): row for row in ROWS}


def find(network: str, width: float, quantize: str) -> Published | None:
    return _BY_KEY.get((network, width, quantize))
