"""`shapes`: one figure in a picture, and for boxes and masks one to four."""

import itertools

import numpy as np

from mnv3_tf.data.augment_boxes import DETECTION
from mnv3_tf.data.augment_masks import SEGMENTATION
from mnv3_tf.data.box_targets import Objects, reader_of_objects
from mnv3_tf.data.dataset import Dataset, IndexedSource, Split, in_memory, reader_of
from mnv3_tf.data.shapes import CLASS_NAMES, LARGEST_SIDE, SPLITS, Picture, draw, images_and_labels
from mnv3_tf.data.sources import Opening
from mnv3_tf.tasks.task import Targets

COUNTS = {"train": 2000, "val": 300}
"""Fewer than for classification: a picture of several figures takes longer to draw."""

MOST_FIGURES = 4
MOST_HIDDEN = 0.5
"""Part of a figure's box that a nearer figure's may cover."""


def scene(seed: int, split: str, index: int, resolution: int) -> Picture:
    """Picture `index` of a split, with 1 to 4 figures: a function of (seed, split, index).

    The class of the first figure takes turns, those of the others are drawn.
    """
    own = [seed, list(SPLITS).index(split), index]
    rng = np.random.default_rng(own)
    others = rng.integers(0, len(CLASS_NAMES), rng.integers(0, MOST_FIGURES)).tolist()
    labels = [index % len(CLASS_NAMES), *others]
    for attempt in itertools.count(1):
        # A stream for each: how far one gets depends on the resolution.
        drawn = draw(labels, resolution, np.random.default_rng([*own, attempt]))
        if hidden_part(drawn.boxes) <= MOST_HIDDEN:
            return drawn
    raise AssertionError


def hidden_part(boxes: np.ndarray) -> float:
    """The largest part of a box, (K, 4) and farthest first, that a single nearer one covers."""
    corner = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    extent = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - corner
    shared = np.clip(extent, 0, None).prod(2) / (boxes[:, 2:] - boxes[:, :2]).prod(1)[:, None]
    return float(np.triu(shared, 1).max())


def open_shapes(asked: Opening) -> Dataset:
    """Kept in memory: 6000 pictures for training and 1000 for validation, one figure in each.

    For boxes and masks 2000 and 300 scenes. The classes are the ten figures; for masks
    "background" comes before them.
    """
    targets, side = asked.task.targets, min(asked.side, LARGEST_SIDE)
    counts = SPLITS if targets == "classes" else COUNTS
    splits = {
        part: _split(targets, asked.seed, part, count, side) for part, count in counts.items()
    }
    class_names = ("background", *CLASS_NAMES) if targets == "masks" else CLASS_NAMES
    return Dataset("shapes", class_names, splits["train"], splits["val"], task=asked.task.name)


def _split(targets: Targets, seed: int, part: str, count: int, side: int) -> Split:
    if targets == "classes":
        return Split(in_memory(*images_and_labels(seed, part, count, side)), "whole")
    scenes = [scene(seed, part, index, side) for index in range(count)]
    images = reader_of(np.stack([one.image for one in scenes]))
    if targets == "masks":
        masks = reader_of(np.stack([one.mask for one in scenes]))
        return Split(IndexedSource(count, images, masks), "whole", SEGMENTATION)
    objects = [
        Objects(one.boxes, one.labels, np.zeros(len(one.labels), bool), (side, side))
        for one in scenes
    ]
    return Split(IndexedSource(count, images, reader_of_objects(objects)), "whole", DETECTION)
