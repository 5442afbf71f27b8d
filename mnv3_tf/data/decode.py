"""From encoded bytes to pictures, and what evaluation does to them.

The content decides what a file is, not its name: JPEG (grayscale and CMYK too), PNG, GIF (its
first frame), BMP and WebP. Transparency is dropped, 16-bit channels are cut to 8.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from mnv3_tf.tasks.specs import EVALUATION_MARGIN, Resolution

Tensor = Any

RESIZES = ("resize256_crop", "resize")


def decode(content: Tensor) -> Tensor:
    """Encoded bytes (a string scalar) to uint8 (H, W, 3), RGB."""
    picture = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.io.decode_jpeg(content, channels=3),
        lambda: _decode_other(content),
    )
    picture.set_shape((None, None, 3))
    return picture


def decode_window(content: Tensor, choose_window: Any, least: Resolution) -> Tensor:
    """The window of a picture that `choose_window` picks, uint8 (h, w, 3).

    `choose_window` takes the picture's (height, width), int32 (2,), and returns int32 (4,): top,
    left, height, width. Of a JPEG only the window is decoded, and at a half, a fourth or an eighth
    of its size where that has still `least` pixels. A uint8 (H, W, 3) `content` is a picture
    already.
    """
    return decode_placed_window(content, choose_window, least)[0]


def decode_placed_window(
    content: Tensor, choose_window: Any, least: Resolution
) -> tuple[Tensor, Tensor, Tensor]:
    """What `decode_window` gives; then the window in pixels, and the picture's (height, width).

    For targets that have to follow the picture: int32 (4,) and int32 (2,), both before any
    shrinking.
    """

    def jpeg() -> tuple[Tensor, Tensor, Tensor]:
        shape = tf.io.extract_jpeg_shape(content)[:2]
        window = choose_window(shape)
        pixels = tf.switch_case(
            tf.reduce_sum(
                [
                    tf.cast(tf.reduce_all(window[2:] >= ratio * np.asarray(least)), tf.int32)
                    for ratio in (2, 4, 8)
                ]
            ),
            [
                lambda ratio=ratio: tf.image.decode_and_crop_jpeg(
                    content, window // ratio, channels=3, ratio=ratio
                )
                for ratio in (1, 2, 4, 8)
            ],
        )
        return pixels, window, shape

    def cut(picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = tf.shape(picture)[:2]
        window = choose_window(shape)
        return cut_window(picture, window), window, shape

    if content.dtype != tf.string:
        return cut(content)
    pixels, window, shape = tf.cond(
        tf.io.is_jpeg(content), jpeg, lambda: cut(_decode_other(content))
    )
    return tf.ensure_shape(pixels, (None, None, 3)), window, shape


def _decode_other(content: Tensor) -> Tensor:
    return tf.io.decode_image(content, channels=3, expand_animations=False)


def cut_window(picture: Tensor, window: Tensor) -> Tensor:
    """The window, int32 (4,) top, left, height, width, of (H, W, C) or (H, W)."""
    top, left, height, width = tf.unstack(window)
    return picture[top : top + height, left : left + width]


def normalize(picture: Tensor) -> Tensor:
    """0..255 to float32 in [-1, 1]."""
    return tf.cast(picture, tf.float32) / 127.5 - 1.0


def evaluation_view(picture: Tensor, resolution: int, resize: str = "resize256_crop") -> Tensor:
    """uint8 (H, W, 3) to float32 (resolution, resolution, 3) in [-1, 1].

    "resize256_crop": the shorter side goes to `resolution * 256 / 224`, then the centre is cut
    out, as slim evaluates. "resize": the whole picture, squeezed to a square.
    """
    if resize == "resize":
        return normalize(resize_bilinear(picture, (resolution, resolution)))
    if resize != "resize256_crop":
        raise ValueError(f"resize is {resize!r}; choose one of {', '.join(RESIZES)}")
    shape = tf.cast(tf.shape(picture)[:2], tf.float32)
    scale = round(resolution * EVALUATION_MARGIN) / tf.reduce_min(shape)
    size = tf.cast(tf.round(shape * scale), tf.int32)
    top, left = tf.unstack((size - resolution) // 2)
    picture = resize_bilinear(picture, size)[top : top + resolution, left : left + resolution]
    return normalize(tf.ensure_shape(picture, (resolution, resolution, 3)))


def resize_bilinear(picture: Tensor, size: Any, smooth_from: float = 1.0) -> Tensor:
    """(H, W, 3) to float32 (height, width, 3).

    Anti-aliased where it makes a side shorter, by more than `smooth_from` times: where it does
    not, the plain one is several times faster, and below 2 no pixel is passed over.
    """
    shape = tf.cast(tf.shape(picture)[:2], tf.float32)
    shrinks = tf.reduce_any(shape > smooth_from * tf.cast(size, tf.float32))
    return tf.cond(
        shrinks,
        lambda: tf.image.resize(picture, size, "bilinear", antialias=True),
        lambda: tf.image.resize(picture, size, "bilinear"),
    )
