"""Small picture files, made with Pillow."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def encode(pixels: np.ndarray, form: str = "JPEG", mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def photo(seed: int = 0, height: int = 40, width: int = 50) -> np.ndarray:
    """Smooth random colours, which survive JPEG."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def make_photo() -> Callable[..., np.ndarray]:
    return photo


@pytest.fixture(scope="session")
def encode_photo() -> Callable[..., bytes]:
    return encode


@pytest.fixture
def make_classes(tmp_path: Path) -> Callable[..., Path]:
    """Writes `count` photographs into each of `folders` (as "train/cat") of a new folder."""

    def write(folders: list[str], count: int = 4, root: str = "set") -> Path:
        for number, folder in enumerate(folders):
            (tmp_path / root / folder).mkdir(parents=True)
            for index in range(count):
                path = tmp_path / root / folder / f"{index:03}.jpg"
                path.write_bytes(encode(photo(100 * number + index)))
        return tmp_path / root

    return write
