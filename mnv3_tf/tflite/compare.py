"""Two .tflite files of the same network on the same pictures: where does one lose precision?

Any two files that can be matched layer by layer will do, such as float and int8, or the int8
files of two methods; neither needs to be ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.tflite.loading import check_loads
from mnv3_tf.tflite.numeric_error import decibels, divergences, softmax
from mnv3_tf.tflite.reading import AS_IT_SAYS, Reading
from mnv3_tf.tflite.reports import Comparison, LayerRow
from mnv3_tf.tflite.tensors import KEEP_VALUES, LayerTensor, LayerTensors, counted
from mnv3_tf.ui import figures

EXACT_DB = 60.0  # what quantisation never reaches
FEWEST_VALUES = 8  # of a channel, to estimate a gain of its own from


@dataclass
class Moments:
    """Sums over pictures and positions, by channel: of reference^2, of both's product, of file^2.

    All (C,) float64; `count` values went into each.
    """

    reference: Any = 0.0
    product: Any = 0.0
    file: Any = 0.0
    count: int = 0

    def add(self, reference: np.ndarray, file: np.ndarray) -> None:
        """Values of one picture, the channels last."""
        x = reference.reshape(-1, reference.shape[-1]).astype(np.float64)
        y = file.reshape(x.shape).astype(np.float64)
        self.reference = self.reference + np.einsum("nc,nc->c", x, x)
        self.product = self.product + np.einsum("nc,nc->c", x, y)
        self.file = self.file + np.einsum("nc,nc->c", y, y)
        self.count += len(x)

    @property
    def gain(self) -> float | None:
        """The file's tensor is about this many times the reference's; None of a zero tensor."""
        power = float(np.sum(self.reference))
        return float(np.sum(self.product)) / power if power > 0 else None

    def sqnr_db(self, per_channel: bool) -> float:
        """Signal to noise, where noise is what the file's tensor, scaled at best, leaves unsaid.

        The scale is one for the tensor, or one for each channel.
        """
        reference, product, file = self.reference, self.product, self.file
        correction = 1.0
        if per_channel and self.count >= FEWEST_VALUES:
            # A gain fits itself to the noise a little: it takes one degree of freedom of many.
            correction = self.count / (self.count - 1)
        else:
            reference, product, file = (
                np.sum(m, keepdims=True) for m in (reference, product, file)
            )
        explained = np.divide(product**2, file, out=np.zeros_like(file), where=file > 0)
        noise = np.maximum(reference - explained, 0).sum() * correction
        return decibels(float(reference.sum()), float(noise))


def open_pair(
    reference: str | Path, path: str | Path, reading: Reading = AS_IT_SAYS
) -> tuple[LayerTensors, LayerTensors]:
    """Both files, ready for `compare`; `reading` says of both what they do not.

    Raises UserError for a file that does not load, or files that do not take the same pictures.
    """
    for name in (reference, path):
        check_loads(name, delegate=False, input_shape=reading.input_shape)
    first, second = LayerTensors(reference, reading), LayerTensors(path, reading)
    for file in (first, second):
        height, width = file.picture.image_size
        if height != width:
            raise UserError(
                f"{file.path} takes pictures of {height} x {width} pixels, which are not square; "
                "only classifiers of square ones can be compared."
            )
    (side, _), (other, _) = first.picture.image_size, second.picture.image_size
    if side != other:
        raise UserError(
            f"{path} takes pictures of {other} pixels and {reference} of {side}; compare files of "
            "one resolution."
        )
    return first, second


def compare(
    reference: LayerTensors, file: LayerTensors, images: np.ndarray, per_channel: bool = True
) -> Comparison:
    """The signal-to-noise ratio of each layer of `file` against the same layer of `reference`.

    Args:
      reference: best a float file.
      file: the file in question, which takes the same pictures.
      images: (N, H, W, 3) in [-1, 1].
      per_channel: the lowered forms of a network differ by gains that the next kernel takes out
        again: 6 or 36 of a whole tensor, or one for each channel where a layer was equalised.
        Noise is what remains after the best such gains. With a gain for each channel, one that
        really is too large or too small does not show in its own layer. It does in the next
        convolution that mixes channels, so that nothing is lost; one gain for a tensor would
        give false alarm over every equalised layer instead. What a channel lacks altogether
        counts as noise either way.

    More than EXACT_DB counts as exact. What a h-swish that follows erases, below -3, is left out.

    Raises:
      UserError: the files have no layer in common.
    """
    layers = [layer for layer in file.layers if layer.op not in KEEP_VALUES]
    pairs = match_layers(reference.layers, layers)
    if not pairs:
        raise UserError(
            f"{file.path} and {reference.path} have no layer in common by name and shape "
            f"({_some_names(file)} and {_some_names(reference)}); compare files of one network."
        )
    names = {layer.name for layer in reference.layers}
    moments = [Moments() for _ in pairs]
    wanted, given = [], []
    for image in images:
        wanted.append(reference.run(image))
        given.append(file.run(image))
        for (before, after), moment in zip(pairs, moments, strict=True):
            value = reference.value(before)
            mask = counted(before.name, names, value)
            moment.add(value * mask, file.value(after).reshape(value.shape) * mask)
    matched = {after.name for _, after in pairs}
    same, divergence = _answers(reference, file, np.stack(wanted), np.stack(given))
    return {
        "images": len(images),
        "per_channel": per_channel,
        "layers": _rows(file, pairs, moments, per_channel),
        "unmatched": [layer.name for layer in layers if layer.name not in matched],
        "agreement": same,
        "divergence": divergence,
    }


def noise(count: int, side: int) -> np.ndarray:
    """(count, side, side, 3) in [-1, 1]: noise on gradients, always the same."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(-1, 1, (count, 2, 2, 3))
    ramp = np.linspace(0, 1, side)
    weights = np.stack([1 - ramp, ramp], -1)
    ground = np.einsum("yi,xj,nijc->nyxc", weights, weights, corners)
    return np.clip(ground + rng.normal(0, 0.2, ground.shape), -1, 1).astype(np.float32)


def match_layers(
    reference: Sequence[LayerTensor], file: Sequence[LayerTensor]
) -> list[tuple[LayerTensor, LayerTensor]]:
    """Pairs of tensors of the same layer, in the running order of `file`.

    First by name, then, of those that are left over, by any of their aliases. Shapes must be the
    same but for sides of 1.
    """
    partner: dict[str, LayerTensor] = {}
    by_name = {layer.name: layer for layer in reference}
    for layer in file:
        other = by_name.get(layer.name)
        if other and _shape(other) == _shape(layer):
            partner[layer.name] = other
    taken = {other.name for other in partner.values()}
    by_alias: dict[str, LayerTensor] = {}
    for layer in reference:
        if layer.name not in taken:
            by_alias.update(dict.fromkeys((layer.name, *layer.aliases), layer))
    for layer in file:
        if layer.name in partner:
            continue
        for alias in (layer.name, *layer.aliases):
            other = by_alias.get(alias)
            if other and other.name not in taken and _shape(other) == _shape(layer):
                partner[layer.name] = other
                taken.add(other.name)
                break
    return [(partner[layer.name], layer) for layer in file if layer.name in partner]


def worst_layers(rows: Sequence[LayerRow], count: int) -> list[LayerRow]:
    """The `count` layers with the lowest ratio, the lowest first."""
    return sorted(rows, key=lambda row: row["sqnr_db"])[:count]


def largest_drops(rows: Sequence[LayerRow], count: int) -> list[LayerRow]:
    """The `count` layers that lose most against what they read, the largest loss first."""
    losing = [row for row in rows if _drop(row) > 0]
    return sorted(losing, key=_drop, reverse=True)[:count]


def _drop(row: LayerRow) -> float:
    return row["drop_db"] or 0.0


def _rows(
    file: LayerTensors,
    pairs: Sequence[tuple[LayerTensor, LayerTensor]],
    moments: Sequence[Moments],
    per_channel: bool,
) -> list[LayerRow]:
    levels = {
        layer.index: moment.sqnr_db(per_channel)
        for (_, layer), moment in zip(pairs, moments, strict=True)
    }
    order = {layer.name: number for number, layer in enumerate(file.layers)}
    rows: list[LayerRow] = []
    for (_, layer), moment in zip(pairs, moments, strict=True):
        level = levels[layer.index]
        before = [min(levels[source], EXACT_DB) for source in file.sources(layer, levels)]
        rows.append(
            {
                "index": order[layer.name],
                "name": layer.name,
                "op": layer.op,
                "sqnr_db": level,
                "sqnr_db_one_gain": moment.sqnr_db(per_channel=False),
                "gain": moment.gain,
                "drop_db": round(min(before) - min(level, EXACT_DB), 1) if before else None,
            }
        )
    return rows


def _answers(
    reference: LayerTensors, file: LayerTensors, wanted: np.ndarray, given: np.ndarray
) -> tuple[float | None, float | None]:
    """Agreement and divergence."""
    if wanted.shape != given.shape:
        return None, None
    p, q = (
        answer if one.last_op == "SOFTMAX" else softmax(answer)
        for one, answer in ((reference, wanted), (file, given))
    )
    same = wanted.argmax(-1) == given.argmax(-1)
    return float(same.mean()), float(divergences(p, q).mean())


def _shape(layer: LayerTensor) -> tuple[int, ...]:
    return tuple(side for side in layer.info.shape if side != 1)


def _some_names(file: LayerTensors) -> str:
    names = ", ".join(layer.name for layer in file.layers[:3])
    return f"{names}, ..." if names else "none at all"


# -- the plot --------------------------------------------------------------------------------

PLAIN, WORST, DROP = "#4c72b0", "#c44e52", "#dd8452"


def plot_layers(
    rows: Sequence[LayerRow],
    worst: Sequence[LayerRow],
    drops: Sequence[LayerRow],
    title: str,
    path: str | Path,
) -> None:
    """A bar for each layer's signal-to-noise ratio, in running order.

    `rows` are the layers of a comparison; those of `worst` and `drops` are coloured,
    numbered, and named at the side.
    """

    figure = figures.new(14, 5.2)
    axes = figure.subplots()
    colours = {row["index"]: WORST for row in worst} | {row["index"]: DROP for row in drops}
    heights = [min(row["sqnr_db"], EXACT_DB) for row in rows]
    places = [row["index"] for row in rows]
    axes.bar(places, heights, 0.8, color=[colours.get(place, PLAIN) for place in places])
    for place, height in zip(places, heights, strict=True):
        if place in colours:
            axes.annotate(
                str(place),
                (place, max(height, 0)),
                (0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=colours[place],
                rotation=90,
            )
    gaps = " (gaps: the reference has no such layer)" if len(places) <= max(places) else ""
    axes.set_xlabel(f"layer, in running order{gaps}")
    axes.set_ylabel("signal to noise (dB)")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlim(min(places) - 1, max(places) + 1)
    axes.margins(y=0.08)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    side = [
        (DROP, "Largest drops", [(row, row["drop_db"] or 0.0) for row in drops]),
        (WORST, "Lowest", [(row, row["sqnr_db"]) for row in worst]),
    ]
    top = 1.0
    for colour, heading, chosen in side:
        if not chosen:
            continue
        lines = [
            f"{row['index']:>3}  {level:5.1f} dB  {_shorten(row['name'])}" for row, level in chosen
        ]
        axes.annotate(
            "\n".join([heading, *lines]),
            (1.01, top),
            xycoords="axes fraction",
            va="top",
            color=colour,
            fontsize=8,
            family="monospace",
            linespacing=1.4,
        )
        top -= 0.055 * (len(lines) + 2)
    figures.save(figure, path, dpi=130)


def _shorten(name: str, most: int = 40) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 1]}...{name[-most // 2 + 2 :]}"
