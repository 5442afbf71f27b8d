"""Small picture files, made with Pillow."""

import io
import json
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


@pytest.fixture
def make_coco(tmp_path: Path) -> Callable[..., str]:
    """Writes photographs of 40 x 50 and a COCO file; returns what `--dataset` takes.

    `boxes` has for each picture [(category id, x, y, width, height), ...]; `document` what
    differs in the JSON.
    """

    def write(boxes: list[list[tuple[float, ...]]], **document: object) -> str:
        (tmp_path / "pictures").mkdir()
        for index in range(len(boxes)):
            (tmp_path / "pictures" / f"{index}.jpg").write_bytes(encode(photo(index)))
        entries = [
            {"id": index, "file_name": f"{index}.jpg", "height": 40, "width": 50}
            for index in range(len(boxes))
        ]
        annotations = [
            {"id": 0, "image_id": index, "category_id": category, "bbox": box}
            for index, of_picture in enumerate(boxes)
            for category, *box in of_picture
        ]
        categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
        whole = {"images": entries, "annotations": annotations, "categories": categories}
        (tmp_path / "c.json").write_text(json.dumps(whole | document))
        return f"coco:{tmp_path / 'c.json'},{tmp_path / 'pictures'}"

    return write


@pytest.fixture
def make_coco_twice(make_coco: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """The same for training and, of pictures in the folder "others", for validation."""

    def write(boxes: list[list[tuple[float, ...]]], **document: object) -> str:
        name = make_coco(boxes, **document)
        (tmp_path / "others").mkdir()
        for path in (tmp_path / "pictures").iterdir():
            (tmp_path / "others" / path.name).write_bytes(path.read_bytes() + b"another")
        return f"{name},{tmp_path / 'c.json'},{tmp_path / 'others'}"

    return write


@pytest.fixture
def make_voc(tmp_path: Path) -> Callable[..., Path]:
    """Writes photographs of 40 x 50 in the layout of Pascal VOC.

    `objects` has for each of the pictures a, b, c, ... [(name, xmin, ymin, xmax, ymax), ...] and
    maybe "difficult" at the end; `lists` the lines of ImageSets/Main.
    """

    def write(objects: list[list[tuple[object, ...]]], **lists: str) -> Path:
        root = tmp_path / "voc"
        for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (root / folder).mkdir(parents=True)
        for index, found in enumerate(objects):
            key = "abcdefgh"[index]
            (root / "JPEGImages" / f"{key}.jpg").write_bytes(encode(photo(index)))
            text = "<size><width>50</width><height>40</height></size>"
            for name, xmin, ymin, xmax, ymax, *more in found:
                text += (
                    f"<object><name>{name}</name><difficult>{len(more)}</difficult><bndbox>"
                    f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
                    f"</bndbox></object>"
                )
            (root / "Annotations" / f"{key}.xml").write_text(f"<annotation>{text}</annotation>")
        for name, keys in lists.items():
            lines = "".join(f"{key}\n" for key in keys)
            (root / "ImageSets" / "Main" / f"{name}.txt").write_text(lines)
        return root

    return write


@pytest.fixture
def make_masks(tmp_path: Path) -> Callable[..., Path]:
    """Writes, for training and validation alike, a photograph of 40 x 50 for each of `masks`."""

    def write(masks: list[Image.Image], labels: str = "sky\nroad\ntree\n") -> Path:
        root = tmp_path / "masks"
        for number, part in enumerate(("train", "val")):
            (root / part / "images").mkdir(parents=True)
            (root / part / "masks").mkdir()
            for index, mask in enumerate(masks):
                picture = encode(photo(100 * number + index))
                (root / part / "images" / f"{index}.jpg").write_bytes(picture)
                mask.save(root / part / "masks" / f"{index}.png")
        (root / "labels.txt").write_text(labels)
        return root

    return write


@pytest.fixture(scope="session")
def some_of() -> Callable[[Path, Path, int], Path]:
    """(set, folder, count) -> the folder, with links to the first `count` files of each of its."""

    def link(whole: Path, folder: Path, count: int) -> Path:
        links = folder / whole.name
        for path in (whole, *sorted(whole.rglob("*"))):
            if path.is_dir():
                place = links / path.relative_to(whole)
                place.mkdir()
                files = sorted(file for file in path.iterdir() if file.is_file())
                for file in files[:count]:
                    (place / file.name).symlink_to(file)
        return links

    return link
