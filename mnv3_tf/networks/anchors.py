"""SSD's anchors: boxes of fixed shapes around the cells of each feature map. Needs NumPy alone.

After create_ssd_anchors of the TF Object Detection API
(object_detection/anchor_generators/multiple_grid_anchor_generator.py), which follows section 2.2
of SSD (Liu et al., arXiv 1512.02325).
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

SCALE_RANGE = (0.2, 0.95)
"""Of the anchors of the first and of the last map: square root of the area, picture's side 1."""

CODE_SCALES = (10.0, 10.0, 5.0, 5.0)
"""What the four numbers that place a box relative to its anchor are multiplied by."""

ASPECT_RATIOS = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)
"""Width over height."""


def generate(
    feature_sizes: Sequence[tuple[int, int]],
    scales: tuple[float, float] = SCALE_RANGE,
    aspect_ratios: Sequence[float] = ASPECT_RATIOS,
    reduce_lowest: bool = True,
) -> np.ndarray:
    """float32 (A, 4): cy, cx, h, w as parts of the picture; map by map, row, column, box.

    `feature_sizes` are (rows, columns) of the maps, finest first. Anchors are not clipped: those
    near an edge reach over it, and the largest are wider than the picture. An aspect ratio is
    that of parts of the picture, in pixels too if the picture is square.
    """
    shapes = _shapes(len(feature_sizes), scales, aspect_ratios, reduce_lowest)
    maps = []
    for (rows, columns), cell in zip(feature_sizes, shapes, strict=True):
        scale, ratio = np.array(cell).T
        anchors = np.empty((rows, columns, len(cell), 4), np.float32)
        anchors[..., 0] = ((np.arange(rows) + 0.5) / rows)[:, None, None]
        anchors[..., 1] = ((np.arange(columns) + 0.5) / columns)[None, :, None]
        anchors[..., 2] = scale / np.sqrt(ratio)
        anchors[..., 3] = scale * np.sqrt(ratio)
        maps.append(anchors.reshape(-1, 4))
    return np.concatenate(maps)


def per_cell(
    levels: int, aspect_ratios: Sequence[float] = ASPECT_RATIOS, reduce_lowest: bool = True
) -> list[int]:
    """How many anchors each cell of each map has."""
    return [len(cell) for cell in _shapes(levels, SCALE_RANGE, aspect_ratios, reduce_lowest)]


def _shapes(
    levels: int, scales: tuple[float, float], aspect_ratios: Sequence[float], reduce_lowest: bool
) -> list[list[tuple[float, float]]]:
    """For each map the (scale, aspect ratio) of a cell's anchors."""
    steps = [*np.linspace(*scales, levels).tolist(), 1.0]
    cells = []
    for scale, following in itertools.pairwise(steps):
        # One square more, of a size between this map's and the next one's.
        between = math.sqrt(scale * following)
        cells.append([*((scale, ratio) for ratio in aspect_ratios), (between, 1.0)])
    if reduce_lowest:
        # The finest map has most of the cells; its three are fixed in the API's code.
        cells[0] = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 1 / 2)]
    return cells
