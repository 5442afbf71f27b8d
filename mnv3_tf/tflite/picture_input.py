"""What a .tflite wants of a picture, and how that is known: the one place that everyone asks.

An input's real values are `byte * scale + offset` of each channel. The file says so in its metadata
or by its first operators, or a quantised input by the range that it stores.
"""

from dataclasses import dataclass

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.networks.pixels import RANGES, Factors, InputRange
from mnv3_tf.tflite import metadata
from mnv3_tf.tflite.first_operators import range_before, small_kernels
from mnv3_tf.tflite.model_graph import PICTURE_CHANNELS, Graph, Layout, layout_of
from mnv3_tf.tflite.reading import AS_IT_SAYS, Reading, shape_text
from mnv3_tf.tflite.runtime import TensorInfo, stored_as

Array = np.ndarray
GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue, by ITU-R BT.601, as JPEG and Pillow have it."""

UNCERTAIN = "assumed, for the file does not say"
BY_QUANTIZATION = "by its scale and zero point"


@dataclass(frozen=True)
class PictureInput:
    """`info` is how the tensor stores what it gets, in the order of `layout`.

    `image_size` is (height, width), `channels` 3 (RGB) or 1 (grey). `because` says how scale and
    offset are known, `certain` whether the file says so. `as_bytes`: an input of 8 bits gets a
    camera's bytes as they are.
    """

    info: TensorInfo
    layout: Layout
    image_size: tuple[int, int]
    channels: int
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    because: str
    certain: bool = True
    as_bytes: bool = False

    @property
    def range(self) -> str:
        """One of `RANGES`, or the mean that bytes lose and the deviation that divides them."""
        own = _ends((self.scale, self.offset))
        for name, factors in RANGES.items():
            known = _ends(factors)
            near = 0.02 * float(np.max(known[1] - known[0]))
            if all(np.allclose(*pair, rtol=0, atol=near) for pair in zip(own, known, strict=True)):
                return name
        mean = ", ".join(f"{-o / s:.4g}" for s, o in zip(self.scale, self.offset, strict=True))
        return f"mean {mean}, deviation {', '.join(f'{1 / s:.4g}' for s in self.scale)}"

    @property
    def told(self) -> str:
        """ "RGB as -1..1 (by its metadata)"."""
        order = ", channels first" if self.layout == "NCHW" else ""
        kind = "RGB" if self.channels == 3 else "grey"
        return f"{kind} as {self.range}{order} ({self.because})"

    def note(self, path: object) -> tuple[str, ...]:
        """What to tell of a file that does not say what it takes, without a full stop."""
        said = f"{path} takes pixels as {self.range} ({self.because}); --input_range says otherwise"
        return () if self.certain else (said,)

    def stored(self, image: Array) -> Array:
        """A picture (height, width, 3) in [-1, 1], RGB, as the tensor stores it, batch included."""
        if self.channels == 1:
            image = image @ GREY[:, np.newaxis]
        if self.as_bytes:
            limits = np.iinfo(self.info.dtype)
            bytes_ = np.rint((image + 1) * 127.5) + limits.min
            values = np.clip(bytes_, limits.min, limits.max).astype(self.info.dtype)
        else:
            values = self.info.quantize(self._real(image))
        if self.layout == "NCHW":
            values = np.moveaxis(values, -1, 0)
        return np.ascontiguousarray(values).reshape(self.info.shape)

    def _real(self, image: Array) -> Array:
        # In one step, so that what is wanted as it is stays as it is, to the last bit.
        gain = np.round(np.multiply(self.scale, 127.5), 12)
        shift = np.round(np.multiply(self.scale, 127.5) + self.offset, 12)
        return (image * gain.astype(np.float32) + shift.astype(np.float32)).astype(np.float32)


def _ends(factors: Factors) -> tuple[Array, Array]:
    """What the bytes 0 and 255 become, by channel."""
    scale, offset = (np.array(part) for part in factors)
    return offset, 255 * scale + offset


class NoPicture(UserError):
    """A file whose input is not one picture; `cause` follows its name in a sentence."""

    def __init__(self, path: object, cause: str) -> None:
        self.cause = cause
        super().__init__(f"{path} {cause}.")


def picture_input(
    path: object, graph: Graph, content: bytes, reading: Reading = AS_IT_SAYS
) -> PictureInput:
    """Of a verified file. Raises NoPicture, which says what the file takes instead."""
    layout, size, channels = _picture(path, graph)
    info = stored_as(graph.tensors[graph.inputs[0]])
    factors, because, certain = _factors(graph, content, info, reading)
    scale, offset = ((float(np.mean(values)),) if channels == 1 else values for values in factors)
    is_byte = info.dtype in ("uint8", "int8") and reading.input_range is None
    as_bytes = is_byte and _stores_bytes(info, (scale, offset))
    return PictureInput(
        info, layout, (size[0], size[1]), channels, scale, offset, because, certain, as_bytes
    )


def _picture(path: object, graph: Graph) -> tuple[Layout, tuple[int, ...], int]:
    """`layout_of` the input. Raises NoPicture."""
    ends = [graph.tensors[number] for number in graph.inputs]
    if len(ends) != 1:
        listed = ", ".join(
            f"{graph.called(number)}: {end.dtype} {shape_text(end.shape)}"
            for number, end in zip(graph.inputs, ends, strict=True)
        )
        said = f"takes {len(ends)} inputs ({listed})" if ends else "takes no input"
        raise NoPicture(path, f"{said}, not one picture; give a file that takes a picture alone")
    (image,), shape = ends, ends[0].shape
    text = f"{image.dtype} {shape_text(shape) or 'a scalar'}"
    if image.dtype not in NUMBERS or len(shape) not in (3, 4):
        raise NoPicture(path, f"takes {text}, not one picture; give a file that takes pictures")
    if shape[0] != 1:
        one = shape_text((1, *shape[1:]))
        raise NoPicture(
            path,
            f"takes {shape[0]} pictures at a time ({text}), not one; export it for a batch of 1, "
            f"or try --input_shape={one}",
        )
    layout, sides, channels = layout_of(shape)
    if channels not in PICTURE_CHANNELS:
        raise NoPicture(
            path,
            f"takes {channels} channels ({text}), not 3 (RGB) or 1 (grey); give a file that takes "
            "such pictures",
        )
    if min(sides) < 2:
        raise NoPicture(path, f"takes {text}, which is a row of pixels; give a file for pictures")
    return layout, sides, channels


NUMBERS = ("float32", "float16", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32")


def _factors(
    graph: Graph, content: bytes, info: TensorInfo, reading: Reading
) -> tuple[Factors, str, bool]:
    """Scale and offset, how they are known, and whether the file says so."""
    if reading.input_range is not None:
        return RANGES[reading.input_range], "as asked", True
    if info.dtype not in ("float32", "float16") and info.scale is None:
        low = np.iinfo(info.dtype).min if info.dtype == "int8" else 0
        return ((1.0,), (float(low),)), "by its type, whole numbers without a scale", True
    stated = metadata.input_factors(content)
    if info.dtype in ("uint8", "int8"):
        return _of_bytes(info, stated)
    if stated:
        return stated, "by its metadata", True
    if found := range_before(graph, RANGES):
        name, operators = found
        return RANGES[name], f"by its first operators, {', '.join(operators)}", True
    if info.dtype == "int16" and info.scale is not None:
        return _of_int16(info.scale)
    if small_kernels(graph):
        return RANGES["0..255"], "guessed by its first kernels, which are small", False
    return RANGES["-1..1"], UNCERTAIN, False


def _of_bytes(info: TensorInfo, stated: Factors | None) -> tuple[Factors, str, bool]:
    """Of 8 bits, into which a camera's bytes go as they are unless the file wants otherwise."""
    if stated and _spans(info, stated):
        return stated, "by its metadata", True
    least = np.iinfo(info.dtype).min
    low, high = (float(end) for end in info.dequantize(np.array([least, least + 255])))
    straight: Factors = (((high - low) / 255,), (low,))
    for name, factors in RANGES.items():
        black, white = _ends(factors)
        near = 0.03 * float(white.max() - black.min())
        if abs(low - black.min()) < near and abs(high - white.max()) < near:
            return (factors if name == "imagenet" else straight), BY_QUANTIZATION, True
    return straight, "bytes as they are, for the file does not say otherwise", False


def _of_int16(scale: float) -> tuple[Factors, str, bool]:
    most = 32767 * scale
    largest: dict[InputRange, float] = {"0..255": 255.0, "imagenet": 2.64}
    for name, value in largest.items():
        if abs(most / value - 1) < 0.03:
            return RANGES[name], BY_QUANTIZATION, True
    return RANGES["-1..1"], UNCERTAIN, False


def _spans(info: TensorInfo, factors: Factors) -> bool:
    """Whether bytes become values of which the tensor can tell most apart.

    Metadata often speak of the float file that a quantised one was made of.
    """
    low, high = _steps(info, factors)
    return bool((low >= -4).all() and (high <= 259).all() and (high - low >= 64).all())


def _stores_bytes(info: TensorInfo, factors: Factors) -> bool:
    """Whether a byte is stored as itself, give or take one step."""
    low, high = _steps(info, factors)
    return bool((np.abs(low) <= 1.5).all() and (np.abs(high - 255) <= 1.5).all())


def _steps(info: TensorInfo, factors: Factors) -> tuple[Array, Array]:
    """As what the bytes 0 and 255 would be stored, counted from the least that 8 bits hold."""
    least, scale = np.iinfo(info.dtype).min, info.scale or 1.0
    low, high = (end / scale + (info.zero_point or 0) - least for end in _ends(factors))
    return low, high
