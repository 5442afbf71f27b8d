"""What weights take pixels as, by the layers before the first convolution, or by the library.

Our networks take RGB in [-1, 1]. What others do to a picture first is of the form scale * byte +
offset for each channel: the scale goes into the stem's kernel, and the colour that becomes zero is
`Stem.zero`, since padding is made of it. Both together are exact, at the borders too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.networks.pixels import RANGES, Factors, InputRange
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.weights.keras_config import Layer
from mnv3_tf.weights.layer_arrays import LayerArrays

STEM = "conv"
_SAYS_OTHERWISE = "--input_range says otherwise"
_LEAVES_PIXELS = ("InputLayer", "Resizing", "CenterCrop", "ZeroPadding2D", "Dropout", "Identity")
_PICK = ("SlicingOpLambda", "GetItem", "Split", "Unstack")
_BYTES: InputRange = "0..255"
_PARTS: tuple[InputRange, ...] = ("0..1", "-1..1")
_LARGEST = 64.0
"""What layers make of a byte, if they are made for bytes. Those that are made for parts of white,
whose deviation is below 1, would give 255 and more."""

_SENSIBLE = 1e9
"""No network scales pixels by so much, nor by so little; float32 would not bear several of it."""

Step = tuple[np.ndarray, np.ndarray]
"""Scale and offset, (3,) each."""

Moments = tuple[tuple[np.ndarray, np.ndarray], ...]
"""Mean and variance."""

_ONE, _NONE = np.ones(3), np.zeros(3)
_OPERATIONS: Mapping[str, Callable[[np.ndarray], Step]] = {
    **dict.fromkeys(("TrueDivide", "math.truediv", "math.divide"), lambda n: (1 / n, _NONE)),
    **dict.fromkeys(("Multiply", "math.multiply", "__operators__.mul"), lambda n: (n, _NONE)),
    **dict.fromkeys(("Add", "math.add", "__operators__.add"), lambda n: (_ONE, n)),
    **dict.fromkeys(("Subtract", "math.subtract", "__operators__.sub"), lambda n: (_ONE, -n)),
}
"""Of a tensor and a number: Keras 3's classes and tf_keras's functions."""


@dataclass(frozen=True)
class Pixels:
    """scale * byte + offset, (3,) each, is what reaches the first convolution.

    `note` is what to tell, without a full stop, where that was not certain.
    """

    scale: np.ndarray
    offset: np.ndarray
    note: str | None = None

    @classmethod
    def of(cls, factors: Factors, note: str | None = None) -> "Pixels":
        scale, offset = (np.broadcast_to(np.asarray(part, float), 3) for part in factors)
        return cls(scale, offset, note)

    def then(self, scale: np.ndarray, offset: np.ndarray) -> "Pixels":
        """With scale * x + offset after it."""
        return Pixels(self.scale * scale, self.offset * scale + offset, self.note)

    @property
    def zero(self) -> tuple[float, ...] | None:
        """The colour, in [-1, 1], that becomes zero; None where it is grey."""
        colour = -self.offset / self.scale / 127.5 - 1
        return None if np.abs(colour).max() < 1e-6 else tuple(round(float(c), 8) for c in colour)

    def of_byte(self, byte: float) -> float:
        """The magnitude of what becomes of it, the largest of the channels'."""
        return float(np.abs(self.scale * byte + self.offset).max())

    @property
    def gain(self) -> np.ndarray:
        """What [-1, 1] is multiplied with, (3,)."""
        return np.round(self.scale * 127.5, 12)


@dataclass(frozen=True)
class Usual:
    """What a library's networks take pixels as, `certain` where all of them do.

    Without a `name` that is as a network of ours does, whose stem has this `zero`.
    """

    name: InputRange | None
    zero: Sequence[float] | None
    certain: bool

    @property
    def factors(self) -> Factors:
        offset = tuple(-1 - zero for zero in self.zero or (0.0,))
        return RANGES[self.name] if self.name else ((1 / 127.5,), offset)


@dataclass(frozen=True)
class Preprocessing:
    """What a file says of pixels.

    `before` are the layers before the first convolution, None where it does not list them, and
    `moments` the means and variances of the Normalization layers among them. `unknown`: a layer
    scales pixels, but its numbers are not there. `stated` is what timm's config.json says.
    """

    before: tuple[Layer, ...] | None = None
    moments: Moments = ()
    unknown: bool = False
    stated: Factors | None = None

    def pixels(self, path: object, usual: Usual, asked: InputRange | None) -> Pixels:
        """What reaches the first convolution of bytes that are given as `asked`, or else as the
        file says, or else as usual.

        Raises UserError for a layer that does to pixels what cannot be known.
        """
        layers = [layer for layer in self.before or () if not _leaves_pixels(layer)]
        if self.before is None and self.moments and not self.unknown:
            layers = [Layer("Normalization", "normalization", {})]
        steps = [_affine(layer, self.moments) for layer in layers]
        if picks := [layer for layer in layers if layer.kind in _PICK]:
            raise UserError(
                f"{path} has {picks[0].name} ({picks[0].kind}) before its first convolution, which "
                "picks channels or turns their order, and no range says so; save the model without "
                "it, trained on RGB."
            )
        if None in steps and asked is None:
            strange = layers[steps.index(None)]
            raise UserError(
                f"{path} has {strange.name} ({strange.kind}) before its first convolution, and "
                "nothing says what it makes of pixels; say by --input_range what it makes of them."
            )
        if asked and (None in steps or not steps):
            return Pixels.of(RANGES[asked])
        if not steps:
            return Pixels.of(self.stated) if self.stated else self._assumed(usual)
        made: dict[InputRange, Pixels] = {}
        for name in (asked,) if asked else (_BYTES, *_PARTS):
            made[name] = Pixels.of(RANGES[name])
            for step in filter(None, steps):
                made[name] = made[name].then(*step)
        if asked or made[_BYTES].of_byte(255) <= _LARGEST:
            return next(iter(made.values()))
        name = min(_PARTS, key=lambda name: made[name].of_byte(127.5))
        listed = ", ".join(layer.name for layer in layers)
        note = f"by its layers ({listed}) it takes pixels as {name}; {_SAYS_OTHERWISE}"
        return replace(made[name], note=note)

    def _assumed(self, usual: Usual) -> Pixels:
        if usual.certain and not self.unknown:
            return Pixels.of(usual.factors)
        why = "nothing in it says how it takes pixels"
        if self.unknown:
            why = "a layer of it scales pixels, but its numbers are not there"
        name = usual.name or "-1..1"
        return Pixels.of(usual.factors, f"{why}, so {name} is assumed; {_SAYS_OTHERWISE}")


def fold(spec: NetworkSpec, layers: LayerArrays, pixels: Pixels) -> tuple[NetworkSpec, LayerArrays]:
    """The network and its weights for RGB in [-1, 1]."""
    stem = replace(spec.stem, zero=pixels.zero)
    with np.errstate(over="ignore", invalid="ignore"):  # the importer refuses what comes of it
        kernel = layers[STEM]["kernel"] * pixels.gain[:, np.newaxis]
        scaled = layers[STEM] | {"kernel": kernel.astype(np.float32)}
    return spec.replace(stem=stem), layers | {STEM: scaled}


# -- layers ----------------------------------------------------------------------------------


def _leaves_pixels(layer: Layer) -> bool:
    """Whether a layer moves pixels at most, or does so in training alone."""
    return layer.kind in _LEAVES_PIXELS or layer.kind.startswith("Random")


def _affine(layer: Layer, moments: Moments) -> Step | None:
    """None for a layer that is no scale and offset, or none that can be undone."""
    try:
        step = _step(layer, moments)
    except (ValueError, TypeError, KeyError):
        return None
    if step is None or not np.all(np.abs(step) < _SENSIBLE):
        return None
    return step if np.all(np.abs(step[0]) > 1 / _SENSIBLE) else None


def _step(layer: Layer, moments: Moments) -> Step | None:
    settings = layer.settings
    if layer.kind == "Rescaling":
        return _channels(settings["scale"]), _channels(settings.get("offset", 0))
    if layer.kind == "Normalization":
        mean, variance = settings.get("mean"), settings.get("variance")
        if mean is None:
            ((mean, variance),) = moments
        mean, deviation = _channels(mean), np.maximum(np.sqrt(_channels(variance)), 1e-7)
        inverted = settings.get("invert", False)
        return (deviation, mean) if inverted else (1 / deviation, -mean / deviation)
    (number,) = map(_channels, layer.numbers)
    return _OPERATIONS[settings.get("function", layer.kind)](number)


def _channels(value: Any) -> np.ndarray:
    """(3,). Raises ValueError for what is neither one number nor three."""
    return np.broadcast_to(np.asarray(value, float).ravel(), 3)
