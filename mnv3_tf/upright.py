"""What a picture is: the upright RGB pixels of a file, whoever asks for them.

Pillow reads here, without TensorFlow. `data.decode` gives the same pixels inside of pipelines: by
TensorFlow where that is known to (`look`), else from here.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.Image import Image
from PIL.ImageFile import ImageFile

from mnv3_tf.errors import UserError

Array = np.ndarray

MOST_PIXELS = 2**27
"""As many are decoded, 0.4 GB of them. A JPEG of more is decoded at a half, fourth or eighth of its
sides; other files have no such way."""

SHRINKS = (1, 2, 4, 8)
"""What a JPEG's sides can be divided by while it is decoded."""

ORIENTATION = 0x0112
"""EXIF's tag: how a picture has to be turned, 1 to 8 (CIPA DC-008, section 4.6.4). As matrices:"""

TRANSPOSED = (5, 6, 7, 8)
"""The orientations whose rows are columns of the file,"""
ROWS_REVERSED = (3, 4, 7, 8)
"""those whose rows then stand upside down,"""
COLUMNS_REVERSED = (2, 3, 6, 7)
"""and those whose columns go from right to left."""

PILLOW, PNG = 0, 9
"""Who gives a file's pixels: Pillow, or TensorFlow's decoder of PNG; 1 to 8 is its decoder of JPEG,
whose pixels have to be turned as from this orientation."""

READ = "JPEG, PNG, GIF, BMP, WebP or TIFF"

# Each is opened by the kind that its first bytes tell, since `Image.open` refuses large JPEGs.
_OPENERS: tuple[tuple[int, bytes, type[ImageFile]], ...] = (
    (0, b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (0, b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (0, b"GIF8", GifImagePlugin.GifImageFile),
    (0, b"BM", BmpImagePlugin.BmpImageFile),
    (0, b"II*\0", TiffImagePlugin.TiffImageFile),
    (0, b"MM\0*", TiffImagePlugin.TiffImageFile),
    (8, b"WEBP", WebPImagePlugin.WebPImageFile),
)

_NOT_READ = (
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftypcrx", "camera's raw"),
    (8, b"CR", "camera's raw"),
    (0, b"FUJIFILM", "camera's raw"),
    (4, b"ftyp", "video"),
    (4, b"JXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
)
"""What is often taken for a picture that is read: where its mark is, the mark, and what it is."""

LOOKED_AT = b"\xff\xfe\x00\x09upright"
"""A comment at the beginning of a JPEG that needs no look, where nothing else says so."""

_REDUCED = 254
"""TIFF's tag of what a picture is to its file. In a raw file the first is a thumbnail: bit 0."""

_MAY_TURN_A_PNG = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")


class NoPictureError(ValueError):
    """Why a file gives no pixels, as what follows its name in a sentence: "is empty; ..."."""


@dataclass(frozen=True)
class Header:
    """`stored` is the height and width that the file has, `orientation` EXIF's, from 1 to 8."""

    stored: tuple[int, int]
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright picture."""
        height, width = self.stored
        return (width, height) if self.orientation in TRANSPOSED else (height, width)


def read_header(path: str | Path) -> Header | None:
    """None where the file is no picture."""
    try:
        with open(path, "rb") as file:
            image = _opened(file)
            return Header((image.height, image.width), _orientation(image, file))
    except (OSError, NoPictureError):
        return None


def read_picture(path: str | Path) -> Array:
    """`pixels` of a file; raises UserError where there are none, naming the file."""
    try:
        return pixels(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check the file.") from None
    except NoPictureError as error:
        raise UserError(f"{path} {error}.") from None


def pixels(content: bytes, window: Array | None = None, shrink: int = 1) -> Array:
    """Of a file's whole content, upright, uint8 (H, W, 3), RGB; of several frames the first.

    Transparency is dropped, 16-bit channels are cut to 8. `window` is a part of the picture: top,
    left, height, width in pixels. A JPEG is decoded at one of `SHRINKS`, which is `shrink` or, for
    `MOST_PIXELS`, a larger one. Raises NoPictureError.
    """
    file = io.BytesIO(content)
    image = _opened(file)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        count = image.width * image.height
        shrink = next(by for by in SHRINKS if by >= shrink and count <= MOST_PIXELS * by**2)
        image.draft(None, (image.width // shrink, image.height // shrink))
    else:
        shrink = 1
    try:
        image.load()
        image.info.pop("transparency", None)  # of which Pillow would warn
        if image.mode in ("I", "F"):
            raise NoPictureError(
                "has 32 bits a channel, of which nothing tells what is white; save it with 8 or 16"
            )
        if image.mode.startswith("I;16"):
            # Pillow's own conversion would make white of all that is above 255.
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            rgb = np.repeat(grey[..., np.newaxis], 3, axis=2)
        else:
            rgb = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except NoPictureError:
        raise
    except Exception as error:  # Pillow's decoders let many kinds out
        raise _damaged(error) from None
    upright = turned(rgb, _orientation(image, file))
    if window is not None:
        top, left, height, width = window // shrink
        upright = upright[top : top + height, left : left + width]
    return np.ascontiguousarray(upright)


def look(content: bytes) -> tuple[int, int, int]:
    """Height and width of a file's upright picture, and who gives its pixels in a pipeline.

    Raises NoPictureError.
    """
    file = io.BytesIO(content)
    image = _opened(file)
    header = Header((image.height, image.width), _orientation(image, file))
    reader = PILLOW
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        # Of CMYK without Adobe's mark TensorFlow makes a negative.
        if image.mode != "CMYK" or "adobe" in image.info:
            reader = header.orientation
    elif isinstance(image, PngImagePlugin.PngImageFile) and header.orientation == 1:
        reader = PNG
    return *header.size, reader


def without_metadata(content: bytes) -> bytes:
    """An upright JPEG that begins with what its pixels need, so that it need not be looked at.

    Other files are as they were.
    """
    try:
        *_, reader = look(content)
    except NoPictureError:
        return content
    if reader != 1:
        return content
    kept, place = [content[:2]], 2
    while content[place] == 0xFF and content[place + 1] in (*range(0xE0, 0xF0), 0xFE):
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place + 1] in (0xE0, 0xEE):  # JFIF's and Adobe's, which tell the colours
            kept.append(content[place:end])
        place = end
    if len(kept) == 1:
        kept.append(LOOKED_AT)
    return b"".join([*kept, content[place:]])


def turned(values: Array, orientation: int) -> Array:
    """(H, W, ...) as a file stores it, upright: a view of the same memory."""
    if orientation in TRANSPOSED:
        values = values.swapaxes(0, 1)
    if orientation in ROWS_REVERSED:
        values = values[::-1]
    return values[:, ::-1] if orientation in COLUMNS_REVERSED else values


def turned_boxes(corners: Array, header: Header) -> Array:
    """(K, 4) ymin, xmin, ymax, xmax in pixels of what the file stores, in those of `size`."""
    if header.orientation in TRANSPOSED:
        corners = corners[:, [1, 0, 3, 2]]
    height, width = header.size
    if header.orientation in ROWS_REVERSED:
        corners = [height, 0, height, 0] + corners[:, [2, 1, 0, 3]] * [-1, 1, -1, 1]
    if header.orientation in COLUMNS_REVERSED:
        corners = [0, width, 0, width] + corners[:, [0, 3, 2, 1]] * [1, -1, 1, -1]
    return corners


def orientation_of(image: Image) -> int:
    """1 to 8; 1 where there is no EXIF data, or damaged ones, or another number in them."""
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # Pillow's reader of EXIF lets many kinds out
        return 1
    return next((known for known in range(1, 9) if known == orientation), 1)


def _orientation(image: ImageFile, file: BinaryIO) -> int:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1  # Pillow has turned it
    if isinstance(image, PngImagePlugin.PngImageFile):
        # Those data may stand after the pixels: to know of none, Pillow would decode them all.
        file.seek(0)
        content = file.read()
        if not any(mark in content for mark in _MAY_TURN_A_PNG):
            return 1
    return orientation_of(image)


def _opened(file: BinaryIO) -> ImageFile:
    """Not yet decoded. Raises NoPictureError."""
    start = file.read(16)
    file.seek(0)
    if not start:
        raise NoPictureError("is empty; copy it again")
    for at, mark, name in _NOT_READ:
        if start[at:].startswith(mark):
            raise _not_read(name)
    opener = next((one for at, mark, one in _OPENERS if start[at:].startswith(mark)), None)
    if opener is None:
        raise NoPictureError(f"is no picture; give a {READ} file")
    try:
        image = opener(file)
    except Exception as error:  # Pillow's readers let many kinds out
        raise _damaged(error) from None
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_REDUCED, 0) & 1:
        raise _not_read("camera's raw")
    count = image.width * image.height
    if count > MOST_PIXELS and not isinstance(image, JpegImagePlugin.JpegImageFile):
        raise NoPictureError(
            f"has {count / 1e6:.0f} megapixels, of which only a JPEG may have more than "
            f"{MOST_PIXELS // 1e6:.0f}; make it smaller"
        )
    return image


def _not_read(name: str) -> NoPictureError:
    return NoPictureError(f"is a {name} file, which is not read; save it as JPEG or PNG")


def _damaged(error: Exception) -> NoPictureError:
    return NoPictureError(f"is cut short or damaged ({error}); copy it again")
