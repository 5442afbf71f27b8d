"""From encoded bytes to upright pictures inside of pipelines, and what evaluation does to them.

What a picture is, `mnv3_tf.upright` says, and Pillow reads it there. Here TensorFlow reads JPEG and
PNG, which gives the same pixels faster, and of a JPEG no more than is wanted.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from mnv3_tf import upright
from mnv3_tf.tasks.specs import EVALUATION_MARGIN, Resolution

Tensor = Any

RESIZES = ("resize256_crop", "resize")

_TABLES = [bytes((0xFF, marker)) for marker in (0xDB, 0xC0, 0xC1, 0xC2, 0xC4, 0xDD)]
"""Markers of a JPEG's segments that come after those of metadata."""
_NO_EXIF = [bytes((0xFF, marker)) for marker in (0xE0, *range(0xE2, 0xF0), 0xFE)]
"""Those of metadata, but for the one of EXIF and XMP."""
_MOST_SKIPPED = 4


def decode(content: Tensor) -> Tensor:
    """Encoded bytes (a string scalar) to the upright picture, uint8 (H, W, 3), RGB."""
    return _decode_placed_window(
        content, lambda shape: tf.concat([[0, 0], shape], 0), None, "INTEGER_ACCURATE"
    )[0]


def decode_window(content: Tensor, choose_window: Any, least: Resolution) -> Tensor:
    """The window of a picture that `choose_window` picks, uint8 (h, w, 3).

    `choose_window` takes the upright picture's (height, width), int32 (2,), and returns int32 (4,):
    top, left, height, width. Of a JPEG only the window is decoded, and at a half, a fourth or an
    eighth of its size where that has still `least` pixels, or it is larger than
    `upright.MOST_PIXELS`. A uint8 (H, W, 3) `content` is a picture already.
    """
    return decode_placed_window(content, choose_window, least)[0]


def decode_placed_window(
    content: Tensor, choose_window: Any, least: Resolution
) -> tuple[Tensor, Tensor, Tensor]:
    """What `decode_window` gives; then the window in pixels, and the picture's (height, width).

    For targets that have to follow the picture: int32 (4,) and int32 (2,), both before any
    shrinking.
    """
    return _decode_placed_window(content, choose_window, least, "INTEGER_FAST")


def _decode_placed_window(
    content: Tensor, choose_window: Any, least: Resolution | None, method: str
) -> tuple[Tensor, Tensor, Tensor]:
    """`method` is TensorFlow's for a JPEG: the accurate one is Pillow's, the fast one up to 5 off.

    Without `least` nothing is shrunk that need not be.
    """
    if content.dtype != tf.string:
        return _cut(content, choose_window)

    def jpeg() -> tuple[Tensor, Tensor, Tensor]:
        stored = tf.io.extract_jpeg_shape(content)[:2]
        shape = tf.where(_one_of(orientation, upright.TRANSPOSED), stored[::-1], stored)
        window = choose_window(shape)
        there = _as_stored(window, shape, orientation)
        pixels = tf.switch_case(
            _shrinking(window[2:], least),
            [
                lambda ratio=ratio: tf.image.decode_and_crop_jpeg(
                    content, there // ratio, channels=3, ratio=ratio, dct_method=method
                )
                for ratio in upright.SHRINKS
            ],
        )
        return _turned(pixels, orientation), window, shape

    def other() -> tuple[Tensor, Tensor, Tensor]:
        picture = tf.cond(
            orientation > 0,
            lambda: _turned(tf.io.decode_png(content, channels=3), orientation),
            lambda: _ask(upright.pixels, content, tf.uint8),
        )
        return _cut(tf.ensure_shape(picture, (None, None, 3)), choose_window)

    orientation = tf.cond(
        _is_plain_jpeg(content),
        lambda: 1,
        lambda: _ask(upright.turn_after_tensorflow, content, tf.int32),
    )
    pixels, window, shape = tf.cond(tf.io.is_jpeg(content) & (orientation > 0), jpeg, other)
    return tf.ensure_shape(pixels, (None, None, 3)), window, shape


def _cut(picture: Tensor, choose_window: Any) -> tuple[Tensor, Tensor, Tensor]:
    shape = tf.shape(picture)[:2]
    window = choose_window(shape)
    return cut_window(picture, window), window, shape


def _ask(function: Callable[[bytes], Any], content: Tensor, dtype: tf.DType) -> Tensor:
    """What a function of `upright` says of a file. While Python runs, no other thread does."""
    return tf.numpy_function(
        lambda given: np.asarray(function(given), dtype.as_numpy_dtype),
        [content],
        dtype,
        stateful=False,
    )


def _is_plain_jpeg(content: Tensor) -> Tensor:
    """Whether this is a JPEG, not of CMYK, whose EXIF data need no look: it has none."""

    def plain_from(place: Tensor, skipped: int = 0) -> Tensor:
        marker = tf.strings.substr(content, place, 2)
        plain = tf.reduce_any(marker == _TABLES)
        if skipped == _MOST_SKIPPED:
            return plain

        def after() -> Tensor:
            length = tf.strings.substr(content, place + 2, 2)
            length = tf.io.decode_raw(length, tf.uint16, little_endian=False)[0]
            return plain_from(place + 2 + tf.cast(length, tf.int32), skipped + 1)

        return tf.cond(tf.reduce_any(marker == _NO_EXIF), after, lambda: plain)

    def plain() -> Tensor:
        # Nearly all begin with JFIF's segment, which is passed over without a condition.
        jfif = tf.strings.substr(content, 2, 4) == b"\xff\xe0\0\x10"
        has_plain_colours = tf.io.extract_jpeg_shape(content)[2] < 4
        return has_plain_colours & plain_from(tf.where(jfif, 20, 2))

    return tf.cond(tf.io.is_jpeg(content), plain, lambda: False)


def _shrinking(size: Tensor, least: Resolution | None) -> Tensor:
    """The number of one of `SHRINKS`, for a window of `size` (height, width) in a JPEG."""
    count = tf.reduce_prod(tf.cast(size, tf.int64))
    must = [count > upright.MOST_PIXELS * by**2 for by in upright.SHRINKS[:-1]]
    may = [tf.reduce_all(size >= by * np.asarray(least)) for by in upright.SHRINKS[1:] if least]
    return tf.reduce_max(
        [tf.reduce_sum(tf.cast(every, tf.int32)) for every in (must, may) if every]
    )


def _reversed(orientation: Tensor) -> Tensor:
    """Whether an upright picture has the file's rows, and columns, in reverse: bool (2,)."""
    return tf.stack(
        [_one_of(orientation, some) for some in (upright.ROWS_REVERSED, upright.COLUMNS_REVERSED)]
    )


def _one_of(orientation: Tensor, some: tuple[int, ...]) -> Tensor:
    return tf.reduce_any(orientation == some)


def _as_stored(window: Tensor, shape: Tensor, orientation: Tensor) -> Tensor:
    """Where a window of an upright picture of `shape` lies in its file: int32 (4,) both."""

    def found() -> Tensor:
        corner, size = window[:2], window[2:]
        corner = tf.where(_reversed(orientation), shape - corner - size, corner)
        there = tf.concat([corner, size], 0)
        lies = _one_of(orientation, upright.TRANSPOSED)
        return tf.where(lies, tf.gather(there, (1, 0, 3, 2)), there)

    return tf.cond(orientation == 1, lambda: window, found)


def _turned(pixels: Tensor, orientation: Tensor) -> Tensor:
    """(H, W, 3) as a file stores it, upright."""

    def turned() -> Tensor:
        lies = _one_of(orientation, upright.TRANSPOSED)
        there = tf.cond(lies, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
        return tf.raw_ops.Reverse(
            tensor=there, dims=tf.concat([_reversed(orientation), [False]], 0)
        )

    return tf.cond(orientation == 1, lambda: pixels, turned)


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
    size = tf.round(shape * (round(resolution * EVALUATION_MARGIN) / tf.reduce_min(shape)))
    corner = (tf.cast(size, tf.int32) - resolution) // 2
    # No more is made than is kept: of a picture of 4000 x 1 all would take gigabytes.
    centre = tf.raw_ops.ScaleAndTranslate(
        images=picture[None],
        size=(resolution, resolution),
        scale=size / shape,
        translation=-tf.cast(corner, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )
    return normalize(tf.ensure_shape(centre[0], (resolution, resolution, 3)))


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
