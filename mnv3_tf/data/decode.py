"""From encoded bytes to upright pictures inside of pipelines, and what evaluation does to them.

What a picture is, `mnv3_tf.upright` says, and Pillow reads it there. Here TensorFlow reads JPEG and
PNG, which gives the same pixels faster, and of a JPEG no more than is wanted.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from mnv3_tf import upright
from mnv3_tf.tasks.specs import EVALUATION_MARGIN, Resolution

Tensor = Any

_PLAIN_JPEG = (
    r"(?s)\xFF\xD8"
    r"\xFF\xE0\x00\x10.{14}"  # JFIF without a thumbnail
    r"(\xFF\xFE\x00[^\xFF]*)?"  # a comment
    r"\xFF\xDB.*"  # tables, after which come no metadata
)

RESIZES = ("resize256_crop", "resize")


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

    def plain() -> tuple[Tensor, Tensor, Tensor]:
        shape = tf.io.extract_jpeg_shape(content)[:2]
        window = choose_window(shape)
        return _jpeg_window(content, window, _shrinking(window[2:], least), method), window, shape

    # Inlined it would cost the plain ones time: TensorFlow passes through what it does not take.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def looked_at() -> tuple[Tensor, Tensor, Tensor]:
        looked = tf.ensure_shape(_ask(upright.look, tf.int32, content), (3,))
        shape, reader = looked[:2], looked[2]
        window = tf.ensure_shape(choose_window(shape), (4,))
        shrinking = _shrinking(window[2:], least)
        readers = {
            "Pillow": lambda: _ask(
                upright.pixels, tf.uint8, content, window, tf.gather(upright.SHRINKS, shrinking)
            ),
            "JPEG": lambda: _jpeg_window(content, window, shrinking, method),
            "PNG": lambda: cut_window(tf.io.decode_png(content, channels=3), window),
        }
        pixels = tf.switch_case(reader, [readers[name] for name in upright.READERS])
        return pixels, window, shape

    pixels, window, shape = tf.cond(_is_plain_jpeg(content), plain, looked_at)
    return tf.ensure_shape(pixels, (None, None, 3)), window, shape


def _cut(picture: Tensor, choose_window: Any) -> tuple[Tensor, Tensor, Tensor]:
    shape = tf.shape(picture)[:2]
    window = choose_window(shape)
    return cut_window(picture, window), window, shape


def _jpeg_window(content: Tensor, window: Tensor, shrinking: Tensor, method: str) -> Tensor:
    def shrunk(by: int) -> Tensor:
        return tf.image.decode_and_crop_jpeg(
            content, window // by, channels=3, ratio=by, dct_method=method
        )

    return tf.switch_case(shrinking, [partial(shrunk, by) for by in upright.SHRINKS])


def _is_plain_jpeg(content: Tensor) -> Tensor:
    """Whether this is a JPEG that surely has no EXIF data: JFIF's head, maybe a comment, tables.

    Others are looked at by Python, which takes ten times as long.
    """
    # Regular expressions are of characters: each byte becomes one.
    start = tf.strings.unicode_transcode(
        tf.strings.substr(content, 0, 128), "ISO-8859-1", "UTF-8", errors="replace"
    )
    return tf.strings.regex_full_match(start, _PLAIN_JPEG)


def _ask(function: Callable[..., Any], dtype: tf.DType, content: Tensor, *others: Tensor) -> Tensor:
    """What a function of `upright` says of a file."""

    def answer(given: Any, *arguments: Any) -> np.ndarray:
        whole = np.asarray(given, object).item()  # eagerly it comes in an array
        return np.asarray(function(whole, *arguments), dtype.as_numpy_dtype)

    return tf.numpy_function(answer, [content, *others], dtype, stateful=False)


def _shrinking(size: Tensor, least: Resolution | None) -> Tensor:
    """The number of one of `SHRINKS`, for a window of `size` (height, width) in a JPEG."""
    by = np.array(upright.SHRINKS[1:])
    # Half of it would be too many pixels.
    shrinks = tf.reduce_prod(tf.cast(size, tf.int64)) > upright.MOST_PIXELS * (by // 2) ** 2
    if least is not None:
        enough = by[:, np.newaxis] * np.broadcast_to(least, 2)
        shrinks |= tf.reduce_all(size >= enough.astype(np.int32), 1)
    return tf.reduce_sum(tf.cast(shrinks, tf.int32))


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
