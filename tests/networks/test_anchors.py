import subprocess
import sys

import numpy as np
import pytest

from mnv3_tf.networks.anchors import generate, per_cell

SIZES = [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
"""Of the maps of SSDLite at 320 x 320."""


def test_the_papers_detector_has_2034():
    assert per_cell(6) == [3, 6, 6, 6, 6, 6]
    assert generate(SIZES).shape == (2034, 4)
    assert generate(SIZES).dtype == np.float32


def test_torchvisions_has_3234():
    assert per_cell(6, reduce_lowest=False) == [6] * 6
    assert len(generate(SIZES, reduce_lowest=False)) == 3234


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (0, [(0.1, 0.1), (0.1414, 0.2828), (0.2828, 0.1414)]),
        (
            20 * 20 * 3,
            [
                (0.35, 0.35),
                (0.2475, 0.495),
                (0.495, 0.2475),
                (0.2021, 0.6062),
                (0.6062, 0.2021),
                (0.4183, 0.4183),
            ],
        ),
        (
            2034 - 6,
            [
                (0.95, 0.95),
                (0.6718, 1.3435),
                (1.3435, 0.6718),
                (0.5485, 1.6454),
                (1.6455, 0.5485),
                (0.9747, 0.9747),
            ],
        ),
    ],
)
def test_shapes_are_those_of_the_api(first, expected):
    found = generate(SIZES)[first : first + len(expected), 2:]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_order_is_map_row_column_box():
    anchors = generate([(2, 3), (1, 1)])
    expected = [(y, x) for y in (0.25, 0.75) for x in (1 / 6, 0.5, 5 / 6) for _ in range(3)]
    np.testing.assert_allclose(anchors[:18, :2], expected, rtol=1e-6)
    np.testing.assert_allclose(anchors[18:, :2], [(0.5, 0.5)] * 6)


def test_scales_are_even_steps_and_the_last_map_goes_on_to_the_whole_picture():
    anchors = generate([(1, 1)] * 3, (0.1, 0.9), (1.0,), reduce_lowest=False)
    expected = [0.1, 0.05**0.5, 0.5, 0.45**0.5, 0.9, 0.9**0.5]
    np.testing.assert_allclose(anchors[:, 2], expected, rtol=1e-6)
    np.testing.assert_allclose(anchors[:, 3], expected, rtol=1e-6)


def test_one_map_is_enough():
    assert generate([(2, 2)]).shape == (12, 4)


def test_what_runs_beside_a_tflite_file_needs_no_tensorflow():
    code = (
        "import sys, mnv3_tf.networks.anchors, mnv3_tf.detection.postprocess, "
        "mnv3_tf.tasks, mnv3_tf.detection.coco_metrics; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
