"""What is drawn of measurements: the numbers, in which unit, and what is written beside them."""

from dataclasses import replace

import numpy as np
import pytest

from benchmark import int8_results, paper_plots, profile
from benchmark.search_strategies_plot import plot_runs
from mnv3_tf.measuring import plots
from mnv3_tf.measuring.plots import Bar
from mnv3_tf.measuring.statistics import Headline


def widths(axes) -> list[float]:
    """Of the bars, as they were drawn."""
    return [round(float(bar.get_width()), 6) for bar in axes.patches]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def names(axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def legend(figure) -> list[str]:
    (found,) = figure.legends
    return [text.get_text() for text in found.get_texts()]


# -- latency and accuracy --------------------------------------------------------------------


def timed(name: str, us: float, kind: str = "none", **more) -> Bar:
    headline = Headline(us, (0.9 * us, 1.2 * us), "median")
    return Bar(name, kind, headline, 1.5 * us, us / 1000, **more)


def test_latencies_are_in_milliseconds_with_the_ratio_to_the_first(drawn, tmp_path):
    rows = [
        timed("a", 1000.0),
        timed("b", 250.0, "int8"),
        timed("c", 400.0, "int8"),
        Bar("d", "int8", text="does not load"),
    ]
    plots.plot_latency(rows, "A title", tmp_path / "l.png")
    (figure,) = drawn
    (axes,) = figure.axes
    assert widths(axes) == [1.0, 0.25, 0.4]
    assert texts(axes) == ["1.00 ms", "0.25 ms  (0.25x)", "0.40 ms  (0.40x)", "does not load"]
    assert names(axes) == ["a", "b", "c", "d"]
    assert axes.get_title(loc="left") == "A title"
    assert axes.get_xlabel() == "milliseconds per inference, median"
    # Beside the longest of p95 and interval there is room for what is written.
    assert axes.get_xlim() == pytest.approx((0, 1.6 * 1.5))
    assert axes.yaxis_inverted()
    # Ends of the intervals, and p95.
    ticks = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "|"]
    assert sorted(ticks[:3]) == pytest.approx([0.9, 1.2, 1.5])
    assert sorted(legend(figure)) == ["95 % confidence", "float32", "int8", "p95"]


def test_latencies_at_full_pace_are_said_to_be(drawn, tmp_path):
    bar = Bar("a", "none", Headline(800.0, (700.0, 900.0), "full pace"))
    plots.plot_latency([bar], "A title", tmp_path / "l.png")
    (axes,) = drawn[0].axes
    assert widths(axes) == [0.8]
    # The ends of the interval; a p95 that is not known is not drawn.
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "|"] == [0.7, 0.9]
    assert axes.get_xlabel() == "milliseconds per inference, full pace"


def test_a_p95_far_beyond_the_bars_is_written(drawn, tmp_path):
    half = timed("b", 500.0)
    rows = [timed("a", 1000.0), *(replace(half, p95_us=us) for us in (3000.0, 3001.0, None))]
    plots.plot_latency(rows, "", tmp_path / "l.png")
    (axes,) = drawn[0].axes  # the longest bar's interval ends at 1.2 ms
    beside = "0.50 ms  (0.50x)"
    assert texts(axes) == ["1.00 ms", beside, f"{beside}  p95 3.00 ms", beside]
    assert axes.get_xlim() == pytest.approx((0, 1.6 * 3.0))


def test_texts_of_ones_own_get_more_room(drawn, tmp_path):
    plots.plot_latency([timed("a", 1000.0)], "", tmp_path / "l.png")
    plots.plot_latency([timed("a", 1000.0, text="mine")], "", tmp_path / "l.png")
    plain, own = (figure.axes[0] for figure in drawn)
    assert (texts(plain), texts(own)) == (["1.00 ms"], ["mine"])
    assert (plain.get_xlim()[1], own.get_xlim()[1]) == pytest.approx((1.3 * 1.5, 1.6 * 1.5))


def test_long_names_keep_both_ends(drawn, tmp_path):
    long = "a" * 20 + "b" * 20
    plots.plot_latency(
        [timed("x" * 36, 1.0), timed("x" * 37, 1.0), timed(long, 1.0)], "", tmp_path / "l.png"
    )
    kept, shortened, other = names(drawn[0].axes[0])
    assert kept == "x" * 36
    assert shortened == "x" * 18 + "..." + "x" * 15
    assert other == "a" * 18 + "..." + "b" * 15


def test_accuracy_is_beside_the_float_networks(drawn, tmp_path):
    common = {"kernels": "xnnpack"}
    rows = [
        {"file": "float", "method": None, "top1": 0.75, "top1_loss": 0.0} | common,
        {"file": "p", "method": "ptq", "top1": 0.7, "top1_loss": 5.0} | common,
        {"file": "q", "method": "qat", "top1": 0.76, "top1_loss": -1.0, "kernels": "built-in"},
    ]
    int8_results.plot_accuracy(rows, "A title", tmp_path / "a.png")
    (figure,) = drawn
    (axes,) = figure.axes
    assert widths(axes) == [0.7, 0.76]
    assert texts(axes) == ["0.700  (-5.0 points)", "0.760  (+1.0 points)"]
    assert names(axes) == ["p\nptq, XNNPACK", "q\nqat, built-in kernels"]
    assert list(axes.lines[0].get_xdata()) == [0.75, 0.75]
    assert legend(figure) == ["float 0.750"]
    assert axes.get_xlim() == pytest.approx((0, 1.35 * 0.76))


def test_answers_stand_over_their_pictures(drawn, tmp_path):
    pictures = np.linspace(-1, 1, 6)[:, None, None, None] * np.ones((6, 4, 4, 3))
    answers = np.eye(3)[[0, 1, 2, 0, 1, 2]] * 0.5 + 0.1
    plots.plot_answers(pictures, answers, ("cat", "dog", "cow"), tmp_path / "p.png")
    axes = drawn[0].axes
    assert len(axes) == 10
    assert [one.get_title() for one in axes[:6]] == ["cat 60%", "dog 60%", "cow 60%"] * 2
    for one, value in zip(axes[:6], np.linspace(0, 1, 6), strict=True):
        np.testing.assert_allclose(one.images[0].get_array(), value)
    assert not any(one.images for one in axes[6:])


# -- the paper's tables ----------------------------------------------------------------------


def row(label: str, quantize: str, ms: float, **more) -> dict:
    return {
        "name": label,
        "label": label,
        "quantize": quantize,
        "full_pace_us": 1e3 * ms,
        "ci_us": [0.9e3 * ms, 1.5e3 * ms],
        "ratio": 1.1,
        "madds": 1e7 * ms,
        "published": {},
        "top1": None,
        "top1_origin": None,
    } | more


def table(*rows: dict, **more) -> dict:
    return {"title": "T", "machine": {"cpu": "C"}, "first": "x", "rows": rows} | more


def test_bars_of_both_precisions_are_beside_each_other(drawn, tmp_path):
    rows = [row("x", "none", 4.0), row("y", "none", 2.0), row("x", "int8", 1.0)]
    paper_plots.plot_bars(table(*rows), tmp_path / "b.png")
    (figure,) = drawn
    (axes,) = figure.axes
    assert widths(axes) == [4.0, 2.0, 1.0]
    centres = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
    assert centres == pytest.approx([-0.2, 0.8, 0.2])
    assert texts(axes) == ["4.00", "2.00", "1.00"]
    assert names(axes) == ["x", "y"]
    assert axes.get_title(loc="left") == "T (C)"
    assert axes.get_xlim() == pytest.approx((0, 1.18 * 6.0))
    assert axes.get_xlabel() == "milliseconds per inference, measured here"
    assert legend(figure) == ["float32", "int8"]


def test_published_accuracy_is_against_measured_milliseconds(drawn, tmp_path):
    rows = [
        row("x half", "none", 4.0, published={"miou": 72.0}),
        row("x full", "none", 8.0, published={"miou": None}),
        row("y", "none", 2.0, published={"miou": 60.0}),
        row("y", "int8", 1.0, published={}),
    ]
    paper_plots.plot_task(table(*rows, task="segment"), tmp_path / "t.png")
    bars, points = drawn[0].axes
    assert widths(bars) == [4.0, 8.0, 2.0, 1.0]
    assert points.collections[0].get_offsets().tolist() == [[4.0, 72.0], [2.0, 60.0]]
    assert texts(points) == ["x half", "y"]
    assert points.get_xlim() == pytest.approx((0, 1.2 * 4.0))
    assert points.get_ylabel() == "mIoU (%, published)"
    assert points.get_xlabel() == "milliseconds, float, measured here"


def test_placements_tell_what_they_cost_over_relu(drawn, tmp_path):
    rows = [
        row("relu", quantize, 2.0, hard_swish=None, ratio=1.0) for quantize in ("none", "int8")
    ] + [
        row("all", quantize, ms, hard_swish=lowering, ratio=ms / 2)
        for quantize in ("none", "int8")
        for lowering, ms in (("fused", 2.5), ("composite", 1.9), ("naive", 4.0))
    ]
    paper_plots.plot_hard_swish(table(*rows, first="relu"), tmp_path / "h.png")
    (figure,) = drawn
    for axes, name in zip(figure.axes, ("float", "int8"), strict=True):
        assert axes.get_title(loc="left") == name
        assert widths(axes) == [2.0, 2.5, 1.9, 4.0]
        assert texts(axes) == ["2.00", "2.50  +25 %", "1.90  -5 %", "4.00  +100 %"]
        places = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
        assert places == pytest.approx([0, 0.73, 1, 1.27])
    assert legend(figure) == ["fused", "composite", "naive"]


def test_frontiers_are_of_float_networks_by_width_and_by_resolution(drawn, tmp_path):
    def judged(label, ms, top1, quantize="none", origin="published"):
        return row(label, quantize, ms, top1=top1, top1_origin=origin)

    multipliers = [
        judged("large 1", 4.0, 75.0),
        judged("large 0.5", 2.0, 68.0),
        judged("large at 96", 1.0, 63.0),
        judged("large 1", 3.0, 74.0, "int8"),
        judged("small 1", 1.5, 67.0),
        judged("small at 96", 0.5, None, origin=None),
    ]
    networks = [
        judged("large", 4.0, 75.0),
        judged("large", 4.5, 74.5, origin="measured on 9 pictures"),
        judged("v2", 5.0, 72.0),
        judged("v2", 4.0, 70.0, "int8"),
        judged("large_minimalistic", 3.0, 72.3),
    ]
    paper_plots.plot_frontiers(table(*networks), table(*multipliers), tmp_path / "f.png")
    madds, latency = drawn[0].axes
    for axes, factor in ((madds, 10.0), (latency, 1.0)):
        lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
        assert lines["V3-Large, widths 0.35 to 1.25"] == [[2 * factor, 68], [4 * factor, 75]]
        assert lines["V3-Large, resolutions 96 to 256"] == [[factor, 63], [4 * factor, 75]]
        assert lines["V3-Small, widths 0.35 to 1.25"] == [[1.5 * factor, 67]]
        assert lines["V3-Small, resolutions 96 to 256"] == [[1.5 * factor, 67]]
        points = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "^"]
        assert points == [[[4.5 * factor, 74.5]], [[5 * factor, 72]], [[3 * factor, 72.3]]]
        assert texts(axes) == ["large (measured on 9 pictures)", "v2", "large_minimalistic"]
        assert axes.get_xscale() == "log"
    assert madds.get_xlabel() == "multiply-adds (millions, computed)"
    assert latency.get_xlabel() == "milliseconds, float, measured here"


# -- others ----------------------------------------------------------------------------------


def test_a_profile_is_in_milliseconds_piece_by_piece(drawn, tmp_path):
    rows = [
        {"network": "large", "quantize": "none", "us": {"stem": 1000.0, "add": 500.0}}
        | {"whole_us": 1600.0},
        {"network": "large", "quantize": "int8", "us": {"stem": 250.0, "add": 125.0}}
        | {"whole_us": 400.0},
    ]
    profile.plot(rows, tmp_path / "p.png")
    (figure,) = drawn
    (axes,) = figure.axes
    assert widths(axes) == [1.0, 0.5, 0.25, 0.125]
    assert [bar.get_x() for bar in axes.patches] == [0.0, 1.0, 0.0, 0.25]
    assert names(axes) == ["large, float32", "large, int8"]
    assert legend(figure) == ["stem", "add"]
    assert profile.table(rows) == (
        ["operators", "large float", "large int8"],
        [
            ["stem", "1.00", "0.25"],
            ["add", "0.50", "0.12"],
            ["sum", "1.50", "0.38"],
            ["whole", "1.60", "0.40"],
        ],
    )


def test_strategies_are_drawn_by_the_median_of_their_runs(drawn, tmp_path):
    runs = [
        {"improvements": [[1, 1.0], [10, 2.0]]},
        {"improvements": [[1, 0.5], [20, 1.0]]},
        {"improvements": [[1, 0.6], [5, 1.5]]},
    ]
    results = {"budget": 30, "size": 300, "within": 0.012, "best": {"reward": 2.0}}
    plot_runs(results | {"strategies": {"random": runs}}, tmp_path / "s.png")
    (axes,) = drawn[0].axes
    curve, goal = axes.lines
    found = {round(x): y for x, y in curve.get_xydata().tolist()}
    assert list(found) == sorted(found)
    assert (min(found), max(found)) == (1, 30)
    assert [found[count] for count in (1, 4, 5, 9, 10, 19, 20, 30)] == [
        *(0.3, 0.3, 0.5, 0.5, 0.75, 0.75, 0.75, 0.75)
    ]
    assert list(goal.get_ydata()) == [0.99, 0.99]
    assert axes.get_ylim() == pytest.approx((0.5, 1.005))
    assert axes.get_title(loc="left") == (
        "300 architectures, 3 runs of each strategy; 1.200% are above 99 %"
    )
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["random"]
