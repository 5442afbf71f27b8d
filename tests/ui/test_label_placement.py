"""Names in plots."""

from mnv3_tf.ui import figures
from mnv3_tf.ui.label_placement import MARKER, write_names


def test_names_lie_neither_on_one_another_nor_on_points():
    figure = figures.new(8, 4)
    axes = figure.subplots()
    points = [(0.02, 0.5), (0.5, 0.5), (0.501, 0.5), (0.52, 0.51), (0.54, 0.5), (0.99, 0.5)]
    axes.scatter(*zip(*points, strict=True))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    names = [f"network {number}" for number in range(len(points))]
    write_names(figure, axes, points, names)
    assert [text.get_text() for text in axes.texts] == names
    boxes = [text.get_window_extent() for text in axes.texts]
    centres = axes.transData.transform(points)
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert axes.bbox.x0 <= box.x0
        assert box.x1 <= axes.bbox.x1
        for x, y in centres:
            apart = box.x0 > x + MARKER or box.x1 < x - MARKER
            assert apart or box.y0 > y + MARKER or box.y1 < y - MARKER


def test_where_all_places_are_taken_names_are_written_anyway():
    figure = figures.new(2, 2)
    axes = figure.subplots()
    points = [(0.5, 0.5)] * 20
    write_names(figure, axes, points, ["a long name of a network"] * 20)
    assert len(axes.texts) == 20
