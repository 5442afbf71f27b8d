"""Boxes and masks lie on what they mark, however a picture is stored."""

import json

import numpy as np
import pytest
from exif_files import encoded, exif_of
from PIL import Image

from mnv3_tf.data.augment_boxes import BoxAugmentation
from mnv3_tf.data.sources import open_dataset

RED, GREEN = (250, 60, 60), (20, 60, 20)
BOX = (5, 8, 15, 24)
"""x, y, width, height of what is red in the upright picture of 40 x 60."""


def store(orientation):
    """A JPEG of a picture that shows the red box when it is turned as EXIF says."""
    picture = np.full((60, 40, 3), GREEN, np.uint8)
    x, y, width, height = BOX
    picture[y : y + height, x : x + width] = RED
    turns = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]
    return encoded(
        Image.fromarray(np.rot90(picture, turns)),
        "JPEG",
        exif=exif_of(orientation),
        quality=95,
        subsampling=0,
    )


def as_stored(orientation):
    """The box in the pixels of the file, and these pixels' width and height."""
    x, y, width, height = BOX
    if orientation == 6:
        return (y, 40 - x - width, height, width), (60, 40)
    return (60 - y - height, x, height, width), (60, 40)


def write_coco(root, orientation, box, size):
    (root / "img").mkdir()
    images, annotations = [], []
    for number in range(2):
        (root / "img" / f"{number}.jpg").write_bytes(store(orientation))
        sides = {"width": size[0], "height": size[1]} if size else {}
        images.append({"id": number, "file_name": f"{number}.jpg", **sides})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box})
    categories = [{"id": 1, "name": "ball"}]
    tree = {"images": images, "annotations": annotations, "categories": categories}
    (root / "all.json").write_text(json.dumps(tree))
    pair = f"{root / 'all.json'},{root / 'img'}"
    return open_dataset(f"coco:{pair},{pair}", task="detect", training=False)


def redness(picture, box):
    """The part of the red pixels that is in the box, and that of the box that is red."""
    red = picture[..., 0] > 0
    inside = np.zeros(red.shape, bool)
    top, left, bottom, right = np.rint(box * np.tile(red.shape, 2)).astype(int)
    inside[top:bottom, left:right] = True
    return (red & inside).sum() / red.sum(), (red & inside).sum() / inside.sum()


@pytest.mark.parametrize(
    ("orientation", "told"),
    [(1, "upright"), (3, "upright"), (6, "upright"), (8, "nothing"), (6, "stored"), (8, "stored")],
)
def test_boxes_lie_on_what_they_mark(tmp_path, orientation, told):
    box, size = (BOX, (40, 60)) if told != "stored" else as_stored(orientation)
    data = write_coco(tmp_path, orientation, box, None if told == "nothing" else size)
    note = "pictures are annotated as they lie in their files, and were turned upright"
    assert any(note in one for one in data.notes) == (told == "stored")
    how = BoxAugmentation()
    for batches in (
        data.val.eval_batches(1, (120, 80)),
        data.train.train_batches(1, (120, 80), how, 3).take(4),
    ):
        for pictures, target in batches.as_numpy_iterator():
            assert target["size"][0].tolist() == [60, 40]
            if target["classes"][0, 0] == 0:
                assert min(redness(pictures[0], target["boxes"][0, 0])) > 0.93


def test_another_size_is_neither(tmp_path):
    data = write_coco(tmp_path, 6, BOX, (80, 120))
    assert any("pictures have another size than " in note for note in data.notes)


@pytest.mark.parametrize("told", ["upright", "stored", "with EXIF"])
def test_masks_lie_on_what_they_mark(tmp_path, told):
    mask = np.zeros((60, 40), np.uint8)
    x, y, width, height = BOX
    mask[y : y + height, x : x + width] = 1
    exif = exif_of(8) if told == "with EXIF" else None
    turns = {"upright": 0, "stored": 1, "with EXIF": 3}[told]
    for part in ("train", "val"):
        (tmp_path / part / "images").mkdir(parents=True)
        (tmp_path / part / "masks").mkdir()
        (tmp_path / part / "images" / "a.jpg").write_bytes(store(6))
        image = Image.fromarray(np.rot90(mask, turns), "P")
        image.putpalette(range(6))
        (tmp_path / part / "masks" / "a.png").write_bytes(
            encoded(image, "PNG", **({"exif": exif} if exif else {}))
        )
    (tmp_path / "labels.txt").write_text("ground\nball\n")
    data = open_dataset(f"masks:{tmp_path}", task="segment", training=False)
    note = "2 pictures have masks of how they lie in their files, and were turned upright with them"
    assert (f"{note} (a.jpg)" in data.notes) == (told == "stored")
    ((picture, seen),) = data.val.eval_batches(1, (60, 40)).as_numpy_iterator()
    np.testing.assert_array_equal(seen[0], mask)
    assert ((picture[0, ..., 0] > 0) == (seen[0] == 1)).mean() > 0.99
