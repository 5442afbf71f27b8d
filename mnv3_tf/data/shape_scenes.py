"""`shapes` for detection and segmentation: one to four figures in a picture."""

import itertools

import numpy as np

from mnv3_tf.data.augment_boxes import DETECTION
from mnv3_tf.data.augment_masks import SEGMENTATION
from mnv3_tf.data.boxes import Objects, reader_of_objects
from mnv3_tf.data.dataset import Dataset, IndexedSource, Split, reader_of
from mnv3_tf.data.shapes import CLASS_NAMES, LARGEST_SIDE, SPLITS, Picture, draw
from mnv3_tf.tasks import find_task

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


def open_scenes(task: str, seed: int = 0, resolution: int = 96) -> Dataset:
    """2000 pictures for training and 300 for validation, kept in memory.

    For boxes the classes are the ten figures; for masks "background" comes before them.
    """
    side, boxed = min(resolution, LARGEST_SIDE), find_task(task).targets == "boxes"
    splits = {}
    for split, count in COUNTS.items():
        scenes = [scene(seed, split, index, side) for index in range(count)]
        read = reader_of(np.stack([one.image for one in scenes]))
        if boxed:
            objects = [
                Objects(one.boxes, one.labels, np.zeros(len(one.labels), bool), (side, side))
                for one in scenes
            ]
            source = IndexedSource(count, read, reader_of_objects(objects))
            splits[split] = Split(source, "resize", DETECTION)
        else:
            masks = reader_of(np.stack([one.mask for one in scenes]))
            splits[split] = Split(IndexedSource(count, read, masks), "resize", SEGMENTATION)
    class_names = CLASS_NAMES if boxed else ("background", *CLASS_NAMES)
    return Dataset("shapes", class_names, splits["train"], splits["val"], task=task)
