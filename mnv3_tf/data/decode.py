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
from mnv3_tf.networks.pixels import EVALUATION_MARGIN, View
from mnv3_tf.tasks.specs import Resolution

Tensor = Any

_JFIF, _ADOBE = r"\xFF\xE0\x00\x10.{14}", r"\xFF\xEE\x00\x0E.{12}"
_COMMENT, _TABLES = r"\xFF\xFE\x00[^\xFF]*", r"\xFF\xDB"
_PLAIN_JPEG = (
    rf"(?s)\xFF\xD8({_JFIF}({_COMMENT})?({_ADOBE})?|{_ADOBE}|"
    rf"{upright.LOOKED_AT.decode('latin-1')}){_TABLES}.*"
)
"""Its first bytes: what tells the colours, and no metadata before the first tables.

JFIF's segment has no thumbnail; of four channels there is Adobe's.
"""


def decode(content: Tensor) -> Tensor:
    """Encoded bytes (a string scalar) to the upright picture, uint8 (H, W, 3), RGB."""
    return decode_window(content, lambda shape: tf.concat([[0, 0], shape], 0), None)


def decode_window(content: Tensor, choose_window: Any, least: Resolution | None) -> Tensor:
    """The window of a picture that `choose_window` picks, uint8 (h, w, 3).

    `choose_window` takes the upright picture's (height, width), int32 (2,), and returns int32 (4,):
    top, left, height, width. Of a JPEG only the window is decoded, and at a half, a fourth or an
    eighth of its size where that has still `least` pixels, or it has more than
    `upright.MOST_PIXELS`. A uint8 (H, W, 3) `content` is a picture already.
    """
    return decode_placed_window(content, choose_window, least)[0]


def decode_placed_window(
    content: Tensor, choose_window: Any, least: Resolution | None
) -> tuple[Tensor, Tensor, Tensor]:
    """What `decode_window` gives; then the window in pixels, and the picture's (height, width).

    For targets that have to follow the picture: int32 (4,) and int32 (2,), both before any
    shrinking.
    """
    if content.dtype != tf.string:
        return _cut(content, choose_window)

    def plain() -> tuple[Tensor, Tensor, Tensor]:
        shape = tf.io.extract_jpeg_shape(content)[:2]
        window = choose_window(shape)
        return (
            _decode_jpeg(content, window, _shrinking(window[2:], least, JPEG_SIDE)),
            window,
            shape,
        )

    def looked_at() -> tuple[Tensor, Tensor, Tensor]:
        looked = tf.ensure_shape(_ask(upright.look, tf.int32, content), (3,))
        shape, reader = looked[:2], looked[2]
        window = tf.ensure_shape(choose_window(shape), (4,))
        shrinking = _shrinking(window[2:], least)

        def by_pillow() -> Tensor:
            shrink = tf.gather(upright.SHRINKS, shrinking)
            return _ask(upright.pixels, tf.uint8, content, window, shrink)

        def jpeg() -> Tensor:
            stored = _as_stored(window, shape, reader)
            return _turned(_decode_jpeg(content, stored, shrinking), reader)

        def png() -> Tensor:
            return cut_window(tf.io.decode_png(content, channels=3), window)

        way = tf.where(reader == upright.PILLOW, 0, tf.where(reader == upright.PNG, 1, 2))
        ways = [by_pillow, png, jpeg]
        return tf.switch_case(way, ways), window, shape

    pixels, window, shape = tf.cond(_is_plain_jpeg(content), plain, _apart(looked_at))
    return tf.ensure_shape(pixels, (None, None, 3)), window, shape


def _apart(branch: Callable[[], Any]) -> Callable[[], Any]:
    """A branch that costs those that do not take it nothing; TensorFlow inlines others."""
    if tf.executing_eagerly():
        return branch
    return tf.function(branch, autograph=False, experimental_attributes={"_noinline": True})


def _cut(picture: Tensor, choose_window: Any) -> tuple[Tensor, Tensor, Tensor]:
    shape = tf.shape(picture)[:2]
    window = choose_window(shape)
    return cut_window(picture, window), window, shape


def _decode_jpeg(content: Tensor, window: Tensor, shrinking: Tensor) -> Tensor:
    """A window, as the file stores it, at the number `shrinking` of `SHRINKS`."""

    def at(by: int) -> Tensor:
        # Pillow decodes as accurately.
        return tf.image.decode_and_crop_jpeg(
            content, window // by, channels=3, ratio=by, dct_method="INTEGER_ACCURATE"
        )

    ways = [partial(at, by) for by in upright.SHRINKS]
    return tf.switch_case(shrinking, ways)


def _as_stored(window: Tensor, shape: Tensor, orientation: Tensor) -> Tensor:
    """Where a window of an upright picture of `shape` lies in its file: int32 (4,) both."""
    corner, size = window[:2], window[2:]
    corner = tf.where(_reversed(orientation), shape - corner - size, corner)
    there = tf.concat([corner, size], 0)
    lies = _one_of(orientation, upright.TRANSPOSED)
    return tf.where(lies, tf.gather(there, (1, 0, 3, 2)), there)


def _turned(pixels: Tensor, orientation: Tensor) -> Tensor:
    """(H, W, 3) as a file stores it, upright."""
    lies = _one_of(orientation, upright.TRANSPOSED)
    stands = tf.cond(lies, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    return tf.raw_ops.Reverse(tensor=stands, dims=tf.concat([_reversed(orientation), [False]], 0))


def _reversed(orientation: Tensor) -> Tensor:
    """Whether an upright picture has the file's rows, and columns, in reverse: bool (2,)."""
    sides = upright.ROWS_REVERSED, upright.COLUMNS_REVERSED
    return tf.stack([_one_of(orientation, some) for some in sides])


def _one_of(orientation: Tensor, some: tuple[int, ...]) -> Tensor:
    return tf.reduce_any(orientation == some)


def _is_plain_jpeg(content: Tensor) -> Tensor:
    """Whether this is a JPEG that surely stands upright, without EXIF data.

    What is not so plain is looked at by Python, which takes a tenth of a millisecond.
    """
    # Regular expressions are of characters: each byte becomes one.
    start = tf.strings.unicode_transcode(
        tf.strings.substr(content, 0, 96), "ISO-8859-1", "UTF-8", errors="replace"
    )
    return tf.strings.regex_full_match(start, _PLAIN_JPEG)


def _ask(function: Callable[..., Any], dtype: tf.DType, content: Tensor, *others: Tensor) -> Tensor:
    """What a function of `upright` says of a file."""

    def answer(given: Any, *arguments: Any) -> np.ndarray:
        whole = np.asarray(given, object).item()  # eagerly it comes in an array
        return np.asarray(function(whole, *arguments), dtype.as_numpy_dtype)

    return tf.numpy_function(answer, [content, *others], dtype, stateful=False)


JPEG_SIDE = 65535
"""The longest that the format can say."""


def _shrinking(size: Tensor, least: Resolution | None, longest: int | None = None) -> Tensor:
    """The number of one of `SHRINKS`, for a window of `size` (height, width) in a JPEG.

    Of one whose sides are at most `longest`.
    """
    by = np.array(upright.SHRINKS[1:])
    enough = None
    if least is not None:
        enough = by[:, np.newaxis] * np.broadcast_to(least, 2)
        shrinks = tf.reduce_all(size >= enough.astype(np.int32), 1)
        # With a side below that, no other is long enough to make it too many pixels.
        if longest and np.all(longest * enough.max(1) <= upright.MOST_PIXELS * (by // 2) ** 2):
            return tf.reduce_sum(tf.cast(shrinks, tf.int32))
    # Half of it would be too many pixels.
    many = tf.reduce_prod(tf.cast(size, tf.int64)) > upright.MOST_PIXELS * (by // 2) ** 2
    shrinks = many if enough is None else many | shrinks
    return tf.reduce_sum(tf.cast(shrinks, tf.int32))


def cut_window(picture: Tensor, window: Tensor) -> Tensor:
    """The window, int32 (4,) top, left, height, width, of (H, W, C) or (H, W)."""
    top, left, height, width = tf.unstack(window)
    return picture[top : top + height, left : left + width]


def normalize(picture: Tensor) -> Tensor:
    """0..255 to float32 in [-1, 1]."""
    return tf.cast(picture, tf.float32) / 127.5 - 1.0


def evaluation_view(picture: Tensor, resolution: int, view: View = "crop") -> Tensor:
    """uint8 (H, W, 3) to float32 (resolution, resolution, 3) in [-1, 1]."""
    if view == "whole":
        size = (resolution, resolution)
        return normalize(tf.raw_ops.ResizeBilinear(images=picture[None], size=size)[0])
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
