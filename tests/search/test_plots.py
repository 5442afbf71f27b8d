"""What the plots of a search show, by the data of their parts."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from mnv3_tf.networks.named import NETWORKS, resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import network_figure, plots
from mnv3_tf.search.candidates import Candidate

SMALL = resolve("small")


def candidate(latency: float, accuracy: float, stopped: bool = False) -> Candidate:
    return Candidate(SMALL, latency, accuracy, 0.5, stopped)


def line(axes, label: str):
    """The one line with this label, or with one that begins so."""
    (found,) = (line for line in axes.lines if line.get_label().startswith(label))
    return found


def points(axes, label: str) -> list[tuple[float, float]]:
    return [tuple(point) for point in line(axes, label).get_xydata().round(6)]


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def assert_legible(figure) -> None:
    """No text lies on another or beyond the edge."""
    figure.draw_without_rendering()
    parts = [part for axes in figure.axes for part in axes.get_children()]
    texts = [part for part in parts if isinstance(part, Text) and part.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= 0
        assert box.y1 <= figure.bbox.y1


# -- NetAdapt's path -------------------------------------------------------------------------


def test_a_path_has_all_proposals_and_goes_from_the_start():
    start, first, second = candidate(2000, 0.9), candidate(1900, 0.89), candidate(1800, 0.87)
    steps = [[candidate(1850, 0.5), first], [second, candidate(1750, 0.6), candidate(1790, 0.7)]]
    figure = plots.path_figure(steps, [start, first, second], 1800, "µs")
    (axes,) = figure.axes
    proposed = [(1.85, 50), (1.9, 89), (1.8, 87), (1.75, 60), (1.79, 70)]
    assert points(axes, "proposals") == proposed
    assert points(axes, "kept") == [(2.0, 90), (1.9, 89), (1.8, 87)]
    assert set(line(axes, "target").get_xdata()) == {1.8}
    assert axes.get_xlabel() == "latency (ms)"
    assert legend(figure)[2:] == [
        "start: 90.0%, 2.000 ms",
        "after 2 steps: 87.0%, 1.800 ms",
        "target: 1.800 ms",
    ]
    assert_legible(figure)


def test_a_path_of_no_step():
    figure = plots.path_figure([], [candidate(41e6, 0.9)], 30e6, "MAdds")
    (axes,) = figure.axes
    assert points(axes, "start") == [(41, 90)]
    assert legend(figure)[2:] == ["start: 90.0%, 41.0 M MAdds", "target: 30.0 M MAdds"]
    assert axes.get_xlabel() == "multiply-adds (millions)"


# -- channels --------------------------------------------------------------------------------


def test_channels_before_and_after():
    before = resolve(name := "large")
    after = before.with_expansion(3, 48).with_bottleneck(4, 24).replace(name="after")
    figure = plots.channels_figure(before, after)
    kept = [{3: f"{100 * 48 / before.blocks[3].expansion:.0f}%"}, dict.fromkeys((3, 4, 5), "60%")]
    for axes, field, texts in zip(figure.axes, ("expansion", "filters"), kept, strict=True):
        for bars, spec in zip(axes.containers, (after, before), strict=True):
            heights = [bar.get_height() for bar in bars]
            assert heights == [getattr(block, field) for block in spec.blocks]
        assert {text.xy[0]: text.get_text() for text in axes.texts} == texts
    assert legend(figure) == [f"before: {name}", "after: after"]


def test_parts_that_were_kept_are_legible():
    """Also of the deepest network, all of whose blocks have one."""
    assert_legible(plots.channels_figure(resolve("v2"), resolve("v2", 0.5)))


def test_networks_of_other_depths_are_not_compared():
    with pytest.raises(ValueError, match="argument"):
        plots.channels_figure(resolve("large"), SMALL)


# -- the frontier ----------------------------------------------------------------------------


def test_the_frontier_goes_through_what_was_trained_in_full():
    points_of_trained = [(1000, 0.5), (1500, 0.4), (2000, 0.7), (3000, 0.6)]
    trained = [candidate(*point) for point in points_of_trained]
    stopped = [candidate(500, 0.3, True), candidate(2500, 0.9, True)]
    others = {"start": candidate(3500, 0.72), "Large": candidate(4000, 0.8)}
    mixed = [trained[3], stopped[0], *trained[:3], stopped[1]]
    figure = plots.frontier_figure(mixed, trained[2], 2200, "µs", others)
    (axes,) = figure.axes
    assert points(axes, "candidates") == [(3.0, 60), (1.0, 50), (1.5, 40), (2.0, 70)]
    assert points(axes, "stopped early") == [(0.5, 30), (2.5, 90)]
    fills = {line(axes, name).get_markerfacecolor() for name in ("stopped early", "candidates")}
    assert len(fills) == 2
    assert points(axes, "Pareto") == [(1.0, 50), (2.0, 70)]
    assert points(axes, "chosen") == [(2.0, 70)]
    assert points(axes, "start") == [(3.5, 72)]
    assert points(axes, "Large") == [(4.0, 80)]
    assert line(axes, "start").get_marker() != line(axes, "Large").get_marker()
    assert set(line(axes, "target").get_xdata()) == {2.2}
    assert {"start: 72.0%, 3.500 ms", "chosen: 70.0%, 2.000 ms"} < set(legend(figure))
    assert_legible(figure)


def test_where_none_was_stopped_none_is_told_of():
    figure = plots.frontier_figure([candidate(1000, 0.5)], candidate(1000, 0.5), 1500, "µs")
    assert "stopped early" not in legend(figure)


# -- rewards ---------------------------------------------------------------------------------


def test_rewards_and_their_moving_mean():
    rng = np.random.default_rng(0)
    series = {"random": rng.uniform(size=120).tolist(), "evolution": rng.uniform(size=30).tolist()}
    figure = plots.rewards_figure(series)
    (axes,) = figure.axes
    for dots, mean, (name, rewards) in zip(
        axes.lines[::2], axes.lines[1::2], series.items(), strict=True
    ):
        assert dots.get_xdata().tolist() == list(range(1, len(rewards) + 1))
        assert dots.get_ydata().tolist() == rewards
        assert mean.get_label() == name
        assert mean.get_color() == dots.get_color()
        assert mean.get_ydata()[-1] == pytest.approx(sum(rewards[-12:]) / 12)
        assert mean.get_ydata()[20] == pytest.approx(sum(rewards[9:21]) / 12)
        assert mean.get_ydata()[1] == pytest.approx(sum(rewards[:2]) / 2)
    assert "the last 12" in axes.get_xlabel()


def test_a_run_that_has_not_begun():
    (axes,) = plots.rewards_figure({"random": [0.5], "evolution": []}).axes
    assert [len(line.get_xdata()) for line in axes.lines] == [1, 1, 0, 0]


# -- a network -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_have_the_channels_of_what_they_show(name):
    spec = resolve(name)
    stem, *blocks_and_head, classes = network_figure.rows(spec)
    assert (stem.channels, stem.size, stem.kernel) == ((3, *2 * [spec.stem.filters]), 112, 3)
    before, blocks = spec.stem.filters, len(spec.blocks)
    for row, placed in zip(blocks_and_head[:blocks], spec.placed_blocks(), strict=True):
        block = placed.block
        assert row.channels == (before, block.widest, block.filters)
        assert (row.kernel, row.residual) == (max(block.kernels), placed.residual)
        before = block.filters
    head = [row.channels[1] for row in blocks_and_head[blocks:]]
    assert head == [width for width in (spec.last_conv, spec.hidden) if width]
    assert not any(row.residual for row in blocks_and_head[blocks:])
    assert classes.kernel == 0


def test_shapes_are_as_wide_as_they_have_channels():
    """From the input's at the top, by way of the expansion, to the output's at the bottom."""
    (axes,) = network_figure.figure(SMALL, plots.WIDTH).axes
    rows = [row for row in network_figure.rows(SMALL) if row.kernel]
    widest = max(max(row.channels) for row in rows)
    for y, (row, patch) in enumerate(zip(rows, axes.patches, strict=True)):
        xs, ys = (widest * patch.get_xy()).T[0], patch.get_xy().T[1]
        top, bottom = (2 * max(xs[np.isclose(ys, edge)]) for edge in (y, y + 1))
        assert (top, 2 * max(xs), bottom) == pytest.approx(row.channels)
        assert min(xs) == pytest.approx(-max(xs))


def table(spec: NetworkSpec) -> dict[str, list[str]]:
    """What is written beside each name, from left to right; sizes come first."""
    (axes,) = network_figure.figure(spec, plots.WIDTH).axes
    lines: dict[float, list[tuple[float, str]]] = {}
    for text in axes.texts:
        x, y = text.get_position()
        if text.get_text():
            lines.setdefault(y, []).append((x, text.get_text()))
    written = ([text for _, text in sorted(line)] for _, line in sorted(lines.items()))
    sized = (line if "x" in line[0] and line[0][0].isdigit() else ["", *line] for line in written)
    return {line[1]: [line[0], *line[2:]] for line in sized}


def test_what_is_written_of_large():
    found = table(resolve("large"))
    assert found["stem"] == ["112x112", "3x3", "16", "h-swish"]
    assert found["block 0"] == ["", "3x3", "16", "16", "ReLU"]
    assert found["block 3"] == ["28x28", "5x5", "72", "24", "40", "ReLU"]
    assert found["block 6"] == ["14x14", "3x3", "240", "80", "h-swish"]
    assert found["block 12"] == ["7x7", "5x5", "672", "168", "160", "h-swish"]
    assert found["conv"] == ["", "1x1", "960", "h-swish"]
    assert found["hidden"] == ["1x1", "1x1", "1280", "h-swish"]
    assert found["classes"] == ["", "1000"]
    assert len(found) == 1 + 1 + 15 + 3


def test_sizes_follow_the_resolution_and_are_rounded_up():
    found = table(resolve("small", resolution=100, num_classes=7))
    sizes = [line[0] for line in found.values() if line[0]]
    assert sizes[-6:] == ["50x50", "25x25", "13x13", "7x7", "4x4", "1x1"]
    assert found["classes"] == ["", "7"]


def test_the_legend_says_which_kernel_has_which_colour():
    spec = SMALL.with_block(10, kernel=7)
    figure = network_figure.figure(spec, plots.WIDTH)
    assert legend(figure) == ["1x1", "3x3", "5x5", "7x7", "residual"]
    told = dict(
        zip((1, 3, 5, 7), (p.get_facecolor() for p in figure.legends[0].get_patches()), strict=True)
    )
    assert len(set(told.values())) == 4
    kernels = [spec.stem.kernel, *(block.kernel for block in spec.blocks), 1, 1]
    drawn = [patch.get_facecolor() for patch in figure.axes[0].patches]
    assert drawn == [told[kernel] for kernel in kernels]


def test_residuals_have_brackets():
    """In Small blocks 2, 4, 5, 7, 9 and 10 have one; the stem is above block 0."""
    cut = SMALL.with_block(7, skip=False)
    (axes,) = network_figure.figure(cut, plots.WIDTH).axes
    brackets = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert [int(line.get_ydata()[0]) - 1 for line in brackets] == [2, 4, 5, 9, 10]
    none = SMALL.replace(blocks=tuple(replace(block, skip=False) for block in SMALL.blocks))
    assert "residual" not in legend(network_figure.figure(none, plots.WIDTH))


@pytest.mark.parametrize("name", ["large", "v2"])
def test_a_network_is_legible(name):
    assert_legible(network_figure.figure(resolve(name, 0.75), plots.WIDTH))
