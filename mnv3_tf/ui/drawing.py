"""What a network says of a picture, drawn into it with Pillow.

Pictures are uint8 (H, W, 3), RGB, and so is what comes back. Lines and letters grow with the
picture.
"""

import functools
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mnv3_tf.ui.tables import percent

Colour = tuple[int, int, int]
Array = np.ndarray
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

OPACITY = 0.5
"""Of a mask over its picture."""

SMALLEST_LETTERS = 9
"""Height in pixels below which nobody reads."""

LEGEND_PART = (0.9, 0.6)
"""Of the picture's width and height, which a legend may take at most."""


@dataclass(frozen=True)
class Box:
    """`corners` are left, top, right, bottom in pixels."""

    text: str
    colour: Colour
    corners: tuple[float, float, float, float]


def boxes(picture: Array, found: Sequence[Box]) -> Array:
    """The picture with outlines and their texts; what comes first in `found` lies on top."""
    image = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(image), _font(_letters(picture))
    line = max(1, round(_side(picture) / 250))
    for box in reversed(found):
        draw.rectangle(box.corners, outline=box.colour, width=line)
    # After all outlines, so that none crosses a text.
    for box in reversed(found):
        _tag(draw, font, box, image.size, line)
    return np.asarray(image)


def mask(picture: Array, classes: Array, names: Sequence[str]) -> Array:
    """The picture with `classes` (H, W), indices into `names`, in colours, and a legend of them."""
    palette = colours(len(names))
    coloured = Image.fromarray(np.array(palette, np.uint8)[classes])
    mixed = Image.blend(Image.fromarray(picture), coloured, OPACITY)
    counts = np.bincount(classes.reshape(-1), minlength=len(names))
    entries = [
        (palette[i], f"{names[i]}  {percent(counts[i] / classes.size)}")
        for i in np.argsort(-counts, kind="stable")
        if counts[i]
    ]
    _legend(mixed, entries, _letters(picture))
    return np.asarray(mixed)


def caption(picture: Array, lines: Sequence[tuple[str, str]]) -> Array:
    """The picture on a strip with the lines, a text at the left and one at the right of each.

    The strip is as wide as the picture, or wider where the texts need it.
    """
    height, width = picture.shape[:2]
    size = max(12, _letters(picture))
    font, step = _font(size), round(size * 1.4)
    gap = size // 2
    needed = max((round(font.getlength(left + right)) for left, right in lines), default=0)
    total = max(width, needed + 4 * gap)
    image = Image.new("RGB", (total, height + step * len(lines) + 2 * gap), WHITE)
    image.paste(Image.fromarray(picture), ((total - width) // 2, 0))
    draw = ImageDraw.Draw(image)
    for number, (left, right) in enumerate(lines):
        top = height + gap + number * step
        draw.text((gap, top), left, BLACK, font)
        draw.text((total - gap, top), right, BLACK, font, anchor="ra")
    return np.asarray(image)


@functools.cache
def colours(count: int) -> tuple[Colour, ...]:
    """One for each class, the same in every picture; the first ones differ the most.

    Each is, of those that are neither pale nor dark, the farthest in CIELAB from all before it.
    Past a few hundred they repeat.
    """
    steps = np.linspace(0, 255, 9).round()
    rgb = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lab = _lab(rgb / 255)
    vivid = (lab[:, 0] > 40) & (lab[:, 0] < 90) & (np.hypot(lab[:, 1], lab[:, 2]) > 45)
    rgb, lab = rgb[vivid], lab[vivid]
    chosen = [int(np.argmax(rgb @ (1, -1, -1)))]  # the purest red
    distance = np.full(len(lab), np.inf)
    while len(chosen) < min(count, len(lab)):
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    found = [(int(r), int(g), int(b)) for r, g, b in rgb[chosen]]
    return tuple(found[i % len(found)] for i in range(count))


def _lab(rgb: Array) -> Array:
    """sRGB in [0, 1] to CIELAB, white point D65 (IEC 61966-2-1)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ (to_xyz / to_xyz.sum(1, keepdims=True)).T
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


# -- texts -----------------------------------------------------------------------------------


def _tag(draw: Any, font: Any, box: Box, size: tuple[int, int], line: int) -> None:
    """The text on the upper edge of its box: above it where there is room, else inside."""
    width = round(font.getlength(box.text)) + 2 * line + 2
    height = sum(font.getmetrics()) + line
    left = max(0, min(round(box.corners[0]), size[0] - width))
    top = round(box.corners[1]) - height
    if top < 0:
        top = max(0, min(round(box.corners[1]), size[1] - height))
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=box.colour)
    luminance = np.dot(box.colour, (0.299, 0.587, 0.114))
    ink = BLACK if luminance > 140 else WHITE
    draw.text((left + line + 1, top + line / 2), box.text, ink, font)


def _legend(image: Image.Image, entries: Sequence[tuple[Colour, str]], size: int) -> None:
    """In the lower left; letters shrink, and then the last entries go, where it would not fit."""
    most = [part * side for part, side in zip(LEGEND_PART, image.size, strict=True)]
    while True:
        font, step = _font(size), round(size * 1.4)
        gap = max(2, size // 2)
        rows = int((most[1] - 2 * gap) / step)
        shown: list[tuple[Colour | None, str]] = list(entries)
        if len(entries) > rows:
            shown = [*entries[: max(0, rows - 1)], (None, f"{len(entries) - rows + 1} more")]
        wide = max((font.getlength(text) for _, text in shown), default=0)
        width, height = round(wide) + size + 3 * gap, len(shown) * step + 2 * gap
        if len(shown) == len(entries) and width <= most[0]:
            break
        if size <= SMALLEST_LETTERS:
            if rows < 2 or width > most[0]:
                return  # a stamp of a picture, on which no word fits
            break
        size -= 1
    left, top = gap, image.size[1] - height - gap
    panel = image.crop((left, top, left + width, top + height)).point(lambda v: v * 0.3)
    image.paste(panel, (left, top))
    draw = ImageDraw.Draw(image)
    for number, (colour, text) in enumerate(shown):
        y = top + gap + number * step
        if colour:
            edge = left + gap, y + step * 0.1
            draw.rectangle((*edge, edge[0] + size, edge[1] + size), fill=colour)
        draw.text((left + 2 * gap + size, y), text, WHITE, font)


def _letters(picture: Array) -> int:
    """The size of letters, in pixels."""
    return max(SMALLEST_LETTERS, round(_side(picture) / 36))


def _side(picture: Array) -> float:
    """Of the square that is as large as the picture."""
    return math.sqrt(picture.shape[0] * picture.shape[1])


@functools.cache
def _font(size: int) -> Any:
    """Of matplotlib's files, as in figures: it has Greek and Cyrillic. Pillow's own else."""
    found = importlib.util.find_spec("matplotlib")
    folder = Path(found.origin).parent if found and found.origin else Path()
    try:
        return ImageFont.truetype(folder / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)
