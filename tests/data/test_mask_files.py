"""Folders of pictures and masks: indices come out as they are, and bad ones are named."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mnv3_tf.data.sources import open_dataset
from mnv3_tf.errors import UserError

INDICES = np.random.default_rng(0).integers(0, 3, (40, 50)).astype(np.uint8)


def opened(root):
    return open_dataset(f"masks:{root}", task="segment", training=False)


def masks(split, resolution=(40, 50)):
    return np.concatenate([y for _, y in split.eval_batches(2, resolution).as_numpy_iterator()])


def gray(indices):
    return Image.fromarray(np.asarray(indices, np.uint8))


def in_palette(indices):
    image = Image.fromarray(indices, "P")
    image.putpalette(np.random.default_rng(1).integers(0, 256, 768).astype(np.uint8).tobytes())
    return image


def test_gray_values_and_palette_indices_are_the_classes(make_masks):
    data = opened(make_masks([gray(INDICES), in_palette(INDICES)]))
    assert data.class_names == ("sky", "road", "tree")
    assert (len(data.train), len(data.val), data.task, data.notes) == (2, 2, "segment", ())
    np.testing.assert_array_equal(masks(data.val), [INDICES, INDICES])


def test_which_parts_there_are(make_masks):
    root = make_masks([gray(INDICES)] * 5)
    (root / "val").rename(root / "test")
    for training, sizes in ((False, [5, None, 5]), (True, [4, 1, 5])):
        data = open_dataset(f"masks:{root}", task="segment", training=training)
        parts = (data.train, data.val, data.test)
        assert [split and len(split) for split in parts] == sizes


def few_bits(bits, palette):
    """Indices and a PNG of them, written byte by byte: Pillow has no such grays."""
    indices = np.minimum(INDICES, 2**bits - 1)
    rows = np.unpackbits(indices[..., None], axis=2)[..., -bits:].reshape(40, -1)
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", 50, 40, bits, 3 if palette else 0, 0, 0, 0)
    colours = chunk(b"PLTE", bytes(range(3 * 2**bits))) if palette else b""
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colours
    return indices, png + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_few_bits_a_pixel(make_masks):
    made = [few_bits(bits, palette) for bits in (1, 2, 4) for palette in (True, False)]
    root = make_masks([gray(INDICES)] * len(made))
    for part in ("train", "val"):
        for number, (_, png) in enumerate(made):
            (root / part / "masks" / f"{number}.png").write_bytes(png)
    np.testing.assert_array_equal(masks(opened(root).val), [indices for indices, _ in made])


def test_what_is_unlabelled_is_ignored_and_no_class(make_masks):
    indices = INDICES.copy()
    indices[0, 0], indices[0, 1] = 3, 255
    root = make_masks([gray(indices)], "0 sky\n1 road\n2 tree\n3 Unlabelled\n")
    data = opened(root)
    assert data.class_names == ("sky", "road", "tree")
    expected = INDICES.copy()
    expected[0, :2] = 255
    np.testing.assert_array_equal(masks(data.val), [expected])


def test_a_mask_without_a_picture_is_told(make_masks):
    root = make_masks([gray(INDICES)] * 2)
    (root / "train" / "images" / "0.jpg").unlink()
    data = opened(root)
    assert (len(data.train), len(data.val)) == (1, 2)
    assert data.notes == ("1 mask without a picture was left out (0.png)",)


def test_a_picture_without_a_mask(make_masks):
    root = make_masks([gray(INDICES)] * 2)
    (root / "val" / "masks" / "1.png").unlink()
    with pytest.raises(UserError, match=r"val/images/1\.jpg has no mask .*val/masks/1\.png"):
        opened(root)


REFUSED = {
    r"masks/0\.png has 49 x 40 pixels, its picture .*0\.jpg has 50 x 40": gray(INDICES[:, 1:]),
    r"masks/0\.png has pixels of the value 3, but labels\.txt has the classes 0 to 2": gray(
        INDICES + 1
    ),
    r"masks/0\.png has colours \(mode RGB\)": Image.new("RGB", (50, 40)),
    r"masks/0\.png has pixels of the value 1000": Image.fromarray(
        np.full((40, 50), 1000, np.uint16)
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_mask_that_cannot_be_used(make_masks, sentence):
    with pytest.raises(UserError, match=sentence):
        opened(make_masks([REFUSED[sentence]]))


@pytest.mark.parametrize("damage", ["cut short", "a JPEG"])
def test_a_mask_that_is_no_png(make_masks, damage):
    root = make_masks([gray(INDICES)])
    path = root / "train" / "masks" / "0.png"
    if damage == "a JPEG":
        gray(INDICES).save(path, "JPEG")
    else:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"masks/0\.png cannot be read as a PNG"):
        opened(root)


LABELS_REFUSED = {
    r"labels\.txt is empty": "\n",
    r"the class 'sky' twice": "sky\nroad\nsky\n",
    r"gives 'tree' the index 3 where 2 is due": "0 sky\n1 road\n3 tree\n",
    r"has classes after 'void', which is ignored": "sky\nvoid\ntree\n",
    r"has no class but 'VOID'": "VOID\n",
    r"has 300 classes": "".join(f"a{n}\n" for n in range(300)),
}


@pytest.mark.parametrize("sentence", LABELS_REFUSED)
def test_a_list_of_labels_that_cannot_be_used(make_masks, sentence):
    with pytest.raises(UserError, match=sentence):
        opened(make_masks([gray(INDICES)], LABELS_REFUSED[sentence]))


def test_missing_folders_files_and_pictures(make_masks, tmp_path):
    with pytest.raises(UserError, match=r"Cannot read .*labels\.txt: No such file"):
        opened(tmp_path)
    root = make_masks([gray(INDICES)])
    (root / "val" / "images" / "0.jpg").unlink()
    with pytest.raises(UserError, match="val/images holds no pictures"):
        opened(root)
    (root / "val" / "images").rmdir()
    with pytest.raises(UserError, match=r"There is no folder .*val/images; expected"):
        opened(root)


def test_the_streets(shared, some_of, tmp_path):
    data = opened(some_of(shared / "camvid12", tmp_path, 12))
    assert (len(data.train), len(data.val), data.num_classes) == (12, 12, 11)
    assert data.class_names[0] == "Sky"
    assert data.class_names[-1] == "Bicyclist"
    found = next(iter(data.val.eval_batches(1, (360, 480))))[1].numpy()[0]
    path = sorted((shared / "camvid12" / "val" / "masks").iterdir())[0]
    with Image.open(path) as mask:
        original = np.asarray(mask)
    np.testing.assert_array_equal(found, np.where(original == 11, 255, original))
