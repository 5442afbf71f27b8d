"""`shapes`: ten kinds of figures on textured grounds, drawn from a seed.

Picture `index` of a split is a pure function of (seed, split, index). Colours, places, angles,
areas and grounds are drawn without regard to the class, so that only the outline tells it. The
figures are signed distance functions (after Inigo Quilez, "2D distance functions"), which makes
anti-aliasing a matter of one clip. Needs numpy alone.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Distance = Callable[[Array, Array], Array]
"""Signed distance of the points (x, y) to an outline: negative inside, y pointing down."""

SPLITS = {"train": 6000, "val": 1000}
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

LARGEST_SIDE = 128
"""Larger resolutions are interpolated from pictures of this side, which bounds the memory."""

LARGEST_TURN = np.pi / 4
"""Figures stand upright or are turned by up to this angle, either way."""

SIZES = (0.3, 0.48)
"""Square root of a figure's area, where it is alone; the side of the picture is 1."""


@dataclass(frozen=True)
class Picture:
    """`image` uint8 (H, W, 3); for each figure, farthest first, a row of `labels` int32 (K,) and
    `boxes` float32 (K, 4), ymin, xmin, ymax, xmax in [0, 1]; `mask` uint8 (H, W) has 0 for the
    ground and 1 + label of the nearest figure.
    """

    image: Array
    labels: Array
    boxes: Array
    mask: Array


def _disc(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 1


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.76) - 0.24


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 1


def _triangle(x: Array, y: Array) -> Array:
    # Equilateral: half-planes at distance 0.5 from the centre.
    return np.maximum(np.abs(x) * (3**0.5 / 2) - y * 0.5, y) - 0.5


def _cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - 1, y - 0.3), np.maximum(x - 0.3, y - 1))


def _star(x: Array, y: Array) -> Array:
    # Folded to one of ten half-points, which is a half-plane through a tip and a notch.
    angle = np.arctan2(x, -y)
    sector = 2 * np.pi / 5
    angle = np.abs(angle - sector * np.round(angle / sector))
    radius = np.hypot(x, y)
    px, py = radius * np.cos(angle), radius * np.sin(angle)
    notch = 0.42
    nx, ny = notch * np.cos(sector / 2), notch * np.sin(sector / 2)
    ex, ey = nx - 1, ny
    return (ey * (px - 1) - ex * py) / np.hypot(ex, ey)


def _heart(x: Array, y: Array) -> Array:
    x, y = np.abs(x), 0.62 - y
    lobe = np.hypot(x - 0.25, y - 0.75) - 0.25 * 2**0.5
    half = 0.5 * np.maximum(x + y, 0)
    point = np.minimum(np.hypot(x, y - 1), np.hypot(x - half, y - half)) * np.sign(x - y)
    return np.where(x + y > 1, lobe, point)


def _crescent(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y) - 1, 0.8 - np.hypot(x - 0.5, y))


def _arrow(x: Array, y: Array) -> Array:
    x = np.abs(x)
    shaft = np.maximum(x - 0.2, np.abs(y - 0.35) - 0.65)
    slope = 0.75
    head = np.maximum((x - slope * (y + 1)) / np.hypot(1, slope), y + 0.05)
    return np.minimum(shaft, head)


def _flower(x: Array, y: Array) -> Array:
    angle = np.arctan2(y, x)
    sector = 2 * np.pi / 6
    angle -= sector * np.round(angle / sector)
    radius = np.hypot(x, y)
    petal = np.hypot(radius * np.cos(angle) - 0.68, radius * np.sin(angle)) - 0.32
    return np.minimum(petal, radius - 0.55)


FIGURES: dict[str, Distance] = {
    "arrow": _arrow,
    "crescent": _crescent,
    "cross": _cross,
    "disc": _disc,
    "flower": _flower,
    "heart": _heart,
    "ring": _ring,
    "square": _square,
    "star": _star,
    "triangle": _triangle,
}
CLASS_NAMES = tuple(FIGURES)


@functools.cache
def _unit_frame(label: int) -> tuple[float, float, float, float]:
    """Scale, centre x, centre y and radius that give a figure unit area about its centroid."""
    axis = np.linspace(-1.5, 1.5, 601)
    x, y = np.meshgrid(axis, axis)
    inside = FIGURES[CLASS_NAMES[label]](x, y) < 0
    scale = float(np.sqrt(inside.sum() * (axis[1] - axis[0]) ** 2))
    cx, cy = float(x[inside].mean()), float(y[inside].mean())
    radius = float(np.hypot(x[inside] - cx, y[inside] - cy).max()) / scale
    return scale, cx, cy, radius


def draw(labels: Sequence[int], resolution: int, rng: np.random.Generator) -> Picture:
    """One picture with a figure of each of `labels`, the first the farthest.

    Figures after the first may cover those before them; a figure's box is that of its whole
    outline, its mask what is left to see.
    """
    image = _ground(resolution, rng)
    for _ in range(rng.integers(0, 4)):
        _paint_distractor(image, rng)
    boxes, mask = [], np.zeros((resolution, resolution), np.uint8)
    for label in labels:
        boxes.append(_paint_figure(image, mask, label, rng, alone=len(labels) == 1))
    for _ in range(rng.integers(0, 2)):
        _paint_thread(image, rng)
    image = _light(image, rng)
    # Noise comes last: it takes as many draws as there are pixels, and nothing else may depend
    # on the resolution.
    image += _noise(image.shape, rng, strength=rng.uniform(0, 0.06))
    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Picture(pixels, np.asarray(labels, np.int32), np.array(boxes, np.float32), mask)


@functools.cache
def _axis(resolution: int) -> Array:
    """Pixel centres in [0, 1]."""
    return ((np.arange(resolution) + 0.5) / resolution).astype(np.float32)


@functools.cache
def _between_cells(resolution: int, cells: int) -> tuple[Array, Array]:
    """For each pixel, the grid point before it and a smooth weight of the one after, (N,)."""
    before, part = np.divmod(_axis(resolution) * (cells - 1), 1)
    return before.astype(int), (part * part * (3 - 2 * part)).astype(np.float32)


def _clouds(resolution: int, cells: int, rng: np.random.Generator) -> Array:
    """Smooth noise, (H, W), in [-1, 1]."""
    grid = rng.random((cells, cells), np.float32) * 2 - 1
    before, part = _between_cells(resolution, cells)
    # Not as a matrix product: BLAS would start threads for it and lose more than it gains.
    rows = grid[before] + part[:, None] * (grid[before + 1] - grid[before])
    left = rows[:, before]
    return left + part * (rows[:, before + 1] - left)


def _noise(shape: tuple[int, ...], rng: np.random.Generator, strength: float) -> Array:
    """Triangular noise of a standard deviation of `strength`."""
    count = int(np.prod(shape))
    draws = np.frombuffer(rng.bytes(2 * count), np.uint8).reshape(2, *shape).astype(np.float32)
    return (draws[0] - draws[1]) * (strength * 6**0.5 / 255)


def _color(rng: np.random.Generator) -> Array:
    """RGB in [0, 1]: any lightness, seldom grey."""
    color = rng.random(3)
    gray = color.mean()
    return np.clip(gray + (color - gray) * rng.uniform(0.4, 1.2), 0, 1).astype(np.float32)


def _color_apart(ground: Array, rng: np.random.Generator, apart: float) -> Array:
    """A colour whose luma is at least `apart` (up to 0.4) from that of `ground`."""
    lightness = float(ground @ LUMA)
    # In proportion to the room on either side, darker or lighter.
    darker, lighter = max(lightness - apart - 0.05, 0), max(0.95 - lightness - apart, 0)
    at = rng.random() * (darker + lighter)
    target = 0.05 + at if at < darker else lightness + apart + at - darker
    color = _color(rng)
    luma = float(color @ LUMA)
    if target <= luma:
        return color * np.float32(target / luma)
    return 1 - (1 - color) * np.float32((1 - target) / (1 - luma))


def _ground(resolution: int, rng: np.random.Generator) -> Array:
    """A gradient between two related colours, clouds, and on every second picture stripes."""
    base = _color(rng)
    other = np.clip(base + rng.normal(0, 0.12, 3), 0, 1).astype(np.float32)
    axis = _axis(resolution)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (axis - 0.5) * np.float32(np.cos(angle)) + (axis[:, None] - 0.5) * np.float32(
        np.sin(angle)
    )
    blend = ramp + 0.5 + _clouds(resolution, int(rng.integers(3, 7)), rng) * 0.4
    if rng.random() < 0.5:
        frequency, turn = rng.uniform(4, 14), rng.uniform(0, 2 * np.pi)
        kx = np.float32(2 * np.pi * frequency * np.cos(turn))
        ky = np.float32(2 * np.pi * frequency * np.sin(turn))
        blend += np.float32(rng.uniform(0.1, 0.5)) * np.sin(axis * kx + axis[:, None] * ky)
    image = base + blend[..., None] * (other - base)
    grain = _clouds(resolution, int(rng.integers(8, 20)), rng)
    image += grain[..., None] * np.float32(rng.uniform(0.0, 0.12))
    return image


def _paint(image: Array, coverage: Array, color: Array, window: tuple[slice, slice]) -> None:
    part = image[window]
    part += coverage[..., None] * (color - part)


def _window(resolution: int, cx: float, cy: float, reach: float) -> tuple[slice, slice]:
    low = np.clip(np.floor((np.array([cy, cx]) - reach) * resolution), 0, resolution).astype(int)
    high = np.clip(np.ceil((np.array([cy, cx]) + reach) * resolution), 0, resolution).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1])


def _local(
    resolution: int, window: tuple[slice, slice], cx: float, cy: float, angle: float
) -> tuple[Array, Array]:
    """Pixel centres of a window, about (cx, cy) and turned by `angle`."""
    axis = _axis(resolution)
    dx, dy = axis[window[1]] - np.float32(cx), (axis[window[0]] - np.float32(cy))[:, None]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return dx * cos + dy * sin, dy * cos - dx * sin


def _paint_distractor(image: Array, rng: np.random.Generator) -> None:
    """A soft blob, a bar or an arc: nothing that could be one of the ten."""
    resolution = len(image)
    cx, cy, angle = rng.random(), rng.random(), rng.uniform(0, 2 * np.pi)
    kind = rng.random()
    if kind < 0.35:
        long = rng.uniform(0.1, 0.2)
        wide = long / rng.uniform(2.2, 4)
        window = _window(resolution, cx, cy, long * 1.4)
        x, y = _local(resolution, window, cx, cy, angle)
        coverage = np.clip(1.2 - np.hypot(x / long, y / wide), 0, 0.8)
    elif kind < 0.75:
        long, wide = rng.uniform(0.06, 0.2), rng.uniform(0.008, 0.025)
        window = _window(resolution, cx, cy, long + wide)
        x, y = _local(resolution, window, cx, cy, angle)
        distance = np.hypot(np.maximum(np.abs(x) - np.float32(long), 0), y) - np.float32(wide)
        coverage = np.clip(0.5 - distance * resolution, 0, 1)
    else:
        radius, wide = rng.uniform(0.08, 0.2), rng.uniform(0.008, 0.02)
        window = _window(resolution, cx, cy, radius + wide)
        x, y = _local(resolution, window, cx, cy, angle)
        distance = np.abs(np.hypot(x, y) - np.float32(radius)) - np.float32(wide)
        # Less than half of the circle.
        opening = np.float32(rng.uniform(0.1, 0.7) * radius) - y
        coverage = np.clip(0.5 - np.maximum(distance, opening) * resolution, 0, 1)
    _paint(image, coverage, _color(rng), window)


def _paint_thread(image: Array, rng: np.random.Generator) -> None:
    """A thin line across everything."""
    resolution = len(image)
    cx, cy, angle = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0, 2 * np.pi)
    long, wide = rng.uniform(0.1, 0.4), rng.uniform(0.003, 0.008)
    window = _window(resolution, cx, cy, long)
    x, y = _local(resolution, window, cx, cy, angle)
    distance = np.maximum(np.abs(x) - np.float32(long), np.abs(y) - np.float32(wide))
    _paint(image, np.clip(0.5 - distance * resolution, 0, 1), _color(rng), window)


def _paint_figure(
    image: Array, mask: Array, label: int, rng: np.random.Generator, alone: bool
) -> tuple[float, float, float, float]:
    """Paints a figure on image and mask; returns its box, (ymin, xmin, ymax, xmax) in [0, 1]."""
    resolution = len(image)
    unit, ux, uy, unit_radius = _unit_frame(label)
    # The square root of the area, the same for every class.
    size = rng.uniform(*SIZES) if alone else rng.uniform(0.16, 0.3)
    radius = size * unit_radius
    # Of the size alone, so that the place does not tell the class; tips may leave the picture.
    margin = size * 0.8
    cx, cy = rng.uniform(margin, 1 - margin, 2)
    angle = rng.uniform(-LARGEST_TURN, LARGEST_TURN)
    window = _window(resolution, cx, cy, radius + 1.5 / resolution)
    x, y = _local(resolution, window, cx, cy, angle)
    scale = size / unit
    distance = FIGURES[CLASS_NAMES[label]](
        x / np.float32(scale) + np.float32(ux), y / np.float32(scale) + np.float32(uy)
    )
    coverage = np.clip(0.5 - distance * np.float32(scale * resolution), 0, 1)
    inside = coverage >= 0.5
    color = _color_apart(image[window].mean((0, 1)), rng, rng.uniform(0.15, 0.35))
    texture = _clouds(resolution, 5, rng)[window] * np.float32(rng.uniform(0, 0.15))
    _paint(image, coverage, color + texture[..., None], window)
    mask[window][inside] = label + 1
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    top, left = window[0].start, window[1].start
    return (
        (top + rows[0]) / resolution,
        (left + columns[0]) / resolution,
        (top + rows[-1] + 1) / resolution,
        (left + columns[-1] + 1) / resolution,
    )


def _light(image: Array, rng: np.random.Generator) -> Array:
    """Light that falls off to one side, and an exposure."""
    axis = _axis(len(image)) - 0.5
    turn = rng.uniform(0, 2 * np.pi)
    fall = axis * np.float32(np.cos(turn)) + axis[:, None] * np.float32(np.sin(turn))
    light = np.float32(rng.uniform(0.75, 1.15)) + fall * np.float32(rng.uniform(0, 0.5))
    return image * light[..., None]


def picture(seed: int, split: str, index: int, resolution: int, figures: int = 1) -> Picture:
    """Picture `index` of a split; classes take turns, so that every split is balanced."""
    rng = np.random.default_rng([seed, list(SPLITS).index(split), index])
    labels = [index % len(CLASS_NAMES)]
    labels += rng.integers(0, len(CLASS_NAMES), figures - 1).tolist()
    return draw(labels, resolution, rng)


def images_and_labels(seed: int, split: str, count: int, resolution: int) -> tuple[Array, Array]:
    """The first `count` pictures of a split: uint8 (N, H, W, 3) and int32 (N,)."""
    images = np.empty((count, resolution, resolution, 3), np.uint8)
    for index in range(count):
        images[index] = picture(seed, split, index, resolution).image
    return images, np.arange(count, dtype=np.int32) % len(CLASS_NAMES)
