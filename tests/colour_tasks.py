"""Networks of every task that see pure colours, with weights that need no training.

A picture of theirs is black but for red, green and blue parts, which are their classes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from artefacts import Artefacts

COLOURS = ("red", "green", "blue")
SIDE, CELL = 64, 8
"""Pixels of the input, and of each of the detector's cells, all of which are anchors."""


def flag_picture(path: Path) -> Path:
    """Red, green and red, a third each; its centre is green."""
    sides = ("red", (0, 0, 40, 40)), ("red", (80, 0, 120, 40))
    return save(picture((40, 120), *sides, ("green", (40, 0, 80, 40))), path)


def colour_file(made: Artefacts, folder: Path, kind: str) -> None:
    """m.tflite, of one of KINDS."""
    (folder / "m.tflite").write_bytes(KINDS[kind]())


def classifier() -> bytes:
    """Probabilities (1, 3)."""
    from mnv3_tf.export.convert import convert

    return convert(_model(lambda x: _layers().GlobalAveragePooling2D()(_purity(x))), "none")


def detector(whole: bool = True) -> bytes:
    """TFLite_Detection_PostProcess's four outputs, or the raw two before it."""
    from mnv3_tf.export.convert import convert
    from mnv3_tf.tflite import post_process

    def heads(x: Any) -> Any:
        layers = _layers()
        x = layers.AveragePooling2D(CELL)(x)
        codes = layers.Conv2D(4, 1, kernel_initializer="zeros", name="codes")(x)
        background = layers.Conv2D(1, 1, kernel_initializer="zeros", name="background")(x)
        logits = layers.Concatenate()([background, _purity(x)])
        return layers.Reshape((-1, 4))(codes), layers.Reshape((-1, 4))(logits)

    content = post_process.in_order(convert(_model(heads), "none", output="raw"))
    return post_process.append(content, anchors()) if whole else content


def segmenter(output: str = "scores") -> bytes:
    """Four scores of each pixel, or the class: black, then the colours."""
    from mnv3_tf.export.convert import convert

    def heads(x: Any) -> Any:
        black = _layers().Conv2D(1, 1, kernel_initializer="zeros", name="black")(x)
        return _layers().Concatenate()([black, _purity(x)])

    return convert(_model(heads), "none", output=output)


def red_figure() -> bytes:
    """How sure each pixel is of being red, (1, H, W, 1)."""
    from mnv3_tf.export.convert import convert

    def sure(x: Any) -> Any:
        kernel = np.array([1.0, 0, 0]).reshape(1, 1, 3, 1)
        layer = _layers().Conv2D(1, 1, activation="sigmoid", name="red")
        found = layer(_purity(x))
        layer.set_weights([kernel, np.zeros(1)])
        return found

    return convert(_model(sure), "none", output="scores")


KINDS: dict[str, Callable[[], bytes]] = {
    "classify": classifier,
    "detect": detector,
    "detect raw": lambda: detector(whole=False),
    "scores": segmenter,
    "classes": lambda: segmenter("classes"),
    "red": red_figure,
}


def anchors() -> np.ndarray:
    """(64, 4): cy, cx, h, w of the cells."""
    count = SIDE // CELL
    centres = (np.arange(count) + 0.5) / count
    grid = np.stack(np.meshgrid(centres, centres, indexing="ij"), -1).reshape(-1, 2)
    return np.concatenate([grid, np.full_like(grid, 1 / count)], 1).astype(np.float32)


def picture(size: tuple[int, int], *parts: tuple[str, tuple[int, int, int, int]]) -> np.ndarray:
    """uint8 (H, W, 3), black; each part is a colour and the pixels left, top, right, bottom."""
    drawn = np.zeros((*size, 3), np.uint8)
    for colour, (left, top, right, bottom) in parts:
        drawn[top:bottom, left:right, COLOURS.index(colour)] = 255
    return drawn


def save(pixels: np.ndarray, path: Path, orientation: int | None = None) -> Path:
    """As the path's ending says; with the EXIF orientation, if any."""
    from PIL import Image

    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def _layers() -> Any:
    import tf_keras

    return tf_keras.layers


def _purity(x: Any) -> Any:
    """Logits of the colours: 12 for a pure one, from -4 down for black and all others."""
    own, other = 8.0, -8.0
    kernel = np.where(np.eye(3, dtype=bool), own, other)[np.newaxis, np.newaxis]
    layer = _layers().Conv2D(3, 1, name="purity")
    found = layer(x)
    layer.set_weights([kernel, np.full(3, -12.0)])
    return found


def _model(heads: Callable[[Any], Any]) -> Any:
    import tf_keras

    image = tf_keras.Input((SIDE, SIDE, 3), batch_size=1, name="image")
    return tf_keras.Model(image, heads(image))
