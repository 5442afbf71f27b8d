"""Views of pictures with boxes: the boxes go where the picture goes."""

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.data.augment_boxes import (
    COVERED,
    WHOLE_PART,
    BoxAugmentation,
    _draw_case,
    evaluation_example,
    random_mirror,
    ssd_window,
    training_example,
    within_window,
)

STILL = BoxAugmentation(flip=False, ssd_crop=False)
FULL = BoxAugmentation(zoom_out=0.4)
BOXES = np.array([[0.1, 0.05, 0.4, 0.35], [0.5, 0.55, 0.95, 0.9], [0.05, 0.6, 0.3, 0.95]])
HEIGHT, WIDTH = 200, 300


def seeds(count):
    return tf.stack([tf.zeros(count, tf.int64), tf.range(count, dtype=tf.int64)], 1)


def objects(boxes=BOXES):
    count = len(boxes)
    return {
        "boxes": tf.constant(boxes, tf.float32, (count, 4)),
        "classes": tf.range(count),
        "crowd": tf.range(count) == 1,
        "size": tf.constant([HEIGHT, WIDTH]),
    }


def painted(factor=1):
    """A black picture in which box k is full of channel k."""
    pixels = np.zeros((HEIGHT * factor, WIDTH * factor, 3), np.uint8)
    scale = np.array([HEIGHT, WIDTH] * 2) * factor
    for channel, box in enumerate(BOXES):
        top, left, bottom, right = (box * scale).round().astype(int)
        pixels[top:bottom, left:right, channel] = 255
    return pixels


def views(content, how, count, size=(96, 120), of=None):
    of = objects() if of is None else of
    content = tf.constant(content)
    draw = tf.function(lambda seed: training_example(content, of, size, seed, how))
    return [tf.nest.map_structure(np.asarray, draw(seed)) for seed in seeds(count)]


def check_boxes_are_where_the_paint_is(found, size, tolerance):
    """Returns how many boxes there were."""
    seen = 0
    for picture, target in found:
        for box, label in zip(target["boxes"], target["classes"], strict=True):
            if label < 0:
                continue
            rows = np.flatnonzero((picture[..., label] > 0.4).any(1))
            columns = np.flatnonzero((picture[..., label] > 0.4).any(0))
            top, left, bottom, right = box * [*size, *size]
            if bottom - top < 3 or right - left < 3:
                continue  # a sliver, which resizing may blur away
            painted_box = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
            assert np.abs(np.array(painted_box) - [top, left, bottom, right]).max() <= tolerance
            seen += 1
    return seen


@pytest.mark.parametrize(("size", "count"), [((96, 120), 60), ((64, 64), 20)])
def test_boxes_follow_flips_crops_and_zooms(size, count):
    found = views(painted(), FULL, count, size)
    assert check_boxes_are_where_the_paint_is(found, size, 1.6) > count
    for _, target in found:
        assert target["size"].tolist() == [HEIGHT, WIDTH]
        np.testing.assert_array_equal(target["crowd"], target["classes"] == 1)
        kept = target["boxes"][target["classes"] >= 0]
        assert kept.min(initial=0) >= 0
        assert kept.max(initial=0) <= 1
        assert (kept[:, 2:] > kept[:, :2]).all()
        assert not target["boxes"][target["classes"] < 0].any()


def test_boxes_follow_a_large_jpeg_that_is_decoded_smaller(encode_photo):
    content = encode_photo(painted(3), quality=95)
    found = views(content, FULL, 20, (48, 60))
    assert check_boxes_are_where_the_paint_is(found, (48, 60), 2.0) > 20


def test_a_view_is_the_same_eagerly_and_in_a_pipeline(make_photo, encode_photo):
    how = BoxAugmentation(zoom_out=0.4, brightness=0.4, contrast=0.4, saturation=0.4)
    content = tf.constant(encode_photo(make_photo(1)))
    eager = [training_example(content, objects(), 32, seed, how) for seed in seeds(5)]
    graph = tf.data.Dataset.from_tensor_slices(seeds(5)).map(
        lambda seed: training_example(content, objects(), 32, seed, how)
    )
    for (one, target), (other, same) in zip(eager, graph, strict=True):
        assert (one.shape, one.dtype) == ((32, 32, 3), tf.float32)
        np.testing.assert_allclose(one, other, atol=1e-4)
        assert -1 <= tf.reduce_min(one) < tf.reduce_max(one) <= 1
        for name, values in target.items():
            np.testing.assert_allclose(values, same[name], atol=1e-6)
    assert len({one.numpy().tobytes() for one, _ in eager}) == 5


def test_a_view_that_is_not_changed_is_evaluations():
    picture, target = evaluation_example(tf.constant(painted()), objects(), (96, 120))
    ((same, kept),) = views(painted(), STILL, 1)
    np.testing.assert_array_equal(target["boxes"][:3], BOXES.astype(np.float32))
    np.testing.assert_array_equal(kept["boxes"], target["boxes"])
    # Training passes over pixels where it shrinks by less than 3; evaluation smooths.
    assert np.abs(same - picture).mean() < 0.05
    assert check_boxes_are_where_the_paint_is([(picture.numpy(), kept)], (96, 120), 1.0) == 3


def test_evaluation_knows_no_crop():
    with pytest.raises(ValueError, match="view is 'crop'"):
        evaluation_example(tf.constant(painted()), objects(), 64, "crop")


def test_a_flip_mirrors_picture_and_boxes_half_of_the_time():
    picture = tf.constant(painted())
    draw = tf.function(lambda seed: random_mirror(picture, objects(), seed))
    mirrored = 0
    for seed in seeds(100):
        other, target = draw(seed)
        if np.array_equal(other, painted()):
            np.testing.assert_array_equal(target["boxes"], objects()["boxes"])
        else:
            mirrored += 1
            np.testing.assert_array_equal(other, painted()[:, ::-1])
            expected = np.stack([BOXES[:, 0], 1 - BOXES[:, 3], BOXES[:, 2], 1 - BOXES[:, 1]], 1)
            np.testing.assert_allclose(target["boxes"], expected, atol=1e-6)
    assert 30 < mirrored < 70


def test_the_seven_cases_are_drawn_evenly_and_a_part_of_the_pictures_stays_whole():
    every = tf.function(
        lambda: tf.map_fn(_draw_case, seeds(3000), fn_output_signature=(tf.bool, tf.float32))
    )
    whole, covered = every()
    counts = [np.isclose(covered, part).sum() for part in COVERED]
    assert sum(counts) == 3000
    assert 360 < min(counts) <= max(counts) < 500
    assert np.mean(whole) == pytest.approx(WHOLE_PART, abs=0.02)


@tf.function
def many_windows(covered):
    shape, boxes = tf.constant([HEIGHT, WIDTH]), objects()["boxes"]
    draw = lambda seed: ssd_window(shape, boxes, covered, seed)  # noqa: E731
    return tf.map_fn(draw, seeds(150), fn_output_signature=tf.int32)


@pytest.mark.parametrize("covered", COVERED)
def test_a_window_has_the_area_the_ratio_and_the_part_of_a_box_asked_for(covered):
    found = many_windows(tf.constant(covered)).numpy()
    top, left, height, width = found.T
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= HEIGHT
    assert (left + width).max() <= WIDTH
    area, ratio = height * width / (HEIGHT * WIDTH), width / height
    assert 0.1 - 0.01 <= area.min() < 0.4
    assert 0.75 < area.max() <= 1
    assert 0.5 - 0.02 <= ratio.min() < 0.8
    assert 1.5 < ratio.max() <= 2 + 0.04
    scale = np.array([HEIGHT, WIDTH] * 2)
    best = []
    for window in found:
        corners = np.array([*window[:2], *(window[:2] + window[2:])])
        low = np.maximum(corners[:2], (BOXES * scale)[:, :2])
        high = np.minimum(corners[2:], (BOXES * scale)[:, 2:])
        shared = np.clip(high - low, 0, None).prod(1)
        best.append(max(shared / ((BOXES * scale)[:, 2:] - (BOXES * scale)[:, :2]).prod(1)))
    assert min(best) >= covered - 0.03  # it looks at whole pixels
    if 0 < covered < 0.9:
        assert min(best) < covered + 0.3


def test_boxes_are_kept_from_the_part_on_that_is_asked_for_and_clipped():
    """The window is the left half: of the boxes it holds all, three fourths, half and nothing."""
    boxes = np.array([[0, 0, 1, 0.5], [0, 0.2, 1, 0.6], [0.5, 0.25, 1, 0.75], [0, 0.6, 1, 1]])
    window, shape = tf.constant([0, 0, 80, 50]), tf.constant([80, 100])

    def kept(covered):
        return within_window(objects(boxes), window, shape, tf.constant(covered))

    assert kept(0.0)["classes"].numpy().tolist() == [0, 1, 2]
    assert kept(0.5)["classes"].numpy().tolist() == [0, 1, 2]
    assert kept(0.7)["classes"].numpy().tolist() == [0, 1]
    assert kept(1.0)["classes"].numpy().tolist() == [0]
    expected = [[0, 0, 1, 1], [0, 0.4, 1, 1], [0.5, 0.5, 1, 1]]
    np.testing.assert_allclose(kept(0.5)["boxes"], expected, atol=1e-6)


def test_zooming_out_shows_the_whole_picture_on_gray():
    how = BoxAugmentation(flip=False, zoom_out=1.0, zoom_out_scale=3.0)
    white = np.full((60, 60, 3), 255, np.uint8)
    found = views(white, how, 100, (48, 48))
    sides, corners = [], []
    for picture, target in found:
        assert set(np.unique(picture.round(5))) <= {0.0, 1.0}
        lit = picture[..., 0] > 0.5
        rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
        assert lit.sum() == len(rows) * len(columns)
        sides.append(len(rows))
        corners.append((rows[0] + columns[0]) / max(1, 2 * (48 - len(rows))))
        scale = len(rows) / 48
        expected = BOXES * scale + np.array([rows[0], columns[0]] * 2) / 48
        np.testing.assert_allclose(target["boxes"][:3], expected, atol=1e-5)
    assert min(sides) in (16, 17)
    assert max(sides) in (47, 48)
    assert np.mean(corners) == pytest.approx(0.5, abs=0.1)


def test_the_parts_of_the_views_that_zoom_out_and_crop():
    """Of a white picture, gray tells zooming; what is neither is cropped or whole."""
    white = np.full((40, 40, 3), 255, np.uint8)
    whole = np.array([[0.0, 0.0, 1.0, 1.0]])
    how = BoxAugmentation(flip=False, ssd_crop=False, zoom_out=0.3)
    found = views(white, how, 150, (16, 16), objects(whole))
    zoomed = np.array([(picture == 0).any() for picture, _ in found])
    assert 0.2 < zoomed.mean() < 0.4
    for (_, target), is_zoomed in zip(found, zoomed, strict=True):
        if not is_zoomed:
            np.testing.assert_array_equal(target["boxes"][0], [0, 0, 1, 1])


def test_a_picture_without_boxes_has_views_too(make_photo):
    for picture, target in views(make_photo(), FULL, 10, (32, 32), objects(np.zeros((0, 4)))):
        assert np.isfinite(picture).all()
        assert (target["classes"] == -1).all()
        assert not target["boxes"].any()


def test_the_defaults_are_ssds_without_zooming_out():
    assert BoxAugmentation() == BoxAugmentation(True, True, 0.0, 4.0, 0.0, 0.0, 0.0)
    assert COVERED == (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"zoom_out": 1.5},
        {"zoom_out_scale": 0.5},
        {"zoom_out_scale": float("nan")},
        {"brightness": -0.1},
        {"contrast": 2.0},
        {"saturation": 1.01},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BoxAugmentation(**wrong)
