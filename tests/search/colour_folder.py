"""A folder of pictures in three colours, which a network learns in a few steps."""

from pathlib import Path

import numpy as np
from PIL import Image

from mnv3_tf.spec import Block, NetworkSpec, Stem

TINY = NetworkSpec(
    "tiny",
    (
        Block(3, 16, 16, 0.25, "relu", 2),
        Block(3, 48, 24, 0.0, "relu", 2),
        Block(3, 48, 24, 0.25, "hard_swish", 1),
    ),
    last_conv=48,
    hidden=32,
    stem=Stem(16),
    resolution=32,
    num_classes=3,
)


def make_colours(folder: Path, per_class: int = 24) -> str:
    """The value of --dataset for it."""
    rng = np.random.default_rng(0)
    for split, count in (("train", per_class), ("val", 4)):
        for place, name in enumerate(("red", "green", "blue")):
            home = folder / split / name
            home.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 90, (40, 40, 3))
                pixels[..., place] += 150
                Image.fromarray(pixels.astype(np.uint8)).save(home / f"{number}.png")
    return f"folder:{folder}"
