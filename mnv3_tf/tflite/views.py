"""Pictures as evaluation sees them, without TensorFlow: Pillow reads and resizes.

What `data.decode` does, but for the rounding of float sums and about one level of 255 in JPEG
files, which TensorFlow decodes in its faster, less exact way. Only here pictures are turned
upright as their EXIF data says.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mnv3_tf.errors import UserError
from mnv3_tf.tasks.specs import EVALUATION_MARGIN

Array = np.ndarray


def read_picture(path: str | Path) -> Array:
    """The upright picture, uint8 (H, W, 3), RGB; of several frames the first.

    Transparency is dropped, 16-bit channels are cut to 8. Raises UserError where it cannot be
    read, naming the file.
    """
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I"):
                # Pillow's own conversion would make white of all that is above 255.
                grey = (np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[..., np.newaxis], 3, axis=2)
            return np.asarray(upright.convert("RGB"))
    except UnidentifiedImageError:
        raise UserError(f"{path} is no picture; give a JPEG, PNG, GIF, BMP or WebP file.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{path} cannot be read: {reason}; copy it again.") from None
    except Exception as error:  # Pillow's decoders let many kinds out
        raise UserError(f"{path} is damaged: {error}; copy it again.") from None


def whole(picture: Array, size: tuple[int, int]) -> Array:
    """uint8 (H, W, 3), squeezed to float32 (height, width, 3) in [-1, 1]."""
    return normalize(resize_bilinear(picture, size))


def centre(picture: Array, size: tuple[int, int]) -> Array:
    """uint8 (H, W, 3) to float32 (height, width, 3) in [-1, 1], what evaluates classifiers.

    Resized with its proportions until `size` (height, width), times 256 / 224, is covered; then the
    centre is cut out.
    """
    shape = np.array(picture.shape[:2], np.float32)
    covered = [round(side * EVALUATION_MARGIN) for side in size]
    scale = np.float32(max(np.array(covered, np.float32) / shape))
    resized = np.rint(shape * scale).astype(int)
    top, left = (resized - size) // 2
    shrunk = resize_bilinear(picture, (int(resized[0]), int(resized[1])))
    return normalize(shrunk[top : top + size[0], left : left + size[1]])


VIEWS = {"centre": centre, "whole": whole}
"""By `Task.view`."""


def normalize(picture: Array) -> Array:
    """0..255 to float32 in [-1, 1]."""
    return picture.astype(np.float32) / np.float32(127.5) - np.float32(1)


def resize_bilinear(picture: Array, size: tuple[int, int]) -> Array:
    """(H, W, C) to float32 (height, width, C), anti-aliased where it shrinks."""
    channels = [resize_channel(channel, size) for channel in np.moveaxis(picture, -1, 0)]
    return np.stack(channels, axis=-1)


def resize_channel(channel: Array, size: tuple[int, int]) -> Array:
    """(H, W) to float32 (height, width)."""
    # Whole colour pictures Pillow would round to bytes, after rows and again after columns.
    image = Image.fromarray(np.ascontiguousarray(channel, np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
